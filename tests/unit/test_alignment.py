"""Alignment, the score of mode `adaptive`: what may and what may not change it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safree import detection
from safree.detection import alignment
from safree.linear_algebra import reject, span
from safree.subspace import EncoderSubspace

WIDTH = 32
FAST = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**31)


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def space(seed: int = 0, concepts: int = 4, null=(0.2, 0.1)) -> EncoderSubspace:
    return EncoderSubspace(rows(concepts, seed), span(rows(1, seed + 1)), rows(1, seed + 2)[0], null)


@FAST
@given(SEEDS)
def test_score_is_a_share_with_a_sign(seed):
    scores = alignment(rows(1, seed)[0], rows(9, seed + 7), space(seed))
    assert (scores.abs() <= 1 + 1e-5).all()


@FAST
@given(SEEDS, st.floats(1e-3, 1e3))
def test_score_does_not_depend_on_the_scale_of_the_embeddings(seed, scale):
    p, masked, own = rows(1, seed)[0], rows(9, seed + 7), space(seed)
    torch.testing.assert_close(alignment(scale * p, scale * masked, own), alignment(p, masked, own), atol=1e-4, rtol=0)


@FAST
@given(SEEDS)
def test_size_of_the_score_does_not_fade_behind_the_rest_of_a_long_prompt(seed):
    """A text that adds the same vector to the prompt with and without the word changes no word's effect."""
    p, masked, own = rows(1, seed)[0], rows(9, seed + 7), space(seed)
    rest = 100 * rows(1, seed + 8)
    longer = alignment(p + rest[0], masked + rest, own)
    torch.testing.assert_close(longer.abs(), alignment(p, masked, own).abs(), atol=1e-3, rtol=0)


@FAST
@given(SEEDS)
def test_everyday_part_of_an_effect_does_not_count(seed):
    p, masked, own = rows(1, seed)[0], rows(9, seed + 7), space(seed)
    everyday = rows(9, seed + 8)[:, :1] * own.common
    torch.testing.assert_close(alignment(p, masked + everyday, own), alignment(p, masked, own), atol=1e-4, rtol=0)


@FAST
@given(SEEDS)
def test_rows_are_scored_independently(seed):
    p, masked, own = rows(1, seed)[0], rows(9, seed + 7), space(seed)
    together = alignment(p, masked, own)
    torch.testing.assert_close(torch.cat([alignment(p, row[None], own) for row in masked]), together)


def test_a_word_that_brings_only_the_concept_scores_one_and_one_that_takes_it_away_minus_one():
    own = space()
    concept = reject(own.concepts, own.common)[:1]
    rest = reject(rows(1, 9), own.aligned_basis)
    assert alignment((rest + concept)[0], rest, own).item() == pytest.approx(1, abs=1e-5)
    assert alignment(rest[0], rest + concept, own).item() == pytest.approx(-1, abs=1e-5)


def test_a_word_outside_the_concept_and_one_without_effect_score_zero():
    own = space()
    p = rows(1, 9)[0]
    other = reject(reject(rows(1, 10), own.aligned_basis), own.common)
    scores = alignment(p, torch.cat([p[None] - other, p[None]]), own)
    torch.testing.assert_close(scores, torch.zeros(2), atol=1e-5, rtol=0)


def test_half_concept_half_other_scores_as_the_angle_between_them():
    own = space()
    inside, outside = own.aligned_basis[:1], span(reject(reject(rows(1, 10), own.aligned_basis), own.common))
    rest = reject(rows(1, 9), own.aligned_basis)
    score = alignment((rest + inside + outside)[0], rest, own).abs().item()  # a basis direction may point either way
    assert score == pytest.approx(0.5**0.5, abs=1e-5)


def test_threshold_is_calibrated_bounded_and_gives_way_to_the_users():
    assert detection.thresholds(space(null=(0.3, 0.1)))[1] == pytest.approx(0.5)
    assert detection.thresholds(space(null=(0.0, 0.0)))[1] == detection.FLOOR
    assert detection.thresholds(space(null=(0.9, 0.4)))[1] == pytest.approx(0.9)  # never out of a word's reach
    assert detection.thresholds(space(null=(0.3, 0.1)), chosen=0.7)[1] == 0.7


@pytest.mark.parametrize("null", [(0.3, 0.1), (0.0, 0.0), (0.9, 0.4)])
def test_a_word_is_borderline_before_it_is_flagged(null):
    borderline, trigger = detection.thresholds(space(null=null))
    assert borderline <= trigger
