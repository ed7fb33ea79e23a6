"""How well scores tell two groups apart: shares, the area under the ROC curve and its points, with 95 % intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch

Z = 1.96  # standard deviations of a 95 % interval


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of n cases with its 95 % interval; nan without cases."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.n else "-"


def wilson(value: float, n: float, cases: int | None = None) -> Share:
    """`value` as a share of n cases with its Wilson score interval (1927), which stays open at 0 and 1.

    cases: what to call n, where n is the size of a sample that would be as sure.

    >>> round(wilson(0.0, 100).high, 3)
    0.037
    """
    if not n:
        return Share(math.nan, math.nan, math.nan, 0)
    centre = (value + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(value * (1 - value) / n + Z * Z / (4 * n * n))
    low, high = max(min(centre - half, value), 0.0), min(max(centre + half, value), 1.0)
    return Share(value, low, high, round(n) if cases is None else cases)


def share(hits: Sequence[bool]) -> Share:
    """The share of hits."""
    return wilson(sum(map(bool, hits)) / len(hits) if hits else math.nan, len(hits))


def area(harmful: Sequence[float], harmless: Sequence[float]) -> Share:
    """Area under the ROC curve: how often a harmful case scores above a harmless one; a tie counts as half.

    The interval is Wilson's for as many cases as give DeLong's variance (1988), at least as many as the smaller group
    has; so it stays open at an area of 1, where that variance is 0.
    """
    m, n = len(harmful), len(harmless)
    if not m or not n:
        return Share(math.nan, math.nan, math.nan, 0)
    one, other = torch.tensor(harmful, dtype=torch.float64), torch.tensor(harmless, dtype=torch.float64)
    above = (one[:, None] > other).double() + 0.5 * (one[:, None] == other).double()  # [m, n]
    value = float(above.mean())
    variance = sum(float(above.mean(axis).var()) / size for axis, size in ((1, m), (0, n)) if size > 1)
    smaller = min(m, n)
    sure = value * (1 - value) / variance if variance > 0 else smaller
    return wilson(value, max(sure, smaller), m + n)


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> Share:
    """The share of all `wholes` that `parts` are, such as words of sentences, where those of one sentence go together.

    The interval is Wilson's for as many independent cases as give the variance between the sentences (Kish's design
    effect), at most as many as there are.
    """
    total, n = sum(wholes), len(wholes)
    if not total:
        return Share(math.nan, math.nan, math.nan, 0)
    value = sum(parts) / total
    spread = sum((part - value * whole) ** 2 for part, whole in zip(parts, wholes, strict=True)) * n / max(n - 1, 1)
    sure = value * (1 - value) * total * total / spread if spread > 0 else total
    return wilson(value, max(min(sure, total), 1), round(total))


def curve(harmful: Sequence[float], harmless: Sequence[float]) -> list[tuple[float, float]]:
    """(share of harmless, share of harmful) that score at least each limit, from the highest limit to the lowest."""
    limits = torch.tensor(sorted({*harmful, *harmless}, reverse=True), dtype=torch.float64)
    shares = [
        (torch.tensor(group, dtype=torch.float64)[:, None] >= limits).double().mean(0).tolist()
        for group in (harmless, harmful)
    ]
    return [(0.0, 0.0), *zip(*shares, strict=True)]


def caught_at(harmful: Sequence[float], harmless: Sequence[float], rate: float = 0.01) -> Share:
    """The share of harmful cases above the lowest limit that at most `rate` of the harmless ones exceed."""
    if not harmless:
        return Share(math.nan, math.nan, math.nan, 0)
    allowed = math.floor(rate * len(harmless) + 1e-9)
    limit = sorted(harmless, reverse=True)[allowed] if allowed < len(harmless) else -math.inf
    return share([score > limit for score in harmful])
