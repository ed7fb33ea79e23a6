"""What the pack's pictures share: colours, lines of text and bars, from the top down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, LINE = 768, 16, 24  # pixels
MAX_TEXT, MAX_WORD = 600, 40  # characters of one text, and of a word before it is cut
BACKGROUND, FIELD, TEXT, FAINT, HOT = (32, 32, 34), (46, 46, 50), (228, 228, 230), (150, 150, 156), (229, 72, 77)


def shade(share: float) -> tuple[int, int, int]:
    """A colour between that of a field, 0, and the hot one, 1."""
    return tuple(round(cold + share * (hot - cold)) for cold, hot in zip(FIELD, HOT, strict=True))


def picture(draw: Callable[[ImageDraw.ImageDraw], int]) -> torch.Tensor:
    """IMAGE [1, height, 768, 3], values in [0, 1], of what `draw` draws; it returns the height that it used."""
    height = draw(ImageDraw.Draw(Image.new("RGB", (WIDTH, 1))))  # a dry run, only to measure
    image = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw(ImageDraw.Draw(image))
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)[None]


def lines(draw: ImageDraw.ImageDraw, y: int, text: str, colour: tuple, size: int = 14) -> int:
    """Text from `y` on, in as many lines as it takes; returns where they end."""
    font = ImageFont.load_default(size)
    for line in wrap(draw, cut(text, MAX_TEXT), font):
        draw.text((MARGIN, y), line, fill=colour, font=font)
        y += size + 6
    return y


def cut(text: str, most: int) -> str:
    """At most the first `most` characters of a text, and dots for the rest."""
    return text if len(text) <= most else text[:most] + "..."


def wrap(draw: ImageDraw.ImageDraw, text: str, font) -> list[str]:
    """`text` in lines that fit between the margins; words too long for one are cut."""
    rows = [""]
    for word in (whole[i : i + MAX_WORD] for whole in text.split() for i in range(0, len(whole), MAX_WORD)):
        longer = f"{rows[-1]} {word}".lstrip()
        if draw.textlength(longer, font=font) <= WIDTH - 2 * MARGIN:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows


def bar(draw: ImageDraw.ImageDraw, y: int, share: float, label: str) -> int:
    """A bar as long as `share`, in [0, 1], with a label behind it; returns where it ends. ValueError outside."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}")
    end = WIDTH - MARGIN - 220
    draw.rounded_rectangle((MARGIN, y + 4, end, y + 14), 4, fill=FIELD)
    if share > 0:
        draw.rounded_rectangle((MARGIN, y + 4, MARGIN + round(share * (end - MARGIN)), y + 14), 4, fill=HOT)
    draw.text((end + 12, y), label, fill=FAINT, font=ImageFont.load_default(14))
    return y + LINE
