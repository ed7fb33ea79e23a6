"""Take a concept out of the picture that a run starts from (img2img, a second pass), before noise is added to it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ...safree.fill import fill
from ...safree.presence import ConceptPresence
from .latent_look import look

FILLED_FROM = 5.0  # deviations from which a place is filled
AROUND = 1  # latent pixels around such a place, on each side


def starts_from_picture(noise: Tensor, latent: Tensor) -> bool:
    """Whether a run that starts from `latent` is given a picture: not an empty one, nor one that is noisy already."""
    return one_frame(latent) and bool(latent.any()) and bool(noise.any()) and bool(torch.isfinite(latent).all())


def one_frame(latent: Tensor) -> bool:
    """Whether it is a picture: [B, C, H, W], or a video [B, C, 1, H, W] of one frame, as Qwen-Image and Wan draw."""
    return latent.ndim == 4 or (latent.ndim == 5 and latent.shape[2] == 1)


def clear_picture(
    model, concepts: tuple[ConceptPresence, ...], latent: Tensor, always: bool
) -> tuple[Tensor, list[list[bool]]]:
    """(`latent` [B, C, (1), H, W] with the places that show a concept filled from around them, what was found before).

    The second part is [concepts][pictures]. Pictures in which nothing is found stay as they are, unless `always`.
    """
    findings = look(model, concepts, {"samples": latent}, "LatentGuardPatch")
    hole = torch.zeros(len(latent), 1, *latent.shape[-2:])
    for finding in findings:
        if finding["found"] or always:
            places = interpolate(torch.tensor(finding["map"])[None, None], size=latent.shape[-2:], mode="bilinear")
            shown = max_pool2d((places > FILLED_FROM).float(), 2 * AROUND + 1, stride=1, padding=AROUND)
            own = hole[finding["picture"]]
            own.copy_(torch.maximum(own, shown[0]))
    flat = latent.flatten(1, 2) if latent.ndim == 5 else latent
    cleared = fill(flat, hole.to(latent.device)).view_as(latent) if hole.any() else latent
    found = [finding["found"] for finding in findings]
    return cleared, [found[i : i + len(latent)] for i in range(0, len(found), len(latent))]
