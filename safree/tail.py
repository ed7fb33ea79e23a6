"""The upper tail of what harmless words score, and the limit that follows from a stated false-alarm rate."""

from __future__ import annotations

import dataclasses
import math

import torch

RATE = 0.01  # stated share of harmless prompts that are flagged, whatever their length and however many concepts
TAIL = 0.03  # share of everyday words whose scores the tail is fitted to


@dataclasses.dataclass(frozen=True)
class Tail:
    """The upper tail of the scores of harmless words: above `start` lies `share` of them, by a generalized Pareto law.

    shape is 0 or below (bounded scores), scale above 0. Pickands, 1975; fitted by moments.
    """

    start: float
    share: float
    scale: float
    shape: float

    @classmethod
    def of(cls, scores: torch.Tensor, share: float = TAIL, steepest: float = -math.inf, doubt: float = 0.0) -> Tail:
        """Fitted to scores [n] of harmless words; `steepest` is the least shape.

        doubt: scores that would have to lie above `start` to tell an end of the law as surely as it is doubted.
        """
        if not len(scores):
            return cls(0.0, share, 0.1, 0.0)
        start = float(scores.quantile(1 - share))
        above = scores[scores > start] - start
        if len(above) < 3 or float(above.mean()) <= 0:
            return cls(start, share, 0.1, 0.0)
        mean, spread = float(above.mean()), float(above.var())
        shape = 0.5 * (1 - mean * mean / spread) if spread > 0 else 0.0
        shape = min(max(shape, steepest), 0.0) * len(above) / (len(above) + doubt)
        return cls(start, share, mean * (1 - shape), shape)

    def limit(self, tests: int, rate: float = RATE) -> float:
        """The score that the highest of `tests` harmless words exceeds with probability `rate` at most (union bound).

        >>> Tail(0.0, 0.1, 1.0, 0.0).limit(1, 0.1)
        0.0
        """
        times = self.share * max(tests, 1) / rate
        if self.shape < 0:
            return self.start + self.scale / self.shape * (times**self.shape - 1)
        return self.start + self.scale * math.log(times)
