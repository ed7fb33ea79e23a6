"""The discriminant of a concept against everyday language: what it is made of, and what may not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safree import discriminant
from safree.discriminant import Discriminant, Everyday, fit

WIDTH, TEXTS = 24, 200
FAST = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 2**31)


def rows(count: int, seed: int, width: int = WIDTH) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def concepts_of(seed: int, count: int = 6) -> torch.Tensor:
    """Phrases of one concept: about one direction that everyday language does not favour."""
    return 3 * rows(1, seed + 1) + 0.5 * rows(count, seed + 2)


def fitted(seed: int, **given) -> Discriminant:
    return fit(concepts_of(seed), Everyday(rows(TEXTS, seed)), **given)


@FAST
@given(SEEDS, st.integers(1, 60))
def test_its_directions_are_orthonormal_and_no_more_than_phrases_and_ranks(seed, count):
    found = fit(concepts_of(seed, count), Everyday(rows(TEXTS, seed)))
    size = len(found.basis)
    assert 1 <= size <= min(count, WIDTH, discriminant.RANK)
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(size), atol=1e-4, rtol=0)


@FAST
@given(SEEDS)
def test_new_texts_of_the_concept_lean_into_it_and_new_everyday_ones_do_not(seed):
    found = fitted(seed)
    ours, theirs = found.lean(3 * rows(1, seed + 1) + 0.5 * rows(20, seed + 9)), found.lean(rows(200, seed + 8))
    assert ours.min() > 0
    assert theirs.mean() < -0.5
    assert theirs.quantile(0.95) < ours.min()


@FAST
@given(SEEDS)
def test_shift_and_scale_of_every_dimension_change_nothing(seed):
    """Encoders have a few dimensions that are many times larger than the others."""
    generator = torch.Generator().manual_seed(seed + 5)
    shift = 10 * torch.randn(WIDTH, generator=generator)
    scale = torch.exp(2 * torch.randn(WIDTH, generator=generator))
    every, concepts, retain, new = rows(TEXTS, seed), concepts_of(seed), rows(3, seed + 3), rows(20, seed + 4)
    plain = fit(concepts, Everyday(every), retain=retain)
    moved = fit(concepts * scale + shift, Everyday(every * scale + shift), retain=retain * scale + shift)
    torch.testing.assert_close(moved.lean(new * scale + shift), plain.lean(new), atol=2e-2, rtol=0)


@FAST
@given(SEEDS)
def test_a_dimension_that_is_the_same_for_all_texts_says_nothing(seed):
    def wider(texts: torch.Tensor) -> torch.Tensor:
        return torch.cat([texts, torch.full((len(texts), 1), 7.0)], dim=1)

    every, concepts, new = rows(TEXTS, seed), concepts_of(seed), rows(20, seed + 4)
    plain, padded = fit(concepts, Everyday(every)), fit(wider(concepts), Everyday(wider(every)))
    torch.testing.assert_close(padded.lean(wider(new)), plain.lean(new), atol=5e-2, rtol=0)


@FAST
@given(SEEDS)
def test_texts_are_judged_independently(seed):
    found, new = fitted(seed), rows(9, seed + 4)
    one_by_one = torch.cat([found.lean(text[None]) for text in new])
    torch.testing.assert_close(found.lean(new), one_by_one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_left_out_is_what_the_rule_gives_a_text_when_it_is_fitted_without_it(seed):
    """Against a fit in numpy, float64, with that one row deleted; landmarks, directions and units stay."""
    every, concepts = rows(TEXTS, seed), concepts_of(seed)
    everyday = Everyday(every)
    found = fit(concepts, everyday)
    points = (everyday.standardize(torch.cat([concepts, every])) @ found.basis.T / found.scale).double().numpy()
    marks = found.landmarks.double().numpy()

    def kernel(one, other):
        return np.exp(-discriminant.WIDTH * ((one[:, None] - other[None]) ** 2).sum(-1))

    features, ours = kernel(points, marks), len(concepts)
    side = np.r_[np.ones(ours), -np.ones(TEXTS)]
    share = np.r_[np.full(ours, 1 / ours), np.full(TEXTS, 1 / TEXTS)] * len(points) / 2
    values = torch.cat([found.phrases_left_out, found.left_out])
    for point in (0, ours - 1, ours, ours + 17, ours + TEXTS - 1):
        keep = np.arange(len(points)) != point
        weighted = features[keep] * share[keep, None]
        normal = features[keep].T @ weighted + discriminant.RIDGE * kernel(marks, marks)
        weights = np.linalg.solve(normal + 1e-7 * np.eye(len(marks)), weighted.T @ side[keep])
        assert values[point].item() == pytest.approx(features[point] @ weights, abs=0.02)


def test_a_text_that_is_left_out_lies_further_from_its_side_than_when_it_was_fitted():
    """A null distribution of fitted scores would be too narrow, and its limit too low."""
    found = fitted(0)
    fitted_with, left_out = (found.lean(found.everyday.embeddings) + 1).abs(), (found.left_out + 1).abs()
    assert (left_out >= fitted_with - 1e-3).all()
    assert left_out.mean() > 1.2 * fitted_with.mean()


def test_everyday_texts_that_are_set_aside_do_not_stand_against_the_concept():
    """A text that holds a concept phrase: on the everyday side it would pull the concept's own words back."""
    every, concepts = rows(TEXTS, 0), concepts_of(0)
    every[:10] = 3 * rows(1, 1) + 0.5 * rows(10, 30)
    usual = (torch.arange(TEXTS) >= 10).float()
    with_them, without = fit(concepts, Everyday(every)), fit(concepts, Everyday(every), usual)
    new = 3 * rows(1, 1) + 0.5 * rows(20, 31)
    assert without.lean(new).mean() > with_them.lean(new).mean() + 0.1
    torch.testing.assert_close(without.left_out[:10], without.lean(every[:10]), atol=1e-3, rtol=0)


def test_what_is_retained_and_what_resembles_it_leans_less_into_the_concept():
    """As everyday texts that say the same would do it: one among hundreds, so it is said a few times."""
    direction = 3 * rows(1, 1)
    side = 2 * rows(1, 40)
    retain = direction + side + 0.3 * rows(8, 41)
    like = direction + side + 0.3 * rows(8, 42)
    plain, kept = fitted(0), fitted(0, retain=retain)
    assert (kept.lean(retain) < plain.lean(retain)).all()
    assert kept.lean(like).mean() < plain.lean(like).mean()


def test_nothing_to_retain_is_the_same_as_no_retain():
    new = rows(20, 4)
    torch.testing.assert_close(fitted(0, retain=rows(3, 3)[:0]).lean(new), fitted(0).lean(new))


@pytest.mark.parametrize(
    "concepts",
    [concepts_of(0, 1), concepts_of(0).repeat(40, 1), torch.zeros(2, WIDTH), rows(TEXTS, 0)[:5], 1e-20 * rows(3, 7)],
    ids=["one phrase", "one phrase said 40 times", "zeros", "everyday phrases", "tiny numbers"],
)
def test_degenerate_phrases_give_finite_numbers(concepts):
    found = fit(concepts, Everyday(rows(TEXTS, 0)))
    for value in (
        found.basis,
        found.weights,
        found.left_out,
        found.lean(rows(9, 4)),
        found.lean(torch.zeros(1, WIDTH)),
    ):
        assert torch.isfinite(value).all()


def test_the_same_phrases_give_the_same_rule_bit_for_bit():
    assert torch.equal(fitted(3).lean(rows(9, 4)), fitted(3).lean(rows(9, 4)))
