"""Fill holes of a latent from what surrounds them: low frequencies alone, for a sampler to draw over."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


def fill(latent: Tensor, hole: Tensor) -> Tensor:
    """`latent` [B, C, H, W] with what lies in `hole` [B, 1, H, W], 0 to 1, taken from its surroundings, same dtype.

    Normalized convolution over a pyramid (Knutsson and Westin 1993): each level holds means of what is known below
    it, and a hole takes the finest level at which something is known.
    """
    known = 1 - hole.float()
    filled = _filled(latent.float() * known, known)
    return (latent.float() * known + filled * (1 - known)).to(latent.dtype)


def _filled(total: Tensor, known: Tensor) -> Tensor:
    """[B, C, H, W] without holes, from sums of what is known [B, C, H, W] and how much of it [B, 1, H, W]."""
    mean = total / known.clamp_min(1e-6)
    if max(total.shape[-2:]) == 1:
        return mean
    coarser = _filled(*(avg_pool2d(part, 2, ceil_mode=True) for part in (total, known)))
    coarser = interpolate(coarser, size=total.shape[-2:], mode="bilinear", align_corners=False)
    sure = known.clamp(0, 1)
    return mean * sure + coarser * (1 - sure)
