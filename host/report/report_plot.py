"""Draw a report as a picture: what the editor panel shows, for SaveImage and headless runs."""

from __future__ import annotations

import json

import torch
from PIL import ImageDraw, ImageFont

from ...safree import SafreeError
from ...safree.storage import UNREADABLE
from . import canvas
from .canvas import FAINT, HOT, LINE, MARGIN, MAX_WORD, TEXT, WIDTH
from .presence_plot import draw_presence
from .reports import READABLE, upgraded

MAX_ENCODERS, MAX_LINES = 8, 40  # of notes, of bars
MAX_WORDS, MAX_FLAGGED = 600, 8  # of one encoder: words shown, and explained in a line of their own


def parse(text: str) -> dict:
    """The report in `text`, the JSON of SafreeConditioning or SelfValidatingSampler; SafreeError if it is neither."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SafreeError(f"the report is not JSON ({error}). Connect the report output of a SAFREE node.") from error
    if not isinstance(report, dict) or "verdict" not in report:
        raise SafreeError("the text holds no verdict. Connect the report output of a SAFREE node.")
    if report.get("version") not in READABLE:
        known = " or ".join(map(str, READABLE))
        raise SafreeError(f"the report has version {report.get('version')!r}, not {known}. Run the workflow again.")
    return report


def plot(report: dict) -> torch.Tensor:
    """IMAGE [1, height, 768, 3] of one report, values in [0, 1]; SafreeError where a field is missing or wrong."""
    try:
        report = upgraded(report)
        return canvas.picture(lambda draw: _draw(draw, report))
    except (*UNREADABLE, ArithmeticError) as error:
        raise SafreeError(f"the report is damaged ({error!r}). Connect the report output of a SAFREE node.") from error


def _draw(draw: ImageDraw.ImageDraw, report: dict) -> int:
    """Draw everything from the top; return the height used."""
    y = canvas.lines(draw, MARGIN, report["verdict"], HOT if report["state"] == "inactive" else TEXT, 17)
    for encoder in list(dict.fromkeys(token["encoder"] for token in report.get("tokens", [])))[:MAX_ENCODERS]:
        tokens = [token for token in report["tokens"] if token["encoder"] == encoder]
        y = canvas.lines(draw, y + 8, f"text encoder {encoder}", FAINT)
        y = _heat_map(draw, y + 4, tokens)
        flagged = sorted((token for token in tokens if token["flagged"]), key=lambda token: -token["score"])
        for token in flagged[:MAX_FLAGGED]:
            score = f"score {token['score']:.2f}, threshold {token['threshold']:.2f}"
            y = canvas.lines(draw, y + 2, f"{token['text']}: {token['concept']}, {score}", FAINT)
        if len(flagged) > MAX_FLAGGED:
            y = canvas.lines(draw, y + 2, f"and {len(flagged) - MAX_FLAGGED} more flagged words", FAINT)
    if report.get("flagged"):
        share = report["t_prime"]["share"]
        y = canvas.bar(draw, y + 8, share, f"t' {share:.0%} of the schedule")
    for note in report.get("notes", [])[:MAX_LINES]:
        y = canvas.lines(draw, y + 4, note, FAINT)
    for count in report.get("filtered_steps", [])[:MAX_LINES]:
        y = canvas.bar(draw, y + 8, count / report["steps"], f"t' {count} of {report['steps']} steps")
    for part in [*report.get("presence", []), *report.get("second_look", [])][:MAX_LINES]:
        y = draw_presence(draw, MARGIN, y + 8, part)
    return y + MARGIN


def _heat_map(draw: ImageDraw.ImageDraw, y: int, tokens: list[dict]) -> int:
    """The prompt's words, redder the closer to their threshold; the flagged ones outlined and struck through."""
    font, x = ImageFont.load_default(15), MARGIN
    for token in tokens[:MAX_WORDS]:
        text = canvas.cut(" ".join(token["text"].split()), MAX_WORD)
        width = round(draw.textlength(text, font=font)) + 10
        if x + width > WIDTH - MARGIN and x > MARGIN:
            x, y = MARGIN, y + LINE + 4
        box = (x, y, x + width, y + LINE)
        draw.rounded_rectangle(box, 3, fill=_heat(token), outline=HOT if token["flagged"] else None)
        draw.text((x + 5, y + 3), text, fill=TEXT, font=font)
        if token["flagged"]:
            draw.line((x + 4, y + 13, x + width - 4, y + 13), fill=TEXT)
        x += width + 4
    y += LINE + 4
    rest = len(tokens) - MAX_WORDS
    return canvas.lines(draw, y, f"and {rest} more words", FAINT) if rest > 0 else y


def _heat(token: dict) -> tuple[int, int, int]:
    """A shade of the hot colour: faint and growing up to the threshold, strong where flagged."""
    ratio = token["score"] / token["threshold"] if token["threshold"] > 0 else 0.0
    heat = 0.6 if token["flagged"] else 0.35 * min(max(ratio, 0.0), 1.0) ** 2
    return canvas.shade(heat)
