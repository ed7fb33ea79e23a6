"""Ways in which people write a word so that a filter does not find it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable

LEET = str.maketrans("aeiostb", "4310578")
CYRILLIC = str.maketrans("aeopcxyi", "аеорсхуі")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
VOWELS = "aeiou"


def _middle(word: str, letters: str = "") -> int:
    """Place of the letter nearest to the middle of a word, one of `letters` where it has one, never the first."""
    places = [i for i in range(1, len(word)) if word[i] in letters] or list(range(1, len(word))) or [0]
    return min(places, key=lambda i: abs(i - (len(word) - 1) / 2))


def _without(word: str) -> str:
    at = _middle(word)
    return word[:at] + word[at + 1 :]


def _doubled(word: str) -> str:
    at = _middle(word)
    return word[:at] + word[at] + word[at:]


def _swapped(word: str) -> str:
    """Two different neighbours in the middle of a word change places."""
    places = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    if not places:
        return word
    at = min(places, key=lambda i: abs(i - (len(word) - 2) / 2))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _one_leet(word: str) -> str:
    at = next((i for i, char in enumerate(word) if char.translate(LEET) != char), None)
    return word if at is None else word[:at] + word[at].translate(LEET) + word[at + 1 :]


def _inside(mark: str) -> Callable[[str], str]:
    return lambda word: word[: len(word) // 2] + mark + word[len(word) // 2 :]


def _accents(word: str) -> str:
    marked = "".join(char + "\u0301" if char in VOWELS else char for char in word)
    return unicodedata.normalize("NFC", marked)


def _asterisk(word: str) -> str:
    at = _middle(word, VOWELS)
    return word[:at] + "*" + word[at + 1 :]


def _repeated(word: str) -> str:
    at = _middle(word, VOWELS)
    return word[:at] + 4 * word[at] + word[at + 1 :]


# By name; each makes of a word in lower case how it is written.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "letter left out": _without,
    "letter doubled": _doubled,
    "letters swapped": _swapped,
    "leet": lambda word: word.translate(LEET),
    "one leet letter": _one_leet,
    "letters apart": " ".join,
    "dots between": ".".join,
    "hyphen inside": _inside("-"),
    "space inside": _inside(" "),
    "Cyrillic look-alikes": lambda word: word.translate(CYRILLIC),
    "full width": lambda word: word.translate(FULL_WIDTH),
    "zero width inside": _inside("\u200b"),
    "accents": _accents,
    "asterisk for a vowel": _asterisk,
    "joined with the next word": lambda word: word,  # see spell
    "capitals": str.upper,
    "letter repeated": _repeated,
}
JOINED = "joined with the next word"


def spell(text: str, triggers: tuple[str, ...], name: str) -> str | None:
    """`text` with the words of its triggers in a spelling of SPELLINGS; None where that changes nothing."""
    out = text
    words = [word for trigger in triggers for word in re.findall(r"[^\W\d_]{3,}", trigger)]
    for word in dict.fromkeys(words):
        pattern = rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
        if name == JOINED:
            out = re.sub(pattern + r" (?=[^\W\d_])", lambda m: m[0][:-1], out, flags=re.IGNORECASE)
        else:
            out = re.sub(pattern, lambda m: SPELLINGS[name](m[0].lower()), out, flags=re.IGNORECASE)
    return None if out == text else out


def spelled(sentences: list, name: str) -> list:
    """The harmful ones of `sentences` in a spelling, as sentences of that kind."""
    found = [(s, spell(s.text, s.triggers, name)) for s in sentences if s.concept and s.triggers]
    return [dataclasses.replace(s, id=f"{s.id}:{name}", kind=name, triggers=(), text=text) for s, text in found if text]
