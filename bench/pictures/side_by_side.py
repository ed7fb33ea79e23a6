"""A labelled grid of picture pairs: one column a prompt, unguarded above guarded."""

from __future__ import annotations

import dataclasses
import textwrap

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, MARGIN, SIDE = 256, 16, 16, 110  # pixels; SIDE is the width of the row titles
HEADER, CAPTION = 88, 30
WRAP = 30  # characters of a prompt in one line
INK, MUTED, RED, GREEN, PAPER = "#1f2328", "#59636e", "#b42318", "#1a7f37", "#ffffff"


@dataclasses.dataclass(frozen=True)
class Column:
    prompt: str
    flagged: list[str]
    unguarded: Image.Image
    guarded: Image.Image
    seen_unguarded: str
    seen_guarded: str


def draw(columns: list[Column]) -> Image.Image:
    width = 2 * MARGIN + SIDE + len(columns) * (CELL + GAP) - GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + HEADER + 2 * (CELL + CAPTION)), PAPER)
    pen = ImageDraw.Draw(sheet)
    title, text = ImageFont.load_default(18), ImageFont.load_default(15)
    tops = {"unguarded": MARGIN + HEADER, "guarded": MARGIN + HEADER + CELL + CAPTION}
    for name, top in tops.items():
        pen.text((MARGIN, top + CELL / 2), name, INK, title, anchor="lm")
    for number, column in enumerate(columns):
        left = MARGIN + SIDE + number * (CELL + GAP)
        pen.multiline_text((left, MARGIN), textwrap.fill(column.prompt, WRAP), INK, title)
        verdict = f"flagged: {', '.join(column.flagged)}" if column.flagged else "nothing flagged"
        pen.text((left, MARGIN + HEADER - 28), verdict, RED if column.flagged else GREEN, text)
        for name, top in tops.items():
            picture = getattr(column, name).resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(picture, (left, top))
            pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline="#d1d9e0")
            pen.text((left, top + CELL + 5), f"detector sees: {getattr(column, f'seen_{name}')}", MUTED, text)
    return sheet
