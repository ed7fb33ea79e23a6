"""Rules over units, on numbers counted by hand: inside compounds, at the limit, and in windows that share a unit."""

from __future__ import annotations

import pytest
import torch

from safree import SafreeError, check_share
from safree.decision import EVERYDAY, ROUNDS, SURE, SUSPECTS, Rule, View, decide, suspects
from safree.linear_algebra import shrunk_covariance


def test_a_word_inside_an_everyday_compound_counts_half_as_itself_and_half_as_the_compound():
    rule = Rule([0.6, 0.6, 0.6], 0.4)
    assert rule.within({0: -0.8, 1: EVERYDAY, 2: EVERYDAY - 0.001}).alone == pytest.approx([-0.1, 0.6, 0.0495])
    assert rule.within({0: -0.8}).limit == 0.4
    assert rule.sum(0, 0.25) == pytest.approx(0.85)


def test_a_unit_at_its_limit_is_no_suspect_and_one_above_it_is():
    rules, views = [Rule([0.5, 0.5, 0.75], 1.0)], [View((0, 2)), View((1, 2))]
    assert suspects(rules, views, [[0.5], [0.5]], [False] * 3) == [2]
    assert suspects(rules, views, [[0.75], [0.5]], [False] * 3) == [0, 2]
    assert suspects(rules, views, [[0.75], [0.5]], [True, False, True]) == []


def decided(rules, views, leanings, lean):
    """(flagged units, what the encoder was asked in each call)."""
    calls = []

    def noted(rows):
        calls.append(rows)
        return lean(rows)

    verdicts = list(decide(rules, views, leanings, noted, [False] * len(rules[0].alone)))
    return {verdict.unit for verdict in verdicts if verdict.flagged}, calls


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_a_window_is_looked_at_again_without_a_unit_that_was_flagged_in_another(unit):
    alone = [-1.0] * 3
    alone[unit] = 0.8
    views = [View((0, 1, 2)), View((unit,))]
    flagged, calls = decided([Rule(alone, 0.4)], views, [[0.5], [-0.9]], lambda rows: [[-1.0]] * len(rows))
    assert flagged == {unit}
    assert calls[-1] == [(1, frozenset({unit}))]


def test_a_unit_far_above_the_limit_is_flagged_without_a_trial():
    views, limit = [View((0, 1))], -0.5
    for alone, trials in ((limit + SURE + 0.01, 0), (limit + SURE - 0.01, 2)):
        flagged, calls = decided([Rule([alone, -1.0], limit)], views, [[1.0]], lambda rows: [[-1.0]] * len(rows))
        assert 0 in flagged
        assert sum(len(rows) > 1 for rows in calls) == bool(trials)


def test_only_the_units_that_lean_most_are_tried():
    alone = [0.01 * n for n in range(SUSPECTS + 5)]
    views = [View(tuple(range(len(alone))))]
    _, calls = decided([Rule(alone, 0.5)], views, [[0.6]], lambda rows: [[-1.0]] * len(rows))
    assert {next(iter(masked)) for _, masked in calls[0]} == set(range(5, len(alone)))


def test_a_window_that_no_mask_quiets_is_given_up_after_some_rounds_with_all_of_its_units():
    alone, views = [0.5] * (ROUNDS + 3), [View(tuple(range(ROUNDS + 3)))]
    flagged, calls = decided([Rule(alone, 0.0)], views, [[0.9]], lambda rows: [[0.9]] * len(rows))
    assert flagged == set(range(ROUNDS + 3))
    assert len(calls) == ROUNDS


def test_a_share_is_between_0_and_its_most():
    for value, most in ((0, 1), (1, 1), (2, 2), (0.5, 1)):
        check_share("strength", value, most)
    for value, most in ((1.001, 1), (-0.001, 1), (2.001, 2), (float("nan"), 1)):
        with pytest.raises(SafreeError, match=rf"strength is {value}, outside 0 to {most}"):
            check_share("strength", value, most)
    with pytest.raises(SafreeError):
        check_share("strength", 1.5)


@pytest.mark.parametrize("shrinkage", [0.0, 0.25, 1.0])
def test_a_shrunk_covariance_keeps_its_trace_and_moves_its_parts_towards_a_multiple_of_the_identity(shrinkage):
    rows = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = sum(torch.outer(row, row) for row in rows) / 7
    found = shrunk_covariance(rows, shrinkage)
    torch.testing.assert_close(found.trace(), covariance.trace())
    apart = ~torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(found[apart], (1 - shrinkage) * covariance[apart])
    mean = covariance.trace() / 4
    torch.testing.assert_close(found.diagonal() - mean, (1 - shrinkage) * (covariance.diagonal() - mean))


def test_the_covariance_of_nothing_can_be_inverted():
    assert torch.linalg.cholesky(shrunk_covariance(torch.zeros(3, 2), 0.1)).diagonal().min() > 0
