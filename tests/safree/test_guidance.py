"""The weight of a branch in a guided prediction, read from the tensors: exact for guidance, whatever is around it."""

from __future__ import annotations

import math

import pytest
import torch

from safree.guidance import drawn_towards

SHAPES = [(1, 4, 16, 16), (2, 4, 12, 20), (1, 16, 3, 8, 10), (1, 8, 50)]


@pytest.fixture(params=SHAPES, ids=str)
def branches(request):
    """(positive, negative, input): predictions that resemble each other, as those of one model do."""
    torch.manual_seed(0)
    shape = request.param
    picture, noise = torch.randn(shape), torch.randn(shape)
    return picture + 0.1 * torch.randn(shape), picture + 0.1 * torch.randn(shape), picture + 3 * noise


@pytest.mark.parametrize("scale", [0.0, 0.3, 0.9, 1.0, 1.1, 7.5, 30.0])
def test_guidance_of_a_scale_gives_its_weight(branches, scale):
    positive, negative, x = branches
    result = negative + scale * (positive - negative)
    assert drawn_towards(result, negative, [positive, x]) == pytest.approx(1 - scale, abs=2e-3)


def test_late_in_a_run_when_the_branches_hardly_differ_it_is_read_as_well():
    torch.manual_seed(0)
    picture = torch.randn(1, 4, 16, 16)
    positive, negative = (picture + 2e-3 * torch.randn(1, 4, 16, 16) for _ in range(2))
    x = picture + 0.03 * torch.randn(1, 4, 16, 16)
    for scale in (0.0, 0.5, 1.0, 5.0):
        result = negative + scale * (positive - negative)
        assert drawn_towards(result, negative, [positive, x]) == pytest.approx(1 - scale, abs=0.02)


def test_rescaling_and_what_is_added_of_the_other_branches_change_nothing(branches):
    positive, negative, x = branches
    result = 0.7 * (negative + 5 * (positive - negative)) + 0.2 * x - 0.4 * positive
    assert drawn_towards(result, negative, [positive, x]) == pytest.approx(0.7 * -4, abs=1e-2)


def test_one_band_of_frequencies_that_is_drawn_towards_the_branch_is_enough():
    torch.manual_seed(0)
    positive, negative, x = torch.randn(3, 1, 4, 32, 32).unbind(0)
    guidance = torch.fft.fftshift(torch.fft.fft2(positive - negative), dim=(-2, -1))
    guidance[..., 12:20, 12:20] *= 0  # low frequencies of the guidance at scale 0, the others at 5
    low_off = negative + 5 * torch.fft.ifft2(torch.fft.ifftshift(guidance, dim=(-2, -1))).real
    assert drawn_towards(low_off, negative, [positive, x]) > 0.5


def test_one_picture_or_frame_that_is_drawn_towards_the_branch_is_enough():
    torch.manual_seed(0)
    for shape, scales in (((3, 4, 8, 8), (3, 1, 1, 1)), ((1, 16, 3, 8, 8), (1, 1, 3, 1, 1))):
        positive, negative, x = torch.randn(3, *shape).unbind(0)
        scale = torch.tensor([5.0, 0.5, 5.0]).view(scales)
        result = negative + scale * (positive - negative)
        assert drawn_towards(result, negative, [positive, x]) == pytest.approx(0.5, abs=1e-2)


def test_a_branch_without_anything_of_its_own_draws_nothing(branches):
    positive, _, x = branches
    assert drawn_towards(positive, positive.clone(), [positive, x]) == -math.inf
    assert drawn_towards(positive, torch.zeros_like(x), [positive, x]) == -math.inf


def test_half_precision_rounding_is_not_taken_for_a_weight(branches):
    positive, negative, x = branches
    for dtype in (torch.float16, torch.bfloat16):
        for scale in (1.0, 2.0):
            result = (negative + scale * (positive - negative)).to(dtype)
            assert drawn_towards(result, negative, [positive, x]) <= 0
        assert drawn_towards(negative.to(dtype), negative, [positive, x]) > 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_is_said_to_be_so(branches, bad):
    positive, negative, x = branches
    positive.view(-1)[3] = bad
    assert math.isnan(drawn_towards(positive, negative, [positive, x]))
