"""What of a prompt is judged, and together with what text around it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safree.plan import OVERLAP, WINDOW, Matcher, Unit, is_mark, pieces, units, windows

SIZES = st.lists(st.integers(1, 40), max_size=150)
ROOM = 75
JOINING = frozenset({"a", "the", "and", "in", "of"})
COMPOUNDS = Matcher(["shooting star", "chicken breast", "black woman"])
WORDS = st.lists(
    st.sampled_from([*["a", "the", "and", "no", "gun", "star", "shooting", "chicken", "breast", ",", ".", "x"]]),
    max_size=40,
)


def texts(found: list[Unit]) -> list[str]:
    return [unit.text for unit in found]


def split(text: str, concepts=(), compounds=COMPOUNDS) -> list[Unit]:
    return units(pieces(text), JOINING, compounds, Matcher(concepts))


@given(SIZES)
def test_windows_cover_every_word_and_fit_one_input_of_the_encoder(sizes):
    found = windows(sizes, ROOM)
    assert {i for window in found for i in window} == set(range(len(sizes)))
    for window in found:
        assert 1 <= len(window) <= WINDOW
        assert sum(sizes[i] for i in window) <= ROOM or len(window) == 1  # a word longer than the encoder's input


@given(st.integers(0, 400))
def test_windows_of_short_words_overlap_and_are_few(count):
    found = windows([1] * count, ROOM)
    assert all(len(set(one) & set(other)) == OVERLAP for one, other in itertools.pairwise(found))
    assert len(found) <= max(1, -(-(count - OVERLAP) // (WINDOW - OVERLAP))) if count else not found


@given(SIZES)
def test_windows_go_on_and_end(sizes):
    found = windows(sizes, ROOM)
    assert all(one.start < other.start and one.stop < other.stop for one, other in itertools.pairwise(found))


@given(WORDS)
def test_every_word_but_the_joining_ones_and_marks_stands_in_exactly_one_unit(words):
    found = units(words, JOINING, COMPOUNDS, Matcher(["gun star"]))
    counted = [i for unit in found for place in unit.places for i in place]
    compound = {i for place in COMPOUNDS.find(words) for i in place}
    wanted = {i for i, word in enumerate(words) if word not in JOINING and not is_mark(word)} | compound
    assert set(counted) >= wanted
    assert {words[i] for i in set(counted) - wanted} == set()
    assert len(set(texts(found))) == len(found) or any(unit.harmless for unit in found)


@given(WORDS)
def test_equal_units_are_one_with_all_their_places(words):
    for unit in units(words, JOINING, COMPOUNDS, Matcher(())):
        for place in unit.places:
            assert " ".join(words[i] for i in place) == unit.text
        assert unit.words == {i for place in unit.places for i in place}


def test_function_words_and_marks_are_no_units():
    assert texts(split("a gun , and the star . in the house !")) == ["gun", "star", "house"]


@pytest.mark.parametrize("mark", [",", ".", "\u3002", "(", "_", "<", "|", "~", "\u2014"])
def test_marks_of_any_script_are_marks(mark):
    assert is_mark(mark)
    assert not is_mark(f"a{mark}")


@pytest.mark.parametrize("word", ["gun", "5", "\u67aa", "\U0001f52b", "\u00e9"])
def test_letters_numbers_and_emoji_are_no_marks(word):
    assert not is_mark(word)


def test_a_compound_is_one_harmless_unit_and_its_words_stand_alone_elsewhere():
    found = split("a shooting star and a man shooting")
    assert [(unit.text, unit.harmless) for unit in found] == [
        ("shooting star", True),
        ("man", False),
        ("shooting", False),
    ]


def test_a_phrase_of_the_concept_wins_over_an_everyday_compound_that_holds_it():
    """Somebody who guards against 'chicken breast' means it; a phrase inside a longer compound does not count."""
    found = split("a chicken breast", concepts=["chicken breast"])
    assert [(unit.text, unit.harmless) for unit in found] == [("chicken breast", False)]
    found = split("shooting star", concepts=["shooting"])
    assert [(unit.text, unit.harmless) for unit in found] == [("shooting star", True)]
    found = split("shooting star fighter", concepts=["shooting star fighter"])
    assert [(unit.text, unit.harmless) for unit in found] == [("shooting star fighter", False)]


@pytest.mark.parametrize("negation", ["no", "not", "without", "never"])
def test_a_negation_belongs_to_the_word_behind_it(negation):
    found = split(f"a house with {negation} guns")
    assert f"{negation} guns" in texts(found)
    assert "guns" not in texts(found)


def test_a_negation_does_not_hide_the_word_elsewhere():
    """'no guns' beside 'guns' leaves the second one a unit of its own."""
    found = split("no guns, guns")
    assert texts(found)[-1] == "guns" or "guns" in texts(found)
    places = {unit.text: unit.places for unit in found}
    assert places["guns"] == ((3,),)
    assert (0, 1) in places["no guns"]


def test_a_negation_before_a_concept_phrase_leaves_the_phrase_itself_a_unit():
    found = split("no gun fight", concepts=["gun fight"])
    assert "gun fight" in texts(found)


def test_the_longest_phrase_is_found_at_each_place():
    matcher = Matcher(["bow", "bow tie", "bow and arrow"])
    assert matcher.find(["a", "bow", "and", "arrow", ",", "a", "bow", "tie", "and", "a", "bow"]) == [
        (1, 2, 3),
        (6, 7),
        (10,),
    ]
    assert Matcher(["bow and arrow"]).find(["bow", "and"]) == []


def test_a_matcher_with_more_phrases_finds_the_old_ones_too_and_stays_itself():
    one = Matcher(["bow tie"])
    both = one.with_phrases(["rubber duck"])
    words = ["rubber", "duck", "with", "a", "bow", "tie"]
    assert both.find(words) == [(0, 1), (4, 5)]
    assert one.find(words) == [(4, 5)]


@pytest.mark.parametrize("phrases", [(), ("",), (" ", "\n")])
def test_no_phrases_find_nothing(phrases):
    assert Matcher(phrases).find(["a", "", "b"]) == []


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.text("abc ", min_size=1, max_size=6), max_size=6))
def test_matches_do_not_overlap_and_spell_a_phrase(words, phrases):
    found = Matcher(phrases).find(words)
    assert sorted(i for place in found for i in place) == [i for place in found for i in place]
    assert all(" ".join(words[i] for i in place) in {" ".join(pieces(p)) for p in phrases} for place in found)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Rock'n'Roll", ("rock", "'", "n", "'", "roll")),
        ("see-through", ("see", "-", "through")),
        ("snake_case", ("snake", "_", "case")),
        ("\u00c9p\u00e9e", ("\u00e9p\u00e9e",)),
        ("", ()),
    ],
)
def test_a_phrase_is_split_as_the_encoders_split_text(text, wanted):
    assert pieces(text) == wanted
