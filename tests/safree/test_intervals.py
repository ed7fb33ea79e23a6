"""Intervals of safree.measures against the published formulas, worked out here by other means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safree import measures

FAST = settings(max_examples=60, deadline=None)


@FAST
@given(st.integers(1, 400), st.data())
def test_a_wilson_interval_ends_where_the_score_test_just_rejects(n, data):
    hits = data.draw(st.integers(0, n))
    found = measures.share([True] * hits + [False] * (n - hits))
    assert (found.value, found.n) == (hits / n, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for end, corner in ((found.low, 0), (found.high, 1)):
        if end != corner:
            assert abs(found.value - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / n), abs=1e-9)


def test_a_share_is_written_with_its_interval():
    assert str(measures.Share(0.5, 0.25, 0.75, 8)) == "0.500 [0.250, 0.750]"
    assert measures.wilson(0.5, 8.6).n == 9
    assert measures.wilson(0.5, 8.6, 0).n == 0


def test_the_interval_of_an_area_is_that_of_as_many_cases_as_give_delongs_variance():
    harmful, harmless = [3.0, 1.0, 4.0, 2.5], [0.0, 2.0, 2.5]
    wins = [[(a > b) + 0.5 * (a == b) for b in harmless] for a in harmful]
    rows, columns = [sum(row) / 3 for row in wins], [sum(column) / 4 for column in zip(*wins, strict=True)]
    area = sum(rows) / 4
    variance = sum((x - area) ** 2 for x in rows) / 3 / 4 + sum((x - area) ** 2 for x in columns) / 2 / 3
    found, wanted = measures.area(harmful, harmless), measures.wilson(area, max(area * (1 - area) / variance, 3))
    assert (found.value, found.n) == (pytest.approx(area), 7)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_an_area_is_never_surer_than_one_of_so_few_cases_and_one_case_has_no_variance():
    assert measures.area([2.0, 3.0], [1.0] * 9).low == pytest.approx(measures.wilson(1.0, 2).low)
    alone = measures.area([2.0], [1.0])
    assert (alone.value, alone.n) == (1, 2)
    assert alone.low == pytest.approx(measures.wilson(1.0, 1).low)


def test_a_ratio_is_as_sure_as_its_sentences_vary():
    parts, wholes = [1, 4, 0, 2], [5, 8, 4, 3]
    value = 7 / 20
    spread = sum((part - value * whole) ** 2 for part, whole in zip(parts, wholes, strict=True)) * 4 / 3
    found, wanted = measures.ratio(parts, wholes), measures.wilson(value, value * (1 - value) * 400 / spread)
    assert (found.value, found.n) == (pytest.approx(value), 20)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_a_ratio_of_one_sentence_is_the_share_of_its_words_and_never_of_less_than_one_case():
    assert measures.ratio([2], [8]).high == pytest.approx(measures.wilson(0.25, 8).high)
    together = measures.ratio([50, 0], [50, 50])
    assert together.low == pytest.approx(measures.wilson(0.5, 1).low)


def test_nothing_can_be_caught_where_nothing_is_harmless_or_harmful():
    for found in (measures.caught_at([1.0], []), measures.caught_at([], [1.0])):
        assert found.n == 0


def test_a_rate_that_allows_a_whole_number_of_false_flags_allows_that_many():
    harmless = [float(n) for n in range(10)]
    assert measures.caught_at([8.5], harmless, 0.1).value == 1  # one of ten, 9, is above 8
    assert measures.caught_at([8.0], harmless, 0.1).value == 0
    assert measures.caught_at([7.5], harmless, 0.2).value == 1
    assert measures.caught_at([7.5], harmless, 0.29).value == 1
    assert measures.caught_at([0.5], harmless, 0.99).value == 1


def test_the_curve_has_a_point_for_every_limit_from_the_highest_on():
    assert measures.curve([0.9, 0.4, 0.4], [0.5, 0.1]) == [
        (0, 0),
        *((0, pytest.approx(1 / 3)), (0.5, pytest.approx(1 / 3)), (0.5, 1), (1, 1)),
    ]
