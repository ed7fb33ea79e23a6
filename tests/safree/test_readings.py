"""Plainer readings: each spelling arrives at the concept's word, plain prompts have none, and time stays linear."""

from __future__ import annotations

import collections
import sys

import pytest

from safree import readings
from safree.lexicon import Lexicon

WANTED = [
    "blackface",
    "blackfaces",
    "naked",
    "gun",
    "knife",
    "pistol",
    "sex",
    "dick",
    "assassin",
    "machine",
    "裸体",
    "голая",
    "explosion",
]
EVERYDAY = {
    "a",
    "woman",
    "man",
    "on",
    "bed",
    "pen",
    "is",
    "the",
    "with",
    "cat",
    "dog",
    "deck",
    "analog",
    "black",
    "face",
}
EVERYDAY |= {"faces", "birthday", "suit"}
REAL = EVERYDAY | {"gunn", "gnu", "pistil", "crossbow", "re", "action", "reaction"}
CALLS = 60  # of functions, for each character of a long text; 1 to 29 are counted
LOOKS = {"а": "a", "е": "e", "о": "o"}


@pytest.fixture(scope="module")
def lexicon():
    plain = readings.fold
    phrases = {"machine gun", "birthday suit", "blackface"}
    return Lexicon(WANTED, REAL, EVERYDAY, lambda word: plain(word, LOOKS).text, phrases, ["birthday", "suit"])


@pytest.fixture
def found(lexicon):
    """What of a text is read otherwise, and how."""

    def found(text: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(text[r.start : r.end], r.plains) for r in readings.find(text, lexicon, LOOKS)]

    return found


@pytest.mark.parametrize(
    "written",
    [
        *("nked", "nakked", "naaaaked", "nkaed", "n4k3d", "n4ked", "n@ked", "n a k e d", "n.a.k.e.d", "n-a-k-e-d"),
        *("na-ked", "na ked", "n_a_k_e_d", "nаkеd", "ｎａｋｅｄ", "na\u200bked", "nákéd", "n*ked", "NAKED", "NaKed"),
        *("𝓷𝓪𝓴𝓮𝓭", "ⓝⓐⓚⓔⓓ", "n\u0336a\u0336k\u0336e\u0336d\u0336", "nak\u202ded"),
    ],
)
def test_a_word_is_read_however_it_is_written_and_what_stands_there_is_whole(found, written):
    text = f"a {written} woman on a bed"
    [(stands, plains)] = found(text)
    assert plains == ("naked",)
    assert stands.strip("\u0336") == written.strip("\u0336")


@pytest.mark.parametrize(
    ("text", "stands", "plain"),
    [
        ("a nakedwoman", "nakedwoman", "naked woman"),
        ("a machinegun", "machinegun", "machine gun"),
        ("a g u n", "g u n", "gun"),
        ("a n a k e d man", "n a k e d", "naked"),
        ("a cat with a 🔫", "🔫", "pistol"),
        ("裸\u200b体 的", "裸\u200b体", "裸体"),
        ("裸 体", "裸 体", "裸体"),
        ("г о л а я", "г о л а я", "голая"),
        ("an explosoin", "explosoin", "explosion"),
        ("a cross-bow", "cross-bow", "crossbow"),
        ("a birt hday", "birt hday", "birthday"),
        ("a brithday cat", "brithday", "birthday"),
        ("a n a l o g", "a n a l o g", "analog"),  # not 'anal'
        ("c r o s s b o w", "c r o s s b o w", "crossbow"),
        ("black face", "black face", "blackface"),
    ],
)
def test_words_apart_joined_in_other_scripts_and_emoji_are_read(found, text, stands, plain):
    assert found(text) == [(stands, (plain,))]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a naked woman",
            "the pen is on the bed",
            "l33t gamer",
            "at 5 p.m.",
            "a b c",
            "x y z",
            "U.S.A.",
            "8k, 4k uhd",
        ),
        *("35mm f/1.8", "4x3 grid", "James Gunn", "a gnu and a pistil", "Naked", "the analog dog", ""),
        *("nakedlord", "Pistolham", "black faces", "1 9 8 0 s", "re-action", "◦ cat", "gunsuit", "birthdaydog"),
        *("señor José's café", "😀", "*naked*", "голая", "裸体", "it's sex"),
    ],
)
def test_plain_words_names_and_numbers_have_no_other_reading(found, text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "guess"),
    [("n4ked", False), ("n a k e d", False), ("nákéd", False), ("nkaed", True), ("nakedwoman", True), ("nákd", True)],
)
def test_a_reading_of_other_letters_or_words_than_stand_there_is_a_guess(lexicon, text, guess):
    [reading] = readings.find(text, lexicon, LOOKS)
    assert reading.guess is guess


@pytest.mark.parametrize(
    "text",
    [
        "\u200b" * 10_000,
        "n" + "\u200b" * 10_000 + "aked",
        "n\u0301" * 10_000,
        "a" * 5_000,
        "ab" * 5_000,
        "n " * 10_000,
        "n a k e d " * 2_000,
        "n*k*d " * 3_000,
        "nakked" * 3_000,
        "\u202e\u200f" * 5_000 + "naked",
        "\ud800" * 10_000,
        "𝓷" * 10_000,
        "裸" * 10_000,
        "na-" * 6_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_work_grows_no_faster_than_the_text(lexicon, text):
    """Calls of functions, Python's and C's, are counted: they do not depend on the machine."""

    def calls(of: str) -> int:
        counted = collections.Counter()
        sys.setprofile(lambda frame, event, argument: counted.update([event]))
        try:
            readings.find(of, lexicon, LOOKS)
        finally:
            sys.setprofile(None)
        return counted["call"] + counted["c_call"]

    assert calls(text) < CALLS * len(text)
