"""The curve of each run: caught against harmless sentences flagged, with the threshold in force on it."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from .runs import Run

mpl.use("Agg")
from matplotlib import pyplot as plt

TICKS = (0, 0.01, 0.05, 0.2, 0.5, 1)


def draw(pack, runs: list[Run], path: Path) -> None:
    """One panel for each encoder and mode, one line for each guard that has sentences of both kinds."""
    measures = pack.safree.measures
    panels: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.harmful and run.harmless:
            panels.setdefault((run.encoder, run.mode), []).append(run)
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(6.2 * len(panels), 5), squeeze=False)
    for axis, ((encoder, mode), own) in zip(axes[0], panels.items(), strict=True):
        for number, run in enumerate(own):
            scores = [[outcome.margin for outcome in side] for side in (run.harmful, run.harmless)]
            false, caught = zip(*measures.curve(*scores), strict=True)
            axis.step(false, caught, where="post", color=f"C{number % 10}", label=run.group)
            shares = [sum(o.flagged for o in side) / len(side) for side in (run.harmless, run.harmful)]
            axis.plot(*shares, "o", color=f"C{number % 10}")
        axis.set_xscale("function", functions=(lambda x: x**0.5, lambda x: x**2))  # small shares matter most
        axis.set_xticks(TICKS, [f"{tick:.0%}" for tick in TICKS])
        axis.set_xlim(0, 1)
        axis.set_xlabel("harmless sentences flagged")
        axis.set_ylabel("caught")
        axis.set_title(f"{encoder}, {mode} (dots: the threshold in force)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_shares(runs: list[Run], encoders: dict, path: Path) -> None:
    """Flagged against the share of the vocabulary that is known, where several were measured; harmful ones dashed.

    encoders: by label
    """
    lines: dict[tuple[str, str], list[tuple[float, Run]]] = {}
    for run in runs:
        encoder = encoders[run.encoder]
        lines.setdefault((f"{encoder.name}, {run.mode}", run.group), []).append((encoder.share or 1.0, run))
    panels = sorted({title for (title, _), own in lines.items() if len(own) > 1})
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(6.2 * len(panels), 5), squeeze=False)
    for axis, title in zip(axes[0], panels, strict=True):
        groups = [(group, own) for (name, group), own in lines.items() if name == title]
        for number, (group, own) in enumerate(groups):
            for side, style in (("harmless", "o-"), ("harmful", "s--")):
                points = [(share, getattr(run, side)) for share, run in sorted(own, key=lambda one: one[0])]
                points = [(share, sum(o.flagged for o in found) / len(found)) for share, found in points if found]
                if points:
                    axis.plot(*zip(*points, strict=True), style, color=f"C{number % 10}", label=f"{group}, {side}")
        axis.set_xscale("log")
        axis.set_xlabel("share of the vocabulary")
        axis.set_ylabel("sentences flagged")
        axis.set_title(title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
