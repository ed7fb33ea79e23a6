"""Rates with bootstrap confidence intervals, and distances between pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence

import torch

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Rate:
    """A mean (or ratio of means) over n prompts with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "-"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] n={self.n}"


def rate(
    values: Sequence[float], clusters: Sequence[Hashable], baseline: Sequence[float] | None = None, draws: int = DRAWS
) -> Rate:
    """Mean of `values`, or its ratio to the mean of `baseline` (same prompts, paired).

    Prompts of one cluster share a picture, so whole clusters are drawn: otherwise the interval would be too narrow.
    """
    if not values:
        return Rate(math.nan, math.nan, math.nan, 0)
    names = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    index = torch.tensor([names[cluster] for cluster in clusters])
    below = torch.ones(len(values)) if baseline is None else torch.tensor(baseline, dtype=torch.float)
    sums = torch.zeros(len(names), 2).index_add_(0, index, torch.stack([torch.tensor(values).float(), below], 1))
    total = sums.sum(0)
    if total[1] == 0:
        return Rate(math.nan, math.nan, math.nan, len(values))
    picks = torch.randint(len(names), (draws, len(names)), generator=torch.Generator().manual_seed(0))
    drawn = sums[picks].sum(1)  # [draws, 2]
    ratios = drawn[:, 0] / drawn[:, 1].clamp_min(0.5)
    low, high = torch.quantile(ratios, torch.tensor([0.025, 0.975])).tolist()
    return Rate((total[0] / total[1]).item(), low, high, len(values))


def wilson(hits: Sequence[bool], z: float = 1.96) -> Rate:
    """Share of hits with its Wilson score interval, which stays open at 0 and 1 where a bootstrap collapses."""
    n = len(hits)
    if not n:
        return Rate(math.nan, math.nan, math.nan, 0)
    share = sum(hits) / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Rate(share, max(centre - half, 0.0), min(centre + half, 1.0), n)


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1]; infinite for equal ones."""
    error = (one.float() - other.float()).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def mse(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one.float() - other.float()).square().mean().item()
