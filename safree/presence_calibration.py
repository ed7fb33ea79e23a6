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
    shown_halves, clean_halves = _halves(shown), _halves(clean)
    fitted = [fit(torch.cat(one), torch.cat(other)) for one, other in zip(shown_halves, clean_halves, strict=True)]
    judges = fitted[::-1]  # each half is judged by the probe of the other one
    return _judged(clean_halves, judges), _judged(shown_halves, judges)


def _halves(rows: Rows) -> tuple[Rows, Rows]:
    middle = len(rows[0]) // 2
    return tuple(part[:middle] for part in rows), tuple(part[middle:] for part in rows)


def _judged(halves: tuple[Rows, Rows], judges: list[Probe]) -> Tensor:
    """Scores [2, pictures]: with the prompt and with the empty one."""
    scores = []
    for half, probe in zip(halves, judges, strict=True):
        scores.append(torch.stack([strongest(probe.places(features)) for features in half]))
    return torch.cat(scores, dim=1)
