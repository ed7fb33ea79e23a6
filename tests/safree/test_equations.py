"""Modes `paper` and `reference` against a transcription of the equations in numpy, float64, that shares no code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safree import detection, projection, validation
from safree.linear_algebra import span

SEEDS = range(4)
ALPHA = 0.01


def projector(columns: np.ndarray) -> np.ndarray:
    """P = A (A^T A)^-1 A^T of a matrix [D, K] with independent columns."""
    return columns @ np.linalg.inv(columns.T @ columns) @ columns.T


def problem(seed: int, tokens: int = 7, concepts: int = 3, width: int = 24):
    """Random (C [D, K], I [D, N], p [D]); the masked prompts differ in how much of the concepts they hold."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(width, concepts))
    inputs = rng.normal(size=(width, tokens)) + c @ rng.normal(size=(concepts, tokens)) * rng.uniform(0, 2, tokens)
    return c, inputs, rng.normal(size=width)


def as_rows(columns: np.ndarray) -> torch.Tensor:
    return torch.tensor(columns.T, dtype=torch.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance_is_the_norm_outside_the_concepts(seed):
    c, inputs, _ = problem(seed)
    wanted = [np.linalg.norm((np.eye(24) - projector(c)) @ inputs[:, i]) for i in range(7)]
    np.testing.assert_allclose(detection.distances(as_rows(inputs), span(as_rows(c))), wanted, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_trigger_rule_is_a_distance_above_the_mean_of_the_other_tokens(seed):
    c, inputs, p = problem(seed)
    outside = np.eye(24) - projector(c)
    d = [np.linalg.norm(outside @ inputs[:, i]) for i in range(7)]
    wanted = [d[i] > (1 + ALPHA) * np.mean([d[j] for j in range(7) if j != i]) for i in range(7)]
    ratios = detection.distance_ratio(torch.tensor(p, dtype=torch.float32), as_rows(inputs), span(as_rows(c)))
    assert (ratios > detection.ALPHA).tolist() == wanted
    assert True in wanted
    assert False in wanted


def test_a_prompt_of_one_token_is_compared_with_itself_unmasked():
    concepts = torch.eye(1, 4)
    p = torch.tensor([3.0, 1.0, 0.0, 0.0])
    masked = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    assert detection.distance_ratio(p, masked, concepts).tolist() == pytest.approx([1.0])
    assert detection.distance_ratio(p, p[None], concepts).tolist() == pytest.approx([0.0])


def test_a_prompt_inside_the_concepts_has_finite_ratios():
    assert torch.isfinite(
        detection.distance_ratio(torch.eye(4)[0], torch.eye(1, 4).repeat(3, 1), torch.eye(1, 4))
    ).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_steering_follows_the_order_of_projections_of_each_mode(seed):
    c, inputs, p = problem(seed)
    p_c, p_i, identity = projector(c), projector(inputs), np.eye(24)
    wanted = {"paper": p_i @ (identity - p_c) @ p, "reference": (identity - p_c) @ p_i @ p}
    tokens = torch.tensor(p, dtype=torch.float32)[None]
    for order, value in wanted.items():
        steered = projection.steer(tokens, span(as_rows(c)), span(as_rows(inputs)), order)
        np.testing.assert_allclose(steered[0], value, atol=1e-4)
    assert np.linalg.norm(wanted["paper"] - wanted["reference"]) > 0.1  # they do not commute


def test_reference_order_leaves_nothing_of_the_concept_in_a_token_and_paper_order_nothing_outside_the_prompt():
    c, inputs, p = problem(0)
    concepts, own = span(as_rows(c)), span(as_rows(inputs))
    tokens = torch.tensor(p, dtype=torch.float32)[None]
    by_reference = projection.steer(tokens, concepts, own, "reference")
    by_paper = projection.steer(tokens, concepts, own, "paper")
    torch.testing.assert_close(by_reference @ concepts.T, torch.zeros(1, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(by_paper @ own.T @ own, by_paper, atol=1e-5, rtol=1e-5)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="'both'"):
        projection.steer(torch.zeros(1, 4), torch.eye(1, 4), torch.eye(2, 4), "both")


@pytest.mark.parametrize(("beta", "steps"), [(0.0, 5.0), (1.0, 10 / (1 + math.e**-1)), (2.0, 10 / (1 + math.e**-2))])
def test_paper_steps_are_gamma_times_sigmoid_of_the_difference(beta, steps):
    assert validation.paper_steps(beta) == pytest.approx(steps)


@pytest.mark.parametrize(("beta", "steps"), [(0.0, 0), (0.45, 0), (0.53, 5), (0.60, 10), (1.0, 10)])
def test_reference_steps_take_the_values_of_the_release(beta, steps):
    assert round(validation.reference_steps(beta)) == steps


@pytest.mark.parametrize("beta", [0.3, 0.5, 0.5333, 0.55, 0.7])
def test_reference_steps_are_the_release_formula(beta):
    k, c = 2.5, 5.333
    assert validation.reference_steps(beta) == pytest.approx(10 / (1 + math.exp(-(2 * k * (10 * beta - c)))))


@pytest.mark.parametrize("beta", [-1e6, 1e6])
def test_reference_steps_bear_any_difference(beta):
    assert 0 <= validation.reference_steps(beta) <= 10


@pytest.mark.parametrize("seed", SEEDS)
def test_difference_is_one_minus_the_mean_cosine_of_the_tokens(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, 5, 12))
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, other, strict=True)]
    measured = validation.difference(torch.tensor(one), torch.tensor(other))
    assert measured == pytest.approx(1 - np.mean(cosines))
    assert validation.difference(torch.tensor(one), torch.tensor(one)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("steps", "share"), [(0, 0), (5, 0.1), (10, 0.2), (50, 1), (60, 1), (-1, 0)])
def test_share_is_of_the_50_steps_of_the_release_and_stays_within_one(steps, share):
    assert validation.share(steps) == share


@pytest.mark.parametrize(
    ("steps", "total", "share", "filtered"),
    [
        (3, 20, None, 3),
        (30, 20, None, 20),
        (-1, 20, None, 0),
        (3, 0, None, 0),
        (0, 20, 0.2, 4),
        (0, 4, 0.2, 1),  # .8 of a step
        (0, 2, 0.2, 0),  # .4 of a step
        (0, 7, 1.0, 7),
        (0, 1, 0.6, 1),
        (5, 20, 0.0, 0),
    ],
)
def test_filtered_steps_are_rounded_and_bounded_by_the_schedule(steps, total, share, filtered):
    assert validation.filtered_steps(steps, total, share) == filtered
