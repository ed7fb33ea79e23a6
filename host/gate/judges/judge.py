"""The one interface of all judges, and what they say."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import Tensor

from ..actions import Box


@dataclasses.dataclass(frozen=True)
class Finding:
    """How surely a judge sees a concept in a picture.

    picture: its number among those that were shown to the judge
    score, limit: in the judge's own unit; above the limit the concept counts as seen
    box: where in the picture; None where the judge says nothing about places
    """

    concept: str
    picture: int
    score: float
    limit: float
    box: Box | None = None

    @property
    def found(self) -> bool:
        return self.score > self.limit


class Judge(Protocol):
    """name: for reports and errors."""

    name: str

    def judge(self, images: Tensor) -> list[Finding]:
        """Findings about `images` [n, H, W, 3], float32 in 0 to 1 on the CPU; SafreeError where it cannot judge them.

        At least one for each picture and concept, unless the judge reports only what it sees.
        """
        ...
