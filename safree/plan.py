"""What of a prompt is looked at, and together with what: pure functions over words, without an encoder."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

WINDOW, OVERLAP = 32, 4  # words looked at together, and shared by neighbouring windows
REACH = 1  # joining words between a word and the negation behind it: '武器のない'
NEGATIONS = frozenset({"no", "not", "without", "never", "non", "nor", "neither"})
# Vowel signs of Indian scripts, points of Arabic and Hebrew: parts of a word that Python's \w leaves out.
MARKS = "".join(chr(code) for code in range(0x300, 0xFE00) if unicodedata.category(chr(code))[0] == "M")
PIECES = re.compile(rf"(?:[^\W_]|[{MARKS}])+|[^\w\s]|_")


@dataclasses.dataclass(frozen=True)
class Unit:
    """A word or a compound that is judged as one thing.

    text: as it stands first, in lower case. places: for each occurrence the numbers of its words
    harmless: an everyday compound or a name of people; it is no trigger by itself
    """

    text: str
    places: tuple[tuple[int, ...], ...]
    harmless: bool = False

    @property
    def words(self) -> frozenset[int]:
        return frozenset(itertools.chain(*self.places))


class Matcher:
    """Finds phrases, given as text, in a list of words; the longest at each place."""

    def __init__(self, phrases: Iterable[str]):
        self._phrases = {pieces(phrase) for phrase in phrases} - {()}
        self._heads: dict[str, int] = {}
        for phrase in self._phrases:
            self._heads[phrase[0]] = max(self._heads.get(phrase[0], 0), len(phrase))

    def with_phrases(self, phrases: Iterable[str]) -> Matcher:
        """A matcher that finds `phrases` too."""
        return Matcher([*map(" ".join, self._phrases), *phrases])

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """All words of the phrases."""
        return frozenset(itertools.chain(*self._phrases))

    def find(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Numbers of the words of each match in lower-case `words`, from left to right, not overlapping.

        >>> Matcher(["butter knife", "bow and arrow"]).find(["a", "butter", "knife"])
        [(1, 2)]
        """
        found, start = [], 0
        while start < len(words):
            longest = min(self._heads.get(words[start], 0), len(words) - start)
            size = next((n for n in range(longest, 0, -1) if tuple(words[start : start + n]) in self._phrases), 0)
            if size:
                found.append(tuple(range(start, start + size)))
            start += max(size, 1)
        return found


def pieces(text: str) -> tuple[str, ...]:
    """The words of a phrase, as the encoders' tokenizers split text.

    >>> pieces("see-through Dress")
    ('see', '-', 'through', 'dress')
    """
    return tuple(PIECES.findall(text.lower()))


def is_mark(word: str) -> bool:
    """Whether a word is punctuation alone."""
    return all(unicodedata.category(char)[0] in "PZ" or char in "`^~$+<>=|" for char in word)


def windows(sizes: Sequence[int], room: int) -> list[range]:
    """Ranges of at most WINDOW words and `room` tokens, for words of `sizes` tokens each.

    >>> windows([1] * 40, 75)
    [range(0, 32), range(28, 40)]
    """
    found, start, end = [], 0, 0
    while end < len(sizes):
        totals = itertools.accumulate(sizes[start : start + WINDOW])
        end = start + max(sum(1 for total in totals if total <= room), 1)
        found.append(range(start, end))
        start = max(start + 1, end - OVERLAP)
        while start < end < len(sizes) and sum(sizes[start : end + 1]) > room:  # a window that brings no word is none
            start += 1
    return found


def units(
    words: Sequence[str],
    joining: frozenset[str],
    compounds: Matcher,
    concepts: Matcher,
    negations: frozenset[str] = NEGATIONS,
    trailing: Matcher | None = None,
    reads_as_one: Callable[[tuple[int, ...]], bool] = lambda place: True,
) -> list[Unit]:
    """The units of a prompt of lower-case `words`; equal ones are one unit, so that none hides the others.

    joining: words that are none by themselves. compounds: everyday phrases, judged as a whole. concepts: phrases of the
    concepts, which count although they hold such words. A negation, one of `negations`, belongs to the word behind it;
    `trailing` ones to the word before. reads_as_one: whether a compound at these words is one in this sentence.
    """
    kinds: dict[tuple[str, bool], list[tuple[int, ...]]] = {}
    taken: set[int] = set()

    def add(place: tuple[int, ...], harmless: bool = False) -> None:
        kinds.setdefault((" ".join(words[i] for i in place), harmless), []).append(place)

    found = [(place, False) for place in concepts.find(words)]
    found += [(place, True) for place in compounds.find(words) if reads_as_one(place)]
    for place, harmless in sorted(found, key=lambda entry: -len(entry[0])):  # the longer wins, else the concept
        if not taken.intersection(place):
            add(place, harmless)
            taken.update(place)
    ends, behind = _trailing(words, joining, trailing) if trailing else ({}, {})
    for i, word in enumerate(words):
        if i not in taken and word not in joining and not is_mark(word):
            before = i - 1 if i and words[i - 1] in negations and i - 1 not in taken | behind.keys() else i
            add(tuple(range(before, ends.get(i, i) + 1)))
    return [Unit(text, tuple(places), harmless) for (text, harmless), places in kinds.items()]


def _trailing(
    words: Sequence[str], joining: frozenset[str], trailing: Matcher
) -> tuple[dict[int, int], dict[int, int]]:
    """(word -> last word of the negation behind it, the other way round), over at most REACH joining words."""
    ends, behind = {}, {}
    for place in trailing.find(words):
        before = [i for i in range(max(0, place[0] - 1 - REACH), place[0]) if not is_mark(words[i])]
        named = [i for i in before if words[i] not in joining]
        if named and all(words[i] in joining for i in range(named[-1] + 1, place[0])):
            ends[named[-1]] = place[-1]
            behind |= dict.fromkeys(place, named[-1])
    return ends, behind


def compounds(words: Sequence[str], joining: frozenset[str], unit: Unit) -> list[tuple[int, int]]:
    """Numbers of the two words of each compound that a one-word unit stands in: 'chicken breast', 'breast pocket'."""
    idle = [word in joining or is_mark(word) for word in words]
    pairs = [(i + step, i + step + 1) for place in unit.places if len(place) == 1 for i in place for step in (-1, 0)]
    return [(i, j) for i, j in pairs if i >= 0 and j < len(words) and not idle[i] and not idle[j]]
