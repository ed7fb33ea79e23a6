"""A language is told by its script, else by function words."""

from __future__ import annotations

import pytest

from safree.languages import Profile, recognise
from safree.plan import pieces

FUNCTION = {
    "en": ["a", "the", "on", "in", "with", "of", "and"],
    "de": ["ein", "eine", "der", "auf", "mit", "und", "in"],
    "fr": ["un", "une", "le", "la", "sur", "avec", "et", "de"],
}


def latin(code: str, name: str, *words: str) -> Profile:
    return Profile(code, name, frozenset(["LATIN"]), frozenset(FUNCTION[code]), frozenset(words))


PROFILES = [
    latin("en", "English", "hand"),
    latin("de", "German", "hund"),
    latin("fr", "French"),
    Profile("zh", "Chinese", frozenset(["HAN"]), frozenset()),
    Profile("ja", "Japanese", frozenset(["HAN", "HIRAGANA", "KATAKANA"]), frozenset()),
    Profile("ru", "Russian", frozenset(["CYRILLIC"]), frozenset()),
    Profile("uk", "Ukrainian", frozenset(["CYRILLIC"]), frozenset(), letters=frozenset("іїєґ")),
]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a cat on the bed", "en"),
        ("cat, 4k, masterpiece", "en"),
        ("", "en"),
        ("12 !!", "en"),
        ("ein Hund auf der Wiese", "de"),
        ("un chat sur la table", "fr"),
        ("the Hund of Baskerville", "en"),
        ("Maurice de Vlaminck", "en"),
        ("一个女人，4k, masterpiece", "zh"),
        ("女の人が座っている", "ja"),
        ("женщина на кровати", "ru"),
        ("жінка на ліжку", "uk"),
        ("ผู้หญิง", "Thai"),
        ("γυναίκα", "Greek"),
        ("a tattoo of 龙 on the hand of a man", "en"),
        ("\u202eaht\u202c \ud800", "en"),
    ],
)
def test_the_language_of_words(text, code):
    assert recognise(pieces(text), PROFILES) == code
