"""Letters in plain form and where they stood; how words are cut up, joined and misspelled, each rule at its bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safree import readings
from safree.folding import emoji, fold, plain, script
from safree.languages import Profile, recognise
from safree.lexicon import Lexicon, squeeze
from safree.terms import TermList

EVERYDAY = {"a", "cat", "pen", "is", "red", "machine", "dog", "ago"}
LEXICON = Lexicon(["naked", "gun", "pistol", "penis", "dick", "bombing", "ab"], EVERYDAY | {"pistil"}, EVERYDAY)


def found(text: str, lexicon: Lexicon = LEXICON) -> list[tuple[str, tuple[str, ...]]]:
    return [(text[one.start : one.end], one.plains) for one in readings.find(text, lexicon, {})]


@given(st.text(st.sampled_from("aB1\u00e1\u200b\u0301\ufb01\u0130\uff21\uac00 "), max_size=12))
def test_every_plain_letter_stands_where_its_character_stood(text):
    folded = fold(text, {})
    assert len(folded.text) == len(folded.origins)
    assert list(folded.origins) == sorted(folded.origins)
    assert folded.text == "".join(map(plain, text))
    for at, letter in enumerate(folded.text):
        assert letter in plain(text[folded.origins[at]])
        start, end = folded.span(at, at + 1)
        assert start == folded.origins[at] < end
        assert all(plain(char) == "" for char in text[start + 1 : end])


def test_marks_behind_a_letter_belong_to_it_and_those_behind_the_last_do_not():
    folded = fold("n\u200ba\u200bb\u200b", {})
    assert folded.text == "nab"
    assert [folded.span(n, n + 1) for n in range(3)] == [(0, 1), (2, 3), (4, 5)]
    assert folded.span(0, 3) == (0, 5)
    assert fold("\ufb01x", {}).text == "fix"
    assert fold("\ufb01x", {}).span(0, 1) == (0, 1)  # one character, two letters
    assert fold("\u0430b", {"\u0430": "a"}).text == "ab"


@pytest.mark.parametrize(
    ("char", "name"),
    [("\U0001f52b", "pistol"), ("\u2190", ""), ("a", ""), ("\u2603", "snowman"), ("\u00a9", ""), ("\u26fa", "tent")],
)
def test_emoji_are_pictures_with_a_name(char, name):
    assert emoji(char) == name


@pytest.mark.parametrize(
    ("char", "of"),
    [("a", "LATIN"), ("\u044f", "CYRILLIC"), ("\u4e00", "CJK"), ("3", ""), (",", ""), ("\u0301", "COMBINING")],
)
def test_letters_and_their_marks_have_a_script(char, of):
    assert script(char) == of


@pytest.mark.parametrize(
    ("text", "readings_"),
    [
        ("g u n", [("g u n", ("gun",))]),
        ("g, u n", []),  # a comma is no gap: two of the letters alone are no word
        ("a cat, g u n", [("g u n", ("gun",))]),
        ("g.u.n.", [("g.u.n", ("gun",))]),
        ("g    u n", []),  # too far apart
        ("xg u n", []),
        ("gun g u n", [("g u n", ("gun",))]),
        ("pen is", []),  # two words that make a third by chance
        ("pis-tol", [("pis-tol", ("pistol",))]),
        ("pis tol", [("pis tol", ("pistol",))]),
        ("pis, tol", []),
        ("pi s tol", [("pi s tol", ("pistol",))]),
        ("pis tols", []),
        ("a gun s is red", []),  # the word is there already
        ("gun", []),
        ("x y z g u n", [("g u n", ("gun",))]),
    ],
)
def test_letters_and_parts_are_put_together_over_a_gap(text, readings_):
    assert found(text) == readings_


def test_a_long_word_is_seen_although_its_parts_are_words():
    everyday = {"bomb", "ing", "bo", "mbing"}
    words = ["bombing", "bosun"], everyday | {"sun", "bos"}, everyday | {"sun"}
    lexicon = Lexicon(*words, phrases={"bombing"})
    assert found("bomb ing", lexicon) == [("bomb ing", ("bombing",))]
    assert found("bomb ing", Lexicon(*words)) == []  # a part of a phrase is no reason: 'black faces' are two words
    assert found("bo mbing", lexicon) == []  # two letters are too few
    assert found("bo sun", lexicon) == []


@pytest.mark.parametrize(
    ("word", "names"),
    [
        *((word, ["pistol"]) for word in ("pistl", "pistoll", "pisttol", "psitol", "pistel", "pisttool", "pistolx")),
        *((word, []) for word in ("pistil", "pstl", "pistox", "xpistolx", "ptsiol", "pis", "lotsip")),
        *(("naked"[:n] + "naked"[n + 1 :], ["naked"]) for n in range(5)),
        ("nakef", []),  # too short for another letter
        ("nakedx", []),  # too short for one letter too many
        ("gu", []),
        ("un", []),
        ("dic", ["dick"]),
        ("dikc", ["dick"]),
        ("ggguuun", ["gun"]),
    ],
)
def test_a_misspelling_is_one_edit_away_and_shorter_words_bear_fewer(word, names):
    assert LEXICON.near(word) == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("n*ked", ["naked"]),
        ("g*n", ["gun"]),
        ("*u*", []),
        ("n**ed", ["naked"]),
        ("n***d", []),
        ("n*kes", []),
        ("p*n**", ["penis"][:0]),
    ],
)
def test_marks_stand_for_a_letter_each_up_to_half_of_a_word(pattern, names):
    assert LEXICON.matching(pattern, "*") == names


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("nakedcat", "naked cat"),
        ("catnaked", "cat naked"),
        ("pistoldick", "pistol dick"),
        ("guncat", ""),  # three letters of a concept are too few
        ("nakeda", ""),  # one letter of another word is
        ("nakedis", "naked is"),
        ("nakedxyz", ""),
    ],
)
def test_two_words_are_written_as_one_where_a_concept_names_a_long_part(word, parts):
    assert LEXICON.split(word) == parts


def test_a_phrase_written_as_one_word_is_taken_apart_whatever_its_parts():
    lexicon = Lexicon([], set(), set(), phrases={"ab cd"})
    assert lexicon.split("abcd") == "ab cd"
    assert lexicon.split("acbd") == ""


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("anakedcat", [(1, 6, "naked")]),
        ("gungun", [(0, 3, "gun"), (3, 6, "gun")]),
        ("xgunx", [(1, 4, "gun")]),
        ("cat", []),
        ("", []),
        ("agoun", []),
    ],
)
def test_letters_apart_are_read_as_words(letters, words):
    assert list(LEXICON.segment(letters)) == words


def test_a_lexicon_keeps_short_words_of_other_scripts_alone():
    lexicon = Lexicon(["ab", "\u88f8\u4f53", "Caf\u00e9"], set(), set())
    assert lexicon.names("ab") == []
    assert lexicon.names("\u88f8\u4f53") == ["\u88f8\u4f53"]
    assert lexicon.names("cafe") == ["Caf\u00e9"]
    assert lexicon.longest == 4
    assert Lexicon([], set(), set()).longest == 0
    assert squeeze("aabbcca") == "abca"


@pytest.mark.parametrize(
    ("text", "readings_"),
    [
        ("a Guns", []),
        ("pistel", [("pistel", ("pistol",))]),
        ("a Pistel", []),  # a name
        ("Pistel", [("Pistel", ("pistol",))]),  # the first word has a capital anyway
        ("red. Pistel", [("Pistel", ("pistol",))]),
        ("red, Pistel", []),
        ("GUN", [("GUN", ("gun",))]),
        ("Gun", []),
        ("CAT", []),
        ("MACHINE", [("MACHINE", ("machine",))]),
        ("gun5", []),
        ("machin\u20ac", [("machin\u20ac", ("machine",))]),
        ("gu*", []),
    ],
)
def test_names_and_capitals_are_told_from_misspellings(text, readings_):
    assert found(text) == readings_


LATIN = frozenset({"LATIN"})
PROFILES = [
    Profile("en", "English", LATIN, frozenset({"the", "in"}), frozenset({"hand"})),
    Profile("de", "German", LATIN, frozenset({"der", "in"}), frozenset({"hund", "hand"}), frozenset("\u00df")),
    Profile("ru", "Russian", frozenset({"CYRILLIC"}), frozenset()),
]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("der", "de"),  # one function word is enough
        ("hund", "en"),  # half of one is not
        ("hund hund", "de"),
        ("hund stra\u00dfe", "de"),
        ("in in in in", "en"),  # of both: not ahead
        ("der the", "en"),
        ("der der the", "de"),
        ("hund hand", "en"),
        ("abc \u044f", "ru"),  # a quarter of the letters
        ("abcd \u044f", "en"),
        ("\u044f", "ru"),
    ],
)
def test_a_language_is_told_by_function_words_and_by_a_quarter_of_the_letters(words, code):
    assert recognise(words.split(), PROFILES) == code


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *((f"a {age} year old wall", age < 18) for age in (0, 1, 17, 18, 19, 100)),
        ("aged 17", True),
        ("aged 18", False),
        ("17 aged", True),
        ("17", False),
        ("17 walls", False),
        ("1234 year old", False),
        ("0017 year old", False),  # more digits than an age has
        ("year old 17", True),
        ("year 17 old", False),
    ],
)
def test_an_age_is_a_number_beside_what_says_so(text, is_one):
    assert TermList.of([], ["year old", "aged"], 18).finds(text) is is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("red tower", True),
        ("red tower hill", False),
        ("red tower hill, red tower", True),
        ("tower", False),
        ("red", False),
    ],
)
def test_an_exception_excuses_the_term_inside_it_alone(text, is_one):
    assert TermList.of(["red tower"], exceptions=["red tower hill", "tower red"]).finds(text) is is_one


def test_a_word_that_goes_on_is_another_when_three_letters_more_are_written_apart():
    lexicon = Lexicon(["gun", "guns", "bomb", "bombing"], {"gun", "bomb"}, {"gun", "bomb"})
    assert found("gun s", lexicon) == []
    assert found("bomb ing", lexicon) == [("bomb ing", ("bombing",))]


def test_a_word_is_looked_at_up_to_a_number_of_letters():
    for count, names in ((readings.LONGEST, ("naked",)), (readings.LONGEST + 1, None)):
        word = "n" + "a" * (count - 4) + "ked"
        assert found(word) == ([(word, names)] if names else [])
