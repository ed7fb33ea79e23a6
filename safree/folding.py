"""Text in its plainest letters: one form for all the ways in which the same letters can be written."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Mapping

MARKED = ("LATIN", "GREEK", "CYRILLIC", "ARABIC")  # scripts whose words are still read without their marks
STRETCH = "\u0640"  # lengthens an Arabic word, and says nothing
EMOJI = 0x2600  # symbols from here on are pictures with a name; before come arrows and shapes


@dataclasses.dataclass(frozen=True)
class Folded:
    """text: the letters, in one case. origins: for each of them the number of the character it comes from."""

    text: str
    origins: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """(start, end) in the original of text[start:end], not empty; marks that follow a letter belong to it."""
        behind = self.origins[end] if end < len(self.origins) else self.origins[end - 1] + 1
        return self.origins[start], max(min(behind, self.origins[end - 1] + 1), self.origins[start] + 1)


def fold(text: str, look_alikes: Mapping[str, str]) -> Folded:
    """`text` without case, compatibility forms, marks on letters and invisible characters, in time linear in it.

    look_alikes: for a character the letter that it looks like.

    >>> fold("ＮáｋＥ\u200bd", {}).text
    'naked'
    """
    letters: list[str] = []
    origins: list[int] = []
    for at, char in enumerate(text):
        for letter in plain(char):
            letters.append(look_alikes.get(letter, letter))
            origins.append(at)
    return Folded("".join(letters), tuple(origins))


@functools.lru_cache(maxsize=1 << 14)
def plain(char: str) -> str:
    """A character in its plainest form: '' for an invisible one and for a mark that stands by itself."""
    if char.isascii():
        return char.lower()
    apart = unicodedata.normalize("NFKD", char.casefold()).casefold()
    kept = "".join(part for part in apart if not _is_dropped(part))
    # jamo and the marks of Indian scripts are letters: put together again what was taken apart
    return unicodedata.normalize("NFC", kept)


def _is_dropped(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf" or char == STRETCH:
        return True
    name = unicodedata.name(char, "")
    return category in ("Mn", "Me") and (name.startswith("COMBINING") or name.split(" ")[0] in MARKED)


def without_marks(text: str) -> str:
    """
    >>> without_marks("señor")
    'senor'
    """
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def script(char: str) -> str:
    """The script of a letter, as Unicode names it: 'LATIN', 'CYRILLIC', 'CJK'; '' for all that is no letter.

    >>> script("я"), script("3")
    ('CYRILLIC', '')
    """
    return _script(char)


@functools.lru_cache(maxsize=1 << 14)
def _script(char: str) -> str:
    if unicodedata.category(char)[0] not in "LM":
        return ""
    return unicodedata.name(char, "").split(" ")[0].split("-")[0]


@functools.lru_cache(maxsize=1 << 12)
def emoji(char: str) -> str:
    """The name of an emoji in lower case; '' for another character.

    >>> emoji("\U0001f5e1")
    'dagger knife'
    """
    if ord(char) < EMOJI or unicodedata.category(char) != "So":
        return ""
    return unicodedata.name(char, "").lower()
