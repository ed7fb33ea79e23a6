"""Lists of names: found however they are written, and nothing else is."""

from __future__ import annotations

import random

import pytest

from safree.names import MOST_EDITS, NameList

NAMES = ("Greg Quillfeather", "Prince", "J.M.W. Ostrander", "Georgia O'Harrowby", "Snow White", "van Marrenbeek, Jan")
NAMES += ("Rose Brown", "Kwak", "葛飾北斎", "Zorblatt", "Ferndale & Osk")
COMMON = frozenset({"prince", "snow", "white", "rose", "brown"})
REAL = COMMON | frozenset({"a", "cat", "great", "by", "kayak"})


@pytest.fixture(scope="module")
def names():
    return NameList(NAMES, COMMON, REAL, {"а": "a", "е": "e"})


def found(names, text: str) -> list[tuple[str, str, bool]]:
    return [(text[one.start : one.end], one.name, one.is_certain) for one in names.find(text)]


GREG = "Greg Quillfeather"
WRITTEN = {
    "by greg quillfeather": "greg quillfeather",
    "by GREG QUILLFEATHER": "GREG QUILLFEATHER",
    "Quillfeather, Greg": "Quillfeather, Greg",
    "quillfeather greg": "quillfeather greg",
    "gregquillfeather style": "gregquillfeather",
    "greg_quillfeather": "greg_quillfeather",
    "greg-quillfeather": "greg-quillfeather",
    "Greg Quillfeather's cat": "Greg Quillfeather's",
    "greg quillfeathers": "greg quillfeathers",
    "Grég Quillféather": "Grég Quillféather",
    "gr3g quillf3ather": "gr3g quillf3ather",
    "gr\u0435g quillf\u0435ather": "gr\u0435g quillf\u0435ather",
    "ｇｒｅｇ quillfeather": "ｇｒｅｇ quillfeather",
    "g r e g q u i l l f e a t h e r": "g r e g q u i l l f e a t h e r",
    "greg quilfeather": "greg quilfeather",
    "greg quillfaether": "greg quillfaether",
    "grag quillfeather": "grag quillfeather",
    "greg quillfeatther": "greg quillfeatther",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_name_is_found_however_it_is_written(names, text):
    assert found(names, text) == [(WRITTEN[text], GREG, True)]


@pytest.mark.parametrize("text", ["jmw ostrander", "j. m. w. ostrander", "J.M.W. Ostrander", "Ostrander, J.M.W."])
def test_initials_are_found_apart_and_together(names, text):
    assert found(names, text) == [(text.rstrip("."), "J.M.W. Ostrander", True)]


def test_a_line_with_the_surname_first_is_the_same_name(names):
    assert [name for _, name, _ in found(names, "jan van marrenbeek, a cat")] == ["van Marrenbeek, Jan"]


def test_a_name_with_an_apostrophe_or_a_sign_is_found_without_it(names):
    assert found(names, "georgia oharrowby")[0][1:] == ("Georgia O'Harrowby", True)
    assert found(names, "Georgia O’Harrowby’s")[0][1:] == ("Georgia O'Harrowby", True)


def test_a_name_in_a_script_without_spaces_is_found_inside_a_sentence(names):
    assert found(names, "像葛飾北斎一样的浪") == [("葛飾北斎", "葛飾北斎", True)]


HARMLESS = ("a brown rose", "greg, a quillfeather", "greg and quillfeather", "a great quill", "quillfeather", "greg")
HARMLESS += ("a cat", "", "'s", "snow on a white house", "greg (a cat) quillfeather", "_", ",,,", "great quillfeather")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_words_are_no_names(names, text):
    assert names.find(text) == []


@pytest.mark.parametrize(
    ("text", "name"), [("a prince", "Prince"), ("snow white sheets", "Snow White"), ("Brown, Rose", "Rose Brown")]
)
def test_everyday_words_are_a_name_for_the_encoder_to_judge(names, text, name):
    ((_, got, certain),) = found(names, text)
    assert (got, certain) == (name, False)


@pytest.mark.parametrize(("text", "edits"), [("kwok", 1), ("gregg quillfaether", 2), ("zorblat", 1)])
def test_a_short_name_with_a_wrong_letter_or_a_long_one_with_two_is_for_the_encoder_to_judge(names, text, edits):
    (one,) = names.find(text)
    assert (one.edits, one.is_certain) == (edits, edits == 1 and one.name == "Zorblatt")


def test_the_plural_of_an_everyday_word_is_no_name(names):
    assert names.find("princes") == []
    assert names.find("the prince's crown")[0].name == "Prince"


def test_a_misspelling_that_is_a_word_of_its_own_is_no_name(names):
    assert names.find("kayak") == []
    assert names.find("great quillfeather") == []


def test_no_name_has_more_than_a_few_wrong_words(names):
    assert MOST_EDITS == 2
    assert names.find("j m w ostrandr")[0].edits == 1


def test_the_longest_of_two_names_is_found(names):
    both = NameList(["Ann Corbet", "Ann Corbet Lisle"], COMMON, REAL, {})
    assert [one.name for one in both.find("ann corbet lisle, ann corbet")] == ["Ann Corbet Lisle", "Ann Corbet"]


def test_every_name_of_a_long_list_is_found_where_it_stands():
    chance = random.Random(3)
    parts = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "l")]
    listed = {" ".join("".join(chance.choices(parts, k=k)).title() for k in (2, 3)) for _ in range(2000)}
    names = NameList(sorted(listed), COMMON, REAL, {})
    for name in chance.sample(sorted(listed), 200):
        text = f"a cat by {name.lower()}, a cat"
        (one,) = names.find(text)
        assert text[one.start : one.end] == name.lower()
        assert one.name == name or one.edits == 0
