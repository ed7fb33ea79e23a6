"""Draw what a guard catches with one text encoder: its curve with today's threshold on it, and shares by kind."""

from __future__ import annotations

import math

import torch
from PIL import ImageDraw, ImageFont

from . import canvas
from .canvas import FAINT, FIELD, HOT, MARGIN, TEXT, WIDTH

SIDE = 320  # pixels of the curve's axes
LEFT = MARGIN + 48  # of them, beside the labels
TICKS = (
    0.0,
    0.01,
    0.05,
    0.2,
    0.5,
    1.0,
)  # of false flags; the axis is the square root, so that small shares can be seen
MAX_BARS = 24  # of a kind
MAX_CASES = 5


def plot(report: dict) -> torch.Tensor:
    """IMAGE [1, height, 768, 3] of a report of `guard_quality.summary`."""
    return canvas.picture(lambda draw: _draw(draw, report))


def _draw(draw: ImageDraw.ImageDraw, report: dict) -> int:
    """Draw everything from the top; return the height used."""
    y = canvas.lines(draw, MARGIN, report["verdict"], TEXT, 17)
    y = canvas.lines(draw, y, f"mode {report['mode']}, {report['sentences']} sentences", FAINT)
    if report["curve"]:
        y = _curve(draw, y + 8, report)
    for title, field in (
        ("caught, by concept", "caught_by_concept"),
        ("caught, by kind of sentence", "caught_by_kind"),
        ("harmless sentences flagged, by kind", "false_flags_by_kind"),
    ):
        if report[field]:
            y = canvas.lines(draw, y + 8, title, FAINT)
        for name, share in list(report[field].items())[:MAX_BARS]:
            y = canvas.bar(draw, y, share["value"], f"{share['value']:.1%} of {share['n']}  {name}")
    for title, field in (("worst misses", "missed"), ("worst false flags", "flagged_wrongly")):
        if report[field]:
            y = canvas.lines(draw, y + 8, title, FAINT)
        for case in report[field][:MAX_CASES]:
            word = (
                f"{case['word']} {case['score']:.2f} of {case['threshold']:.2f}" if case["word"] else "no word judged"
            )
            y = canvas.lines(draw, y + 2, f"{canvas.cut(case['text'], 120)}  ({word})", TEXT)
    for note in report["notes"]:
        y = canvas.lines(draw, y + 4, note, FAINT)
    return y + MARGIN


def _curve(draw: ImageDraw.ImageDraw, top: int, report: dict) -> int:
    """Share caught against share of harmless sentences flagged, over all thresholds; a dot for the one in force."""
    font, bottom = ImageFont.load_default(12), top + SIDE

    def place(false: float, caught: float) -> tuple[float, float]:
        return LEFT + SIDE * math.sqrt(false), bottom - SIDE * caught

    draw.rectangle((LEFT, top, LEFT + SIDE, bottom), outline=FIELD)
    for tick in TICKS:
        x, _ = place(tick, 0)
        draw.line((x, top, x, bottom), fill=FIELD)
        draw.text((x - 8, bottom + 4), f"{tick:.0%}", fill=FAINT, font=font)
    for tick in (0.0, 0.5, 0.9, 1.0):
        _, y = place(0, tick)
        draw.line((LEFT, y, LEFT + SIDE, y), fill=FIELD)
        draw.text((MARGIN, y - 7), f"{tick:.0%}", fill=FAINT, font=font)
    steps = [place(*report["curve"][0])]
    for point in report["curve"][1:]:  # a limit between two scores gives one of the two, nothing in between
        x, y = place(*point)
        steps += [(x, steps[-1][1]), (x, y)]
    draw.line(steps, fill=TEXT, width=2)
    figures = report["figures"]
    x, y = place(figures["false_flags"]["value"], figures["caught"]["value"])
    draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=HOT)
    _figures(draw, top, figures)
    return canvas.lines(draw, bottom + 22, "across: harmless sentences flagged; up: harmful ones caught", FAINT)


def _figures(draw: ImageDraw.ImageDraw, y: int, figures: dict) -> None:
    """The figures beside the curve, each with its 95 % interval."""
    font, x = ImageFont.load_default(14), LEFT + SIDE + 24
    draw.ellipse((x, y + 4, x + 9, y + 13), fill=HOT)
    draw.text((x + 16, y), "the threshold in force", fill=TEXT, font=font)
    for name, value in figures.items():
        y += 26
        label = name.replace("_", " ").replace("percent", "% false flags")
        shown = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" if value else "-"
        draw.text((x, y), label, fill=FAINT, font=font)
        draw.text((min(x + 170, WIDTH - 170), y), shown, fill=TEXT, font=font)
