"""What a guided prediction is made of: how much of one branch stands in it, read from the tensors alone."""

from __future__ import annotations

import math

import torch

TOLERANCE = 0.01  # of a weight: far below what shows in a picture
OWN = 1e-4  # share of a branch that is its own, below which float32 cannot tell it from the others
RANK = 1e-12  # of a Gram matrix in float64: branches that are equal up to rounding


def drawn_towards(result: torch.Tensor, branch: torch.Tensor, others: list[torch.Tensor]) -> float:
    """The largest weight that `branch` has in `result`, of those in each band of frequencies and each picture.

    result: the prediction [B, C, H, W], [B, C, frames, H, W] or [B, C, length] that a sampler goes on with.
    branch, others: the predictions of the same shape that it may be made of, and the model's input.

    The weight is that of least squares, result = a branch + b other_1 + c other_2 + ...: classifier-free guidance of
    scale w gives 1 - w for the negative branch, whatever function computed it, and a result that is drawn towards the
    branch a positive one. By bands, since guidance may differ between them (FreSca), by picture and frame, since some
    nodes change it there. Weights up to TOLERANCE, or to what rounding alone comes to, count as 0. -inf where nothing
    of the branch is its own, NaN where a tensor holds NaN or infinity.
    """
    gram = spectral_gram([result, branch, *others])  # [bands, pictures, n, n]
    if not torch.isfinite(gram).all():
        return math.nan
    length = gram.diagonal(dim1=-2, dim2=-1).clamp_min(1e-300).sqrt()
    gram = gram / length[..., :, None] / length[..., None, :]  # of columns of length 1
    shared = gram[..., :2, 2:]
    rest = gram[..., :2, :2] - shared @ torch.linalg.pinv(gram[..., 2:, 2:], rtol=RANK, hermitian=True) @ shared.mT
    own = rest[..., 1, 1].clamp_min(OWN**2)  # what of the branch no other one has, squared
    weight = rest[..., 0, 1] / own * length[..., 0] / length[..., 1]
    # rounding is white, so a band of little energy has more of it: its root mean square against the branch there
    white = length[..., 0].square().sum(0).div(result[0].numel()).sqrt() * torch.finfo(result.dtype).eps
    rounding = 8 * white / (own.sqrt() * length[..., 1])
    known = (rest[..., 1, 1] > OWN**2) & (rounding < 10 * TOLERANCE)
    weight = weight.where(weight.abs() > TOLERANCE + rounding, torch.zeros_like(weight))
    return float(weight.where(known, torch.full_like(weight, -math.inf)).max())


def spectral_gram(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Inner products [bands, pictures, n, n] (float64, CPU) of n predictions of one shape, by band of frequencies.

    A band is an octave of the larger |frequency| of both axes: 0 and 1, 2 and 3, 4 to 7, ... Frames count as pictures.
    """
    stack = torch.stack([tensor.float() for tensor in tensors])  # [n, B, C, ...]
    if stack.ndim == 6:
        stack = stack.movedim(3, 2).flatten(1, 2)  # frames beside pictures
    axes = (-2, -1) if stack.ndim == 5 else (-1,)
    spectrum = torch.fft.rfftn(stack, dim=axes, norm="ortho").flatten(3)  # [n, pictures, C, frequencies]
    band = _octaves(stack.shape[3:], stack.device)
    grams = []
    for octave in range(int(band.max()) + 1):
        part = torch.view_as_real(spectrum[..., band == octave]).flatten(2).double()  # [n, pictures, values]
        grams.append(torch.einsum("ipv,jpv->pij", part, part))
    return torch.stack(grams).cpu()


def _octaves(size: torch.Size, device: torch.device) -> torch.Tensor:
    """The band of each frequency of a real-input spectrum over `size`, flattened."""
    radius = torch.arange(size[-1] // 2 + 1, device=device)
    if len(size) > 1:
        rows = torch.arange(size[0], device=device)
        radius = torch.maximum(torch.minimum(rows, size[0] - rows)[:, None], radius)
    return radius.clamp_min(1).float().log2().floor().long().flatten()
