"""Fit the probes of a concept's presence, and measure on clean pictures what they say by chance."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .presence import Probe, fit, presence, strongest

Rows = tuple[Tensor, Tensor]  # features of one block at one step: with the prompt and with the empty one, [n, D, h, w]


def calibrate(shown: dict[int, Rows], clean: dict[int, Rows]) -> tuple[dict[int, Probe], Tensor, Tensor]:
    """(probes by block, presence of the clean pictures [2, m], and of those that show the concept [2, n]) at one step.

    shown, clean: features by block. The first and the second half of each share no words, and every picture is judged
    by probes fitted to the other half, with its prompt and with the empty one.
    """
    probes, without, having = {}, [], []
    for block in shown:
        whole = fit(torch.cat(shown[block]), torch.cat(clean[block]))
        judged, judged_shown = _crossed(shown[block], clean[block])
        mean, deviation = judged.mean(), judged.std()
        probes[block] = dataclasses.replace(whole, mean=float(mean), deviation=float(deviation))
        without.append((judged - mean) / deviation)
        having.append((judged_shown - mean) / deviation)
    return probes, presence(without), presence(having)


def _crossed(shown: Rows, clean: Rows) -> tuple[Tensor, Tensor]:
    """Scores [2, m] of the clean pictures and [2, n] of the others, each by a probe of the other half."""
    halves = []
    for rows in (shown, clean):
        middle = len(rows[0]) // 2
        halves.append([[part[:middle] for part in rows], [part[middle:] for part in rows]])
    probes = [fit(torch.cat(halves[0][half]), torch.cat(halves[1][half])) for half in (1, 0)]
    judged = [
        torch.stack([torch.cat([_scores(probes[half], own[half][kind]) for half in (0, 1)]) for kind in (0, 1)])
        for own in halves
    ]
    return judged[1], judged[0]


def _scores(probe: Probe, features: Tensor) -> Tensor:
    return strongest(probe.places(features))
