"""Steering where the prompt is not known: what a token state resembles, and that it loses this alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safree.linear_algebra import reject, span
from safree.projection import remove_nearest, resemblance
from safree.subspace import EncoderSubspace

FAST = settings(max_examples=40, deadline=None)
AXES = torch.eye(6)


def space(concepts: torch.Tensor, probe: torch.Tensor, common: torch.Tensor) -> EncoderSubspace:
    return EncoderSubspace(concepts, common, probe, concepts[:0])


@pytest.fixture
def axes() -> EncoderSubspace:
    """Two concepts along the axes 0 and 1 of a probe at (0, 0, 0, 0, 1, 0); everyday words share axis 5."""
    probe = AXES[4]
    return space(torch.stack([2 * AXES[0] + AXES[5], AXES[1]]) + probe, probe, AXES[5:])


def test_a_token_resembles_a_concept_by_the_cosine_beside_what_everyday_words_share(axes):
    tokens = torch.stack([3 * AXES[0], AXES[0] + AXES[1], 5 * AXES[5] + AXES[1], AXES[2]]) + AXES[4]
    half = 0.5**0.5
    torch.testing.assert_close(resemblance(tokens, axes), torch.tensor([[1, 0], [half, half], [0, 1], [0, 0]]))


def test_a_token_loses_its_part_along_the_concept_it_resembles_most_and_nothing_else(axes):
    token = (3 * AXES[0] + 1 * AXES[1] + 2 * AXES[2] + 4 * AXES[5] + AXES[4])[None]
    torch.testing.assert_close(remove_nearest(token, axes), token - 3 * AXES[0])


def test_a_token_that_points_away_from_every_concept_stays(axes):
    token = (-3 * AXES[0] - AXES[1] + AXES[2])[None]
    assert torch.equal(remove_nearest(token, axes), token)


@FAST
@given(st.integers(0, 2**31), st.integers(1, 5))
def test_what_is_left_has_nothing_of_that_concept_and_keeps_all_that_is_at_right_angles_to_it(seed, count):
    draw = torch.Generator().manual_seed(seed)
    concepts, tokens = (torch.randn(count, 12, generator=draw) for _ in range(2))
    probe, common = torch.randn(12, generator=draw), span(torch.randn(1, 12, generator=draw))
    own = space(concepts, probe, common)
    steered = remove_nearest(tokens, own)
    nearest = resemblance(tokens, own).argmax(-1)
    directions = reject(concepts - probe, common)[nearest]
    along = (reject(steered - probe, common) * directions).sum(-1)
    before = (reject(tokens - probe, common) * directions).sum(-1)
    torch.testing.assert_close(along, before.clamp_max(0), atol=1e-3, rtol=0)
    for token, now, direction in zip(tokens, steered, directions, strict=True):
        torch.testing.assert_close(
            reject((token - now)[None], span(direction[None])), torch.zeros(1, 12), atol=1e-4, rtol=0
        )
