"""Adaptive latent re-attention: damping of concept-related skip features in the Fourier domain (paper, section 3.4)."""

from __future__ import annotations

import torch

RELEASE_RADIUS = 0.0  # stands for the release's mask: the 2x2 centre of the shifted spectrum, whatever the size
# Features that no text reaches, such as the first convolution's, are equal in both branches up to rounding (measured:
# 1e-6 of their root mean square, half precision a few 1e-3), and rounding must not choose what is damped.
MARGIN = 1e-2


def low_frequencies(height: int, width: int, radius: float, device: torch.device | None = None) -> torch.Tensor:
    """b, the low-frequency mask over a real-input spectrum: float32 [H, W // 2 + 1] in [0, 1].

    radius: half width of the mask as a share of each axis of the spectrum (1 is everything). RELEASE_RADIUS masks the
    frequencies -1 and 0 along each axis; dropping the imaginary part, as the release does, halves what such a
    one-sided mask does to a pair of conjugate frequencies, hence the weights of one half.
    """
    if radius != RELEASE_RADIUS:
        fy = torch.fft.fftfreq(height, device=device)[:, None].abs()
        fx = torch.fft.rfftfreq(width, device=device)[None, :]
        return ((fy <= radius / 2) & (fx <= radius / 2)).float()
    one_sided = torch.zeros(height, width, device=device)
    one_sided[-1:, -1:] = one_sided[-1:, :1] = one_sided[:1, -1:] = one_sided[:1, :1] = 1
    conjugate = one_sided.flip(0, 1).roll((1, 1), (0, 1))
    return ((one_sided + conjugate) / 2)[:, : width // 2 + 1]


def re_attend(
    filtered: torch.Tensor, original: torch.Tensor, scale: float, radius: float = RELEASE_RADIUS
) -> torch.Tensor:
    """h' = IFFT(F'), F' = s F where F is of low frequency and |F(filtered)| > |F(original)|, else F (equation 8).

    'Exceeds' means by more than MARGIN times the root mean square of |F(original)|.

    filtered, original: features [B, C, H, W] of one floating dtype, any memory layout; computed in float32, returned
    in that dtype. scale: s in [0, 1]; 1 returns `filtered` itself.
    """
    if scale == 1.0:
        return filtered
    height, width = filtered.shape[-2:]
    spectrum, reference = (torch.fft.rfft2(h.float()) for h in (filtered, original))  # [B, C, H, W // 2 + 1]
    damping = low_frequencies(height, width, radius, filtered.device) * (1 - scale)
    typical = original.float().norm(dim=(-2, -1), keepdim=True)  # root mean square of |F(original)|, by Parseval
    exceeds = spectrum.abs() - reference.abs() > MARGIN * typical
    spectrum = spectrum * (1 - damping * exceeds)
    return torch.fft.irfft2(spectrum, s=(height, width)).to(filtered.dtype)
