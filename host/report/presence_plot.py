"""Draw what a latent guard saw: presence over the steps, and where in the picture."""

from __future__ import annotations

import torch
from PIL import ImageDraw, ImageFont

from .canvas import FAINT, FIELD, HOT, shade

HOTTEST = 3.0  # deviations of clean pictures that a map shows in full red
TALLEST = 4.0  # deviations of a full column
HEIGHT, CHART, GAP = 64, 360, 24  # pixels
MAX_STEPS, MAX_CELLS = 200, 64  # columns drawn, cells along each side of a map


def heat(places: list[list[float]], side: int = 256) -> torch.Tensor:
    """IMAGE [1, side, side, 3] of where a concept was found: `places` in deviations of clean pictures."""
    share = (torch.tensor(places) / HOTTEST).clamp(0, 1)[None, None]  # [1, 1, h, w]
    share = torch.nn.functional.interpolate(share, size=(side, side), mode="bilinear")[0, 0, :, :, None]
    cold, hot = torch.tensor(FIELD) / 255, torch.tensor(HOT) / 255
    return torch.lerp(cold.expand(side, side, 3), hot.expand(side, side, 3), share)[None]


def caption(part: dict) -> str:
    """One line about a concept in a picture, of a run or of a second look."""
    who = f"{part['concept']}, picture {part['picture'] + 1}"
    if "presence" in part:
        told = f"{part['presence']:.1f} deviations, threshold {part['threshold']:.1f}"
        return f"second look, {who}: {'found' if part['found'] else 'not found'}, {told}"
    if part["given"]:
        return f"{who}: found in the picture given, {part['damped']} of {len(part['steps'])} steps damped"
    if part["found_at"]:
        return f"{who}: found at step {part['found_at']}, {part['damped']} of {len(part['steps'])} steps damped"
    return f"{who}: not found in {len(part['steps'])} steps"


def draw_presence(draw: ImageDraw.ImageDraw, x: int, y: int, part: dict) -> int:
    """Columns of a run's steps (none for a second look) and the map, at (x, y); the y below them."""
    draw.text((x, y), caption(part)[:120], fill=FAINT, font=ImageFont.load_default(14))
    top = y + 22
    if steps := part.get("steps", [])[:MAX_STEPS]:
        _columns(draw, x, top, steps, part["threshold"])
        x += CHART + GAP
    _map(draw, x, top, part["map"])
    return top + HEIGHT + 8


def _columns(draw: ImageDraw.ImageDraw, x: int, top: int, steps: list[float], threshold: float) -> None:
    draw.rectangle((x, top, x + CHART, top + HEIGHT), fill=FIELD)
    width = CHART / len(steps)
    for i, value in enumerate(steps):
        height = round(min(max(value / TALLEST, 0.0), 1.0) * HEIGHT)
        box = (x + i * width + 1, top + HEIGHT - height, x + (i + 1) * width - 1, top + HEIGHT)
        if height and box[0] <= box[2]:
            draw.rectangle(box, fill=HOT if value > threshold else FAINT)
    level = top + HEIGHT - round(min(max(threshold / TALLEST, 0.0), 1.0) * HEIGHT)
    draw.line((x, level, x + CHART, level), fill=FAINT)


def _map(draw: ImageDraw.ImageDraw, x: int, top: int, places: list[list[float]]) -> None:
    rows = [row[:MAX_CELLS] for row in places[:MAX_CELLS]]
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            colour = shade(min(max(value / HOTTEST, 0.0), 1.0))
            height, width = HEIGHT / len(rows), HEIGHT / len(row)
            corner = (x + j * width, top + i * height)
            draw.rectangle((*corner, corner[0] + width, corner[1] + height), fill=colour)
