"""The compounds that a word stands in: with the word before it and the word behind it, where both say something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safree.plan import Matcher, Unit, compounds, is_mark, units

JOINING = frozenset({"a", "the", "and", "of"})
WORDS = st.lists(st.sampled_from(["a", "the", "and", "gun", "star", "breast", ",", "no"]), max_size=12)


def unit(*places: tuple[int, ...]) -> Unit:
    return Unit("x", places)


@pytest.mark.parametrize(
    ("text", "place", "pairs"),
    [
        ("fried chicken breast", 1, [(0, 1), (1, 2)]),
        ("chicken breast", 0, [(0, 1)]),
        ("chicken breast", 1, [(0, 1)]),
        ("breast", 0, []),
        ("a breast pocket", 1, [(1, 2)]),
        ("breast , chicken", 0, []),
        ("chicken breast of", 1, [(0, 1)]),
        ("gun , the star", 3, []),
    ],
)
def test_a_word_stands_in_a_compound_with_each_neighbour_that_says_something(text, place, pairs):
    assert compounds(text.split(), JOINING, unit((place,))) == pairs


def test_every_place_of_a_word_counts_and_longer_units_stand_in_none():
    words = ["star", "gun", "gun", "star"]
    assert compounds(words, JOINING, unit((1,), (2,))) == [(0, 1), (1, 2), (1, 2), (2, 3)]
    assert compounds(words, JOINING, unit((1, 2))) == []
    assert compounds(words, JOINING, unit((0,), (1, 2))) == [(0, 1)]


@given(WORDS)
def test_a_compound_is_two_neighbours_that_say_something_one_of_them_the_unit(words):
    for one in units(words, JOINING, Matcher(()), Matcher(())):
        alone = {place[0] for place in one.places if len(place) == 1}
        found = compounds(words, JOINING, one)
        assert set(found) == {
            (i, i + 1)
            for i in range(len(words) - 1)
            if {i, i + 1} & alone and not any(words[n] in JOINING or is_mark(words[n]) for n in (i, i + 1))
        }
