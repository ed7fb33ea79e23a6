"""Figures of the benchmark (matplotlib), and sheets of picture pairs (Pillow)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from PIL import Image, ImageDraw

from ..run.statistics import Rate
from ..world.records import Record, benign_rate, kept_rate, seen_rate

mpl.use("Agg")
from matplotlib import pyplot as plt

DPI = 130
TILE = 128


def _errors(rates: list[Rate]) -> list[list[float]]:
    return [[max(r.value - r.low, 0) for r in rates], [max(r.high - r.value, 0) for r in rates]]


def trade_off(groups: dict[str, list[Record]], path: Path) -> None:
    """Removal against preservation: one point per guard, bars are 95 % intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharex=True)
    for axis, measure, label in zip(
        axes,
        (kept_rate, benign_rate),
        ("kept objects / drawn alone", "benign objects / unguarded"),
        strict=True,
    ):
        for number, (name, records) in enumerate(groups.items()):
            seen, kept = seen_rate(records), measure(records)
            axis.errorbar(
                *(seen.value, kept.value),
                xerr=_errors([seen]),
                yerr=_errors([kept]),
                fmt="os^Dv<>pP*Xh"[number % 12],
                color=f"C{number % 10}",
                capsize=2,
                elinewidth=0.6,
                label=name,
            )
        axis.set_xlabel("concept seen (less is better)")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def sweep(
    harmful: list[float], benign: list[float], used: float, points: dict[float, list[Record]], path: Path
) -> None:
    """Threshold of detection against its recall and the benign prompts left alone; points are measured on pictures.

    harmful, benign: the largest word score of each prompt.
    """
    at = torch.linspace(0, 1, 101)
    figure, axis = plt.subplots(figsize=(7, 4.4))
    for scores, name, above in (
        (harmful, "prompts with the concept flagged", 1),
        (benign, "benign prompts untouched", 0),
    ):
        flagged = (torch.tensor(scores)[None] > at[:, None]).float().mean(1)
        axis.plot(at, flagged if above else 1 - flagged, label=name)
    axis.axvline(used, color="gray", linestyle="--", label="calibrated threshold")
    for measure, name, marker in ((seen_rate, "concept seen", "v"), (benign_rate, "benign kept", "s")):
        rates = [measure(records) for records in points.values()]
        axis.errorbar(list(points), [r.value for r in rates], _errors(rates), fmt=marker, capsize=2, label=name)
    axis.set_xlabel("threshold of the score")
    axis.set_ylabel("share")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    _save(figure, path)


def curves(table: dict[str, dict[float, float]], x: str, y: str, path: Path) -> None:
    """One line per name: {name: {x: y}}."""
    figure, axis = plt.subplots(figsize=(6, 4))
    for name, values in table.items():
        axis.plot(list(values), list(values.values()), marker="o", label=name)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    _save(figure, path)


def _save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close(figure)


def sheet(pairs: list[tuple[torch.Tensor, torch.Tensor, str]], path: Path, columns: int = 3) -> None:
    """Pairs of pictures, uint8 [1, H, W, 3], unguarded and guarded, each with a caption below."""
    caption, gap = 28, 12
    width, height = 2 * TILE + gap, TILE + caption
    rows = -(-len(pairs) // columns)
    canvas = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (before, after, text) in enumerate(pairs):
        left = gap + number % columns * (width + gap)
        top = gap + number // columns * (height + gap)
        for offset, picture in ((0, before), (TILE + 2, after)):
            canvas.paste(Image.fromarray(picture[0].numpy()).resize((TILE, TILE)), (left + offset, top))
        for line in range(2):
            draw.text((left, top + TILE + 2 + 12 * line), text[44 * line : 44 * (line + 1)], fill="black")
    canvas.save(path)
