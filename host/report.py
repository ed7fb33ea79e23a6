"""What the guard found and did, as plain data."""

from __future__ import annotations

import dataclasses
import logging

from ..safree import check_share
from ..safree.subspace import ConceptSubspace

VERSION = 1  # of the report's fields; the editor panel reads it


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


def note(finding: Finding, subspace: ConceptSubspace, score: float, limit: float) -> None:
    if score > limit:
        finding.strength = max(finding.strength, subspace.strength)
    if score - limit > finding.score - finding.threshold or not finding.concept:
        finding.score, finding.threshold, finding.concept = score, limit, subspace.name


def report(
    text: str,
    subspaces,
    settings: Settings,
    findings: list[Finding] = (),
    share: float = 0.0,
    steps: float = 0.0,
    notes: list[str] = (),
) -> dict:
    """The token report of one prompt; share and steps are t', of the schedule and of the paper's 50 steps.

    notes: what the guard could not do.
    """
    flagged = [finding for finding in findings if finding.strength]
    words = list(dict.fromkeys(finding.text for finding in flagged))
    concepts = {f.concept: 0 for f in sorted(flagged, key=lambda f: f.threshold - f.score)}
    if settings.strength == 0 or all(subspace.strength == 0 for subspace in subspaces):
        verdict = "Guard not active: strength is 0, the prompt passed unchanged and unchecked."
    elif not flagged:
        verdict = "Nothing flagged: the prompt passed unchanged."
    elif round(steps) == 0:
        verdict = f"Guard not active: {', '.join(words)} flagged, but self-validation chose 0 of 50 steps."
    else:
        verdict = f"Flagged {', '.join(words)} as {', '.join(concepts)}; filtered for {share:.0%} of the steps."
    if verdict.startswith("Guard not active"):
        logging.warning("SAFREE: %s", verdict)
    return {
        "verdict": verdict,
        "version": VERSION,
        "prompt": text,
        "mode": settings.mode,
        "strength": settings.strength,
        "flagged": len(words),
        "concept": next(iter(concepts), None),
        "t_prime": {"share": round(share, 4), "steps_of_50": round(steps, 3)},
        "tokens": [
            {
                "text": finding.text,
                "encoder": finding.encoder,
                "score": round(finding.score, 4),
                "threshold": round(finding.threshold, 4),
                "concept": finding.concept,
                "flagged": bool(finding.strength),
            }
            for finding in findings
        ],
        "subspaces": [subspace.summary() for subspace in subspaces],
        "notes": list(notes),
    }
