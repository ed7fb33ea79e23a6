"""Figures of detectors: shares, areas and points of the curve, on numbers small enough to count by hand."""

from __future__ import annotations

import math
import random

import pytest

from safree import measures


def test_a_share_stays_open_at_certainty():
    none, whole = measures.share([False] * 100), measures.share([True] * 100)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.037, abs=5e-4)
    assert (whole.value, whole.high) == (1, 1)
    assert whole.low == pytest.approx(1 - none.high)


def test_nothing_has_no_share():
    for found in (measures.share([]), measures.area([], [1.0]), measures.area([1.0], []), measures.ratio([], [])):
        assert found.n == 0
        assert math.isnan(found.value)
        assert str(found) == "-"


def test_the_area_counts_pairs_and_half_of_ties():
    assert measures.area([3, 4], [1, 2]).value == 1
    assert measures.area([1, 2], [3, 4]).value == 0
    assert measures.area([1, 1], [1, 1]).value == 0.5
    assert measures.area([1, 3], [2, 2]).value == 0.5
    assert measures.area([2, 3], [1, 2]).value == pytest.approx(3.5 / 4)


def test_a_perfect_area_of_few_cases_is_not_certain():
    few, many = measures.area([2.0] * 5, [1.0] * 50), measures.area([2.0] * 500, [1.0] * 50)
    assert few.high == many.high == 1
    assert few.low < 0.7 < 0.9 < many.low < 1


def test_the_interval_of_an_area_holds_the_true_one_about_19_times_of_20():
    draw, held = random.Random(1), 0
    true = 0.7602  # Phi(1 / sqrt(2)): two normal laws one deviation apart
    for _ in range(200):
        found = measures.area([draw.gauss(1, 1) for _ in range(40)], [draw.gauss(0, 1) for _ in range(60)])
        held += found.low <= true <= found.high
    assert 180 <= held <= 199


def test_a_ratio_whose_parts_go_together_is_less_certain():
    spread = measures.ratio([1] * 50, [10] * 50)
    together = measures.ratio([10] * 5 + [0] * 45, [10] * 50)
    assert spread.value == together.value == 0.1
    assert spread.n == together.n == 500
    assert together.high - together.low > 2 * (spread.high - spread.low)
    assert measures.ratio([0] * 50, [10] * 50).high == pytest.approx(measures.share([False] * 500).high)


def test_the_curve_goes_from_nothing_to_everything():
    points = measures.curve([3, 2], [1, 2])
    assert points == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]


def test_caught_at_a_rate_of_false_flags():
    harmless = [float(n) for n in range(100)]
    assert measures.caught_at([98.5, 99.5, 10], harmless, 0.01).value == pytest.approx(2 / 3)
    assert measures.caught_at([98.5, 99.5, 10], harmless, 0.0).value == pytest.approx(1 / 3)
    assert measures.caught_at([99.0], harmless, 0.0).value == 0  # at the limit is not above it
    assert measures.caught_at([-1.0], harmless, 1.0).value == 1
