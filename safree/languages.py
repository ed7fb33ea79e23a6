"""In which language words are written: told by their script, and among Latin ones by function words."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

from .folding import script

ENGLISH = "en"
LATIN = "LATIN"
SHORTEST = 2  # letters of a word that something is attached to: Korean '검은' is black, and no sword
SHARE = 0.25  # of letters in another script, from which the Latin ones are only quoted beside it
FUNCTION, OTHER = 1.0, 0.5  # what a function word, and another word, of a language counts
ENOUGH = 1.0  # what a language other than English must reach, beside being ahead of it
KNOWN = 0.35  # share of words that must be of the language: 'Vincent van Gogh' is not Dutch
# Scripts that Unicode names otherwise than the language data, or that several languages mix.
SCRIPTS = {"CJK": "HAN", "KATAKANA-HIRAGANA": "KATAKANA"}


@dataclasses.dataclass(frozen=True)
class Profile:
    """What tells a language: its scripts in capitals, function words and other words in lower case.

    letters: some that no other language of these scripts has
    """

    code: str
    name: str
    scripts: frozenset[str]
    function: frozenset[str]
    words: frozenset[str] = frozenset()
    letters: frozenset[str] = frozenset()

    def weight(self, word: str) -> float:
        """What a word in lower case says for this language."""
        return FUNCTION if word in self.function else OTHER * (word in self.words)


@dataclasses.dataclass(frozen=True)
class Attached:
    """What a language writes together with a word: Korean particles behind it, Arabic articles before, and the like.

    before, behind: in lower case
    """

    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    def stem(self, word: str, is_known: Callable[[str], bool]) -> str:
        """`word` without what is attached to it, where that leaves a known word; itself where it is known, or none is.

        >>> Attached((), ("을", "이")).stem("권총을", {"권총"}.__contains__)
        '권총'
        """
        if is_known(word):
            return word
        starts = [0, *(len(part) for part in self.before if word.startswith(part))]
        ends = [0, *(len(part) for part in self.behind if word.endswith(part))]
        for start, end in sorted(itertools.product(starts, ends), key=sum):  # as little as can be
            stem = word[start : len(word) - end]
            if len(stem) >= SHORTEST and is_known(stem):
                return stem
        return word


def recognise(words: Sequence[str], profiles: Iterable[Profile]) -> str:
    """The code of the language of `words`, in lower case; of an unknown language its script, as 'Thai'.

    profiles: of the languages to choose from, English among them. English where nothing tells.
    """
    letters = [char for word in words for char in word]
    counted = collections.Counter(SCRIPTS.get(name, name) for char in letters if (name := script(char)))
    foreign = counted.total() - counted[LATIN]
    if foreign and foreign >= SHARE * counted.total():
        return _by_script(words, counted, list(profiles))
    return _by_words(words, [profile for profile in profiles if LATIN in profile.scripts])


def _by_script(words: Sequence[str], counted: collections.Counter, profiles: list[Profile]) -> str:
    del counted[LATIN]
    if any(counted[name] for name in ("HIRAGANA", "KATAKANA")):
        counted = collections.Counter(HIRAGANA=1)  # Chinese has none of these, Japanese hardly a sentence without
    (most, _), *_ = counted.most_common(1)
    fitting = [profile for profile in profiles if most in profile.scripts]
    if most == "HAN":
        fitting = [profile for profile in fitting if "HIRAGANA" not in profile.scripts]
    letters = {char for word in words for char in word}
    special = [profile for profile in fitting if profile.letters & letters]
    return (special or fitting)[0].code if fitting else most.title()


def _by_words(words: Sequence[str], profiles: list[Profile]) -> str:
    scores = dict.fromkeys((profile.code for profile in profiles), 0.0)
    for word in words:  # 'car' is a function word of French, and an English word all the same
        weights = {p.code: p.weight(word) for p in profiles}
        holders = [code for code, weight in weights.items() if weight]
        for code in holders:
            scores[code] += weights[code] / len(holders)
    letters = {char for word in words for char in word if not char.isascii()}
    for profile in profiles if letters else ():
        scores[profile.code] += OTHER * bool(profile.letters & letters)
    english = scores.pop(ENGLISH, 0.0)
    best = max(scores, key=scores.__getitem__, default=ENGLISH)
    if scores.get(best, 0.0) < ENOUGH or scores[best] <= english:
        return ENGLISH
    profile = next(profile for profile in profiles if profile.code == best)
    known = sum(word in profile.function or word in profile.words for word in words)
    return best if known >= KNOWN * sum(word.isalpha() for word in words) else ENGLISH
