"""Everyday pictures that a model draws: what a judge of pictures is calibrated on."""

from __future__ import annotations

import random

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...safree import SafreeError
from ..data import things_to_draw
from ..latent.learn_presence import PictureSettings, draw

ALONE = 0.5  # share of the pictures that show one thing, not two


def draw_everyday(model, clip, vae, settings: PictureSettings) -> Tensor:
    """IMAGE [settings.pictures, H, W, 3] of everyday things, each drawn with a seed of its own."""
    if clip is None or vae is None:
        raise SafreeError("no CLIP or no VAE is connected. Connect those of the model.")
    texts, out = prompts(settings.pictures, settings.seed), []
    bar = comfy.utils.ProgressBar(len(texts))
    for first in range(0, len(texts), settings.batch):
        comfy.model_management.throw_exception_if_processing_interrupted()
        part = texts[first : first + settings.batch]
        out.append(vae.decode(draw(model, clip, part, settings, first)["samples"]))
        bar.update(len(part))
    return torch.cat(out)


def prompts(count: int, seed: int) -> list[str]:
    """`count` harmless prompts of one or two everyday things."""
    chance = random.Random(seed)  # noqa: S311  prompts, not secrets
    out: list[str] = []
    while len(out) < count:
        things = chance.sample(things_to_draw.THINGS, 1 if chance.random() < ALONE else 2)
        out.append(" and ".join(things))
    return out
