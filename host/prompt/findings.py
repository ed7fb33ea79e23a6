"""How a prompt is guarded, and what was found in each of its words."""

from __future__ import annotations

import dataclasses

from ...safree import check_share
from ...safree.subspace import ConceptSubspace


@dataclasses.dataclass(frozen=True)
class Settings:
    """threshold 0 stands for the mode's own: calibrated in `adaptive`, alpha = 0.01 in the others."""

    mode: str = "adaptive"
    strength: float = 1.0
    threshold: float = 0.0
    validation: str = "auto"

    def __post_init__(self):
        check_share("strength", self.strength)
        check_share("threshold", self.threshold)


@dataclasses.dataclass
class Finding:
    """One word of the report: its largest score, the subspace that gave it, and whether it was flagged."""

    encoder: str
    text: str
    score: float = 0.0
    concept: str = ""
    threshold: float = 0.0
    strength: float = 0.0  # of the strongest subspace that flagged it
    read_as: str = ""  # the plainer word that it was flagged as

    @property
    def is_flagged(self) -> bool:
        return self.strength > 0

    @property
    def shown(self) -> str:
        return f"{self.text} (read as {self.read_as})" if self.read_as else self.text


def note(finding: Finding, subspace: ConceptSubspace, score: float, limit: float, flagged: bool | None = None) -> None:
    """Write a score into a finding; flagged by default when it is over the limit."""
    if score > limit if flagged is None else flagged:
        finding.strength = max(finding.strength, subspace.strength)
    if score - limit > finding.score - finding.threshold or not finding.concept:
        finding.score, finding.threshold, finding.concept = score, limit, subspace.name
