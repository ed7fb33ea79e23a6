"""The words that a reading may arrive at, and those that are no misspelling of another."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Container, Iterable, Iterator

from .folding import fold

SHORTEST = 3  # letters of a concept's word
SPELLED = 4  # of a word that no concept names, where letters are told apart
EDITED = 4  # letters of a word from which one letter may be missing
REPLACED = 6  # letters of a word from which one letter may be another that sounds alike, or one too many
ALIKE = ("aeiouy", "ckqx", "szc", "fv", "bp", "dt", "gj", "mn")  # letters that are taken for one another
JOINED = 4, 2  # fewest letters of a concept's word, and of another, that are written as one
# What a letter, a word that is not everyday, 'a' or 'i', and another word cost where letters are told apart.
UNKNOWN, RARE, LETTER, WORD = 3.0, 2.6, 1.5, 1.0
LONGEST = 16  # letters of a word that is no concept's, where letters are told apart
MOST = 8  # readings of one word
# Second parts of surnames and places: 'Cockburn' and 'Gaylord' are no two words.
NAME_ENDINGS = frozenset(
    {"berg", "burn", "burne", "field", "ford", "ham", "ian", "land", "ley", "lord", "stein", "ston", "ton", "well"}
    | {"wood", "worth"}
)


class Lexicon:
    """wanted: words of concepts, in plain letters, each with how it is written in a phrase.

    real: words of any language, names included, that are no misspelling. everyday: those that are surely in use.
    phrases: of the concepts, whole. usual: everyday words that stand in phrases, but say nothing alone: 'suit'
    """

    def __init__(
        self,
        wanted: Iterable[str],
        real: Container[str],
        everyday: Container[str],
        plain: Callable[[str], str] = lambda word: fold(word, {}).text,
        phrases: Container[str] = (),
        usual: Iterable[str] = (),
    ):
        self.wanted: dict[str, list[str]] = {}
        self._telling: set[str] = set()  # those that are not usual
        for word, is_telling in itertools.chain(
            zip(wanted, itertools.repeat(True)), zip(usual, itertools.repeat(False))
        ):
            folded = plain(word)
            if len(folded) >= SHORTEST or not folded.isascii():
                self.wanted.setdefault(folded, []).append(word)
                if is_telling:
                    self._telling.add(folded)
        self._real, self._everyday, self._phrases = real, everyday, phrases
        self.longest = max(map(len, self.wanted), default=0)

    def names(self, word: str) -> list[str]:
        """How a word in plain letters is written in the concepts' phrases; empty for one that is in none."""
        return self.wanted.get(word, [])

    def is_phrase(self, word: str) -> bool:
        return word in self._phrases

    def is_everyday(self, word: str) -> bool:
        return word in self._everyday

    def is_real(self, word: str) -> bool:
        return word in self._real

    def is_known(self, word: str) -> bool:
        return word in self._everyday or word in self._real

    @functools.cached_property
    def beginnings(self) -> frozenset[str]:
        return frozenset(word[:size] for word in self.wanted for size in range(1, len(word) + 1))

    @functools.cached_property
    def _squeezed(self) -> dict[str, list[str]]:
        """Words by their letters, each as often as it is repeated left out."""
        found: dict[str, list[str]] = {}
        for word in self.wanted:
            found.setdefault(squeeze(word), []).append(word)
        return found

    @functools.cached_property
    def _shortened(self) -> dict[str, set[str]]:
        """Words by what is left when any one letter is missing."""
        found: dict[str, set[str]] = {}
        for word in self.wanted:
            for short in _without_one(word):
                found.setdefault(short, set()).add(word)
        return found

    def near(self, word: str) -> list[str]:
        """The concept words that an unknown `word` is a misspelling of: one edit away, or with letters repeated."""
        once = squeeze(word)
        if len(once) > self.longest + 1 or self.is_known(word):
            return []
        close = set(self._squeezed.get(once, ()))
        close |= {w for w in self._shortened.get(word, ()) if len(w) >= EDITED}
        for short in _without_one(word) if len(word) <= self.longest + 1 else ():
            if short in self.wanted and len(short) >= REPLACED:
                close.add(short)
            close |= {w for w in self._shortened.get(short, ()) if _is_swapped(w, word) or _sounds_alike(w, word)}
        return [name for w in sorted(close)[:MOST] for name in self.wanted[w]]

    def matching(self, pattern: str, wild: str) -> list[str]:
        """The concept words that fit a word in which marks stand for a letter each; at least half of it are letters."""
        given = [(i, char) for i, char in enumerate(pattern) if char not in wild]
        if 2 * len(given) < len(pattern):
            return []
        close = [w for w in self._of_size.get(len(pattern), ()) if all(w[i] == char for i, char in given)]
        return [name for w in close[:MOST] for name in self.wanted[w]]

    @functools.cached_property
    def _of_size(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for word in self.wanted:
            found.setdefault(len(word), []).append(word)
        return found

    def split(self, word: str) -> str:
        """Two words that are written as one, of which a concept names at least one; '' for none."""
        for at in range(min(JOINED), len(word) - min(JOINED) + 1):
            parts = word[:at], word[at:]
            if parts[1] in NAME_ENDINGS:
                continue
            if " ".join(parts) in self._phrases or any(self._is_joined(*pair) for pair in (parts, parts[::-1])):
                return " ".join(parts)
        return ""

    def _is_joined(self, named: str, other: str) -> bool:
        """Whether a concept names one part of a word, long enough to be no accident, and the other is in use."""
        if named not in self._telling or len(named) < JOINED[0]:
            return False
        return other in self._telling or (len(other) >= JOINED[1] and self.is_everyday(other))

    def _cost(self, part: str) -> float:
        """What a word costs in a row of letters; 0 for what is none."""
        if part in self.wanted or (len(part) >= SHORTEST and self.is_everyday(part)):
            return WORD
        return RARE if len(part) > SPELLED and self.is_real(part) else 0.0

    def segment(self, letters: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, word) of the concept words and other real ones in a row of letters that were written apart."""
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(letters) + 1):
            options = [(best[end - 1][0] + (LETTER if letters[end - 1] in "ai" else UNKNOWN), end - 1)]
            for start in range(max(0, end - max(self.longest, LONGEST)), end - 1):
                part = letters[start:end]
                if cost := self._cost(part):
                    options.append((best[start][0] + cost, start))
            best.append(min(options))
        end, found = len(letters), []
        while end:
            start = best[end][1]
            if letters[start:end] in self.wanted or end - start >= SPELLED:
                found.append((start, end, letters[start:end]))
            end = start
        return iter(reversed(found))


def squeeze(word: str) -> str:
    """A word with repeated letters once.

    >>> squeeze("naaakedd")
    'naked'
    """
    return "".join(char for i, char in enumerate(word) if i == 0 or char != word[i - 1])


def _without_one(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _is_swapped(word: str, other: str) -> bool:
    """Whether two neighbouring letters of a word have changed places in the other."""
    differ = _differences(word, other)
    if len(differ) != 2 or differ[1] != differ[0] + 1:
        return False
    return word[differ[0] : differ[1] + 1] == other[differ[1]] + other[differ[0]]


def _sounds_alike(word: str, other: str) -> bool:
    """Whether a long word has one letter that sounds like the other word's: 'pistel'."""
    differ = _differences(word, other)
    if len(differ) != 1 or len(word) < REPLACED:
        return False
    return any(word[differ[0]] in alike and other[differ[0]] in alike for alike in ALIKE)


def _differences(word: str, other: str) -> list[int]:
    """Where two words of one length differ; empty for words of different length."""
    if len(word) != len(other):
        return []
    return [i for i, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
