"""The Fourier filter of re-attention against the full complex transform that the paper's release uses."""

from __future__ import annotations

import itertools

import pytest
import torch

from safree.fourier import MARGIN, low_frequencies, re_attend

SIZES = [(8, 8), (7, 7), (8, 7), (7, 8), (16, 12), (9, 15), (2, 2), (3, 2), (5, 64)]


def features(height: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


def full_transform(filtered: torch.Tensor, original: torch.Tensor, scale: float) -> torch.Tensor:
    """Equation 8 as the release sets it up: complex spectrum, zero frequency in the centre, 2x2 mask, real part."""
    height, width = filtered.shape[-2:]
    f = torch.fft.fftshift(torch.fft.fft2(filtered.double()), dim=(-2, -1))
    f0 = torch.fft.fftshift(torch.fft.fft2(original.double()), dim=(-2, -1))
    rows, columns = height // 2, width // 2
    margin = MARGIN * (f0.abs() ** 2).mean(dim=(-2, -1)).sqrt()
    for y in range(rows - 1, rows + 1):
        for x in range(columns - 1, columns + 1):
            louder = f[..., y, x].abs() > f0[..., y, x].abs() + margin
            f[..., y, x] = torch.where(louder, scale * f[..., y, x], f[..., y, x])
    return torch.fft.ifft2(torch.fft.ifftshift(f, dim=(-2, -1))).real


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [0.0, 0.2, 0.9])
def test_release_preset_equals_the_full_complex_transform(size, scale):
    filtered, original = features(*size, seed=0), features(*size, seed=1)
    wanted = full_transform(filtered, original, scale)
    torch.testing.assert_close(re_attend(filtered, original, scale).double(), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0])
def test_scale_one_returns_the_features_themselves(radius):
    filtered = features(8, 8, seed=0)
    assert re_attend(filtered, features(8, 8, seed=1), 1.0, radius) is filtered


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rounding_does_not_decide_what_is_damped(dtype):
    """Features that no text reaches are equal in both branches, but for the rounding of another batch size."""
    original = features(16, 16, seed=0)
    steps = torch.randint(-1, 2, original.shape, generator=torch.Generator().manual_seed(1))
    filtered = (original * (1 + steps * torch.finfo(dtype).eps / 2)).to(dtype)
    torch.testing.assert_close(re_attend(filtered, original.to(dtype), 0.0), filtered)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("radius", [0.0, 0.5, 1.0])
def test_features_that_do_not_exceed_the_original_stay(size, radius):
    filtered = features(*size, seed=0)
    for original in (filtered, 2 * filtered):
        torch.testing.assert_close(re_attend(filtered, original, 0.0, radius), filtered, atol=1e-5, rtol=1e-5)


def test_whole_spectrum_above_the_original_is_scaled_as_a_whole():
    filtered = features(8, 6, seed=0)
    torch.testing.assert_close(re_attend(filtered, 0.5 * filtered, 0.3, radius=1.0), 0.3 * filtered)


def test_only_low_frequencies_change():
    filtered = features(16, 16, seed=0)
    out = re_attend(filtered, torch.zeros_like(filtered), 0.0, radius=0.25)
    difference = torch.fft.fft2(filtered - out).abs()
    frequency = torch.fft.fftfreq(16).abs()
    high = (frequency[:, None] > 0.125) | (frequency[None, :] > 0.125)
    assert difference[..., high].max() < 1e-4
    assert difference[..., 0, 0].min() > 1e-4


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_larger_radius_masks_no_frequency_less(size):
    masks = [low_frequencies(*size, radius) for radius in (0.01, 0.2, 0.4, 0.6, 0.8, 1.0)]
    for smaller, larger in itertools.pairwise(masks):
        assert (smaller <= larger).all()
    assert masks[0].sum() == 1  # the mean alone
    assert masks[-1].all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_dtype_and_layout_comes_back_as_it_was_and_computes_in_float32(dtype, layout):
    filtered, original = (features(8, 6, seed).to(dtype).to(memory_format=layout) for seed in (0, 1))
    out = re_attend(filtered, original, 0.2)
    assert out.dtype == dtype
    wanted = re_attend(filtered.float(), original.float(), 0.2).to(dtype)
    assert torch.equal(out, wanted)


def test_inputs_are_not_changed_in_place():
    filtered, original = features(8, 8, seed=0), features(8, 8, seed=1)
    copies = filtered.clone(), original.clone()
    re_attend(filtered, original, 0.0)
    assert torch.equal(filtered, copies[0])
    assert torch.equal(original, copies[1])


def test_pictures_and_channels_are_filtered_independently():
    filtered, original = features(8, 8, seed=0), features(8, 8, seed=1)
    whole = re_attend(filtered, original, 0.2)
    one = re_attend(filtered[1:, 2:], original[1:, 2:], 0.2)
    torch.testing.assert_close(whole[1:, 2:], one)
