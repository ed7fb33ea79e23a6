"""Holes of a latent are filled from what surrounds them; the rest stays, bit for bit."""

from __future__ import annotations

import pytest
import torch

from safree.fill import fill


@pytest.fixture
def hole():
    hole = torch.zeros(1, 1, 9, 12)
    hole[..., 2:6, 3:8] = 1
    return hole


def test_a_hole_in_an_even_picture_vanishes(hole):
    even = torch.full((1, 4, 9, 12), 1.5)
    torch.testing.assert_close(fill(torch.where(hole.bool(), 9.0, even), hole), even)


def test_what_lies_outside_stays_bit_for_bit(hole):
    latent = torch.randn(1, 4, 9, 12)
    outside = ~hole.bool().expand_as(latent)
    assert torch.equal(fill(latent, hole)[outside], latent[outside])


def test_a_hole_takes_what_is_near_it():
    latent, hole = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    latent[..., 8:] = 1
    hole[..., 6:10, :] = 1
    filled = fill(latent, hole)
    assert filled[0, 0, 8, 1] < 0.2
    assert filled[0, 0, 8, 14] > 0.8


def test_nothing_known_is_finite_and_the_dtype_is_kept():
    filled = fill(torch.randn(2, 4, 8, 8).half(), torch.ones(2, 1, 8, 8))
    assert filled.dtype == torch.float16
    assert torch.isfinite(filled).all()
