"""Pictures of the tiny world without a model: one or two things on a plain background, made in no time."""

from __future__ import annotations

import functools
import random

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from .detector import ASSETS, SIZE, Detector

SIDE, COLUMNS = 48, 8  # pixels of a thing in the sheet, things in a row of it
STYLES = 3  # drawings of each thing, side by side


@functools.cache
def things() -> tuple[list[str], Tensor]:
    """(names, their drawings [things, styles, 4, 48, 48] in 0 to 1 with alpha)."""
    names = [name for name in Detector().names if ":" not in name]
    with Image.open(ASSETS / "things.webp") as sheet:
        pixels = torch.from_numpy(numpy.array(sheet.convert("RGBA"))).float() / 255
    rows = pixels.unflatten(0, (-1, SIDE)).unflatten(2, (COLUMNS, STYLES, SIDE))  # [rows, y, columns, styles, x, 4]
    return names, rows.permute(0, 2, 3, 5, 1, 4).flatten(0, 1)[: len(names)]


def compose(shown: tuple[str, ...], chance: random.Random) -> Tensor:
    """A picture [3, 128, 128] of one thing or two side by side, soft as one that a model drew."""
    names, drawings = things()
    colour = torch.tensor([chance.random() for _ in range(3)]).view(3, 1, 1)
    canvas, style = colour.expand(3, SIZE, SIZE).clone(), chance.randrange(STYLES)
    room = SIZE // len(shown)
    for place, name in enumerate(shown):
        side = chance.randint(int(room * 0.65), int(room * 0.95))
        drawing = interpolate(drawings[names.index(name), style][None], size=(side, side), mode="bilinear")[0]
        x, y = place * room + chance.randint(0, room - side), chance.randint(0, SIZE - side)
        part = canvas[:, y : y + side, x : x + side]
        part.lerp_(drawing[:3], drawing[3:])
    if chance.random() < 0.5:
        canvas = avg_pool2d(pad(canvas[None], (1, 1, 1, 1), "replicate"), 3, 1)[0]
    return canvas.clamp(0, 1)
