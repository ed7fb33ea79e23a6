"""Lists of terms that are found by their spelling alone, in any language: what a text speaks of, not what it means."""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

Words = tuple[str, ...]

PART = re.compile(r"\d+|\D+")  # '12yo' is a number and a word
# Scripts that write no spaces between words (Thai to Khmer, kana, Chinese): their terms are found anywhere.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
HANGUL = re.compile("[\uac00-\ud7a3]")  # its words go on with particles
ARTICLE = re.compile("^(?:[\u0648\u0641]?[\u0628\u0643\u0644]?\u0627\u0644|\u0644\u0644)(?=.{2})")  # al-, wal-, lil-
MOST_DIGITS = 3  # of an age


@dataclasses.dataclass(frozen=True)
class TermList:
    """phrases, ages and exceptions in plain spelling, as words.

    phrases: the terms. parts: terms that are found inside words. beginnings: terms that words may begin with
    ages: what says that a number is one of years. adult: years from which it is none of these terms; 0: no age is
    exceptions: phrases that hold a term and mean something else
    """

    phrases: frozenset[Words]
    parts: Words = ()
    beginnings: Words = ()
    ages: frozenset[Words] = frozenset()
    adult: int = 0
    exceptions: frozenset[Words] = frozenset()

    @classmethod
    def of(
        cls, terms: Iterable[str], ages: Iterable[str] = (), adult: int = 0, exceptions: Iterable[str] = ()
    ) -> TermList:
        """From texts as people write them."""
        spelled = [plain(term) for term in terms]
        return cls(
            _phrases(term for term in spelled if not UNSPACED.search(term)),
            tuple(term for term in spelled if UNSPACED.search(term)),
            tuple(term for term in spelled if HANGUL.search(term)),
            _phrases(map(plain, ages)),
            adult,
            _phrases(map(plain, exceptions)),
        )

    def finds(self, text: str) -> bool:
        """Whether a term, or an age below `adult`, stands in `text`.

        >>> TermList.of(["old church"]).finds("an OLD  church, grey"), TermList.of(["old church"]).finds("old churches")
        (True, False)
        >>> TermList.of([], ages=["year old"], adult=18).finds("a 12-year-old car")
        True
        """
        text = plain(text)
        found = [ARTICLE.sub("", word) for word in words(text)]
        if any(part in text for part in self.parts) or any(word.startswith(self.beginnings) for word in found):
            return True
        excepted = {at for place in _places(found, self.exceptions) for at in place}
        if any(not excepted.issuperset(place) for place in _places(found, self.phrases)):
            return True
        return any(age < self.adult for age in self._years(found))

    def _years(self, found: Sequence[str]) -> Iterator[int]:
        """The numbers among words that a text says to be years: '12 years old', 'aged 12', '12\u6b73'."""
        for at, word in enumerate(found):
            if not word.isdecimal() or len(word) > MOST_DIGITS:
                continue
            behind = any(tuple(found[at + 1 : at + 1 + len(age)]) == age for age in self.ages)
            before = any(tuple(found[max(at - len(age), 0) : at]) == age for age in self.ages)
            joined = at + 1 < len(found) and any(found[at + 1].startswith(age[0]) for age in self._unspaced_ages)
            if behind or before or joined:
                yield int(word)

    @property
    def _unspaced_ages(self) -> list[Words]:
        return [age for age in self.ages if UNSPACED.search(age[0]) or HANGUL.search(age[0])]


def plain(text: str) -> str:
    """`text` in one case and form, without accents, invisible characters and variants of letters.

    >>> plain("\uff2e\u00e1\u200bme")
    'name'
    """
    apart = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", "".join(char for char in apart if not _is_dropped(char)))


@functools.lru_cache(maxsize=4096)
def _is_dropped(char: str) -> bool:
    """Whether a character is invisible, or a mark on a Latin, Greek, Cyrillic or Arabic letter."""
    if unicodedata.category(char) == "Cf":
        return True
    accent = unicodedata.name(char, "").startswith(("COMBINING", "ARABIC"))
    return accent and unicodedata.category(char) == "Mn"


def words(text: str) -> Words:
    """The words of a text in plain spelling; the marks of Indian scripts belong to their letters.

    >>> words("a 12yo car")
    ('a', '12', 'yo', 'car')
    """
    letters = "".join(char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in text)
    return tuple(part for word in letters.split() for part in PART.findall(word))


def _phrases(texts: Iterable[str]) -> frozenset[Words]:
    return frozenset(words(text) for text in texts) - {()}


def _places(found: Sequence[str], phrases: frozenset[Words]) -> Iterator[range]:
    """Where one of `phrases` stands among words."""
    for size in sorted({len(phrase) for phrase in phrases}):
        for at in range(len(found) - size + 1):
            if tuple(found[at : at + size]) in phrases:
                yield range(at, at + size)
