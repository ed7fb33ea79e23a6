"""What the guard found and did, as plain data."""

from __future__ import annotations

import dataclasses
import logging

from ...safree import check_choice, check_share
from ...safree.subspace import ConceptSubspace

VERSION = 2  # of the report's fields, which the editor's panel, SafetyReportPlot and headless runs read
READABLE = (1, 2)
STATES = ("filtered", "clear", "inactive", "empty", "found")
REASONS = ("", "strength", "steps", "problem")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a node found or did. Programs read `state` and `reason`; `verdict` says the same to people.

    kind: 'prompt' of SafreeConditioning and SafreeFilterConditioning, 'sampling' of SelfValidatingSampler,
        'look' of LatentLook
    state: 'filtered' (words were flagged and are steered away), 'clear' (nothing was flagged), 'inactive' (the guard
        does not hold), 'empty' (there was nothing to sample), 'found' (a look at a picture found a concept)
    reason: of 'inactive': 'strength' is 0, the filter has 0 'steps', or a 'problem' of the graph; '' otherwise
    notes: what the guard could not do, one sentence each
    fields: what only this kind of report has
    """

    kind: str
    state: str
    verdict: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    fields: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_choice("state", self.state, STATES)
        check_choice("reason", self.reason, REASONS)

    @property
    def active(self) -> bool:
        return self.state != "inactive"

    def data(self) -> dict:
        """Plain data for JSON: the head that every report has, then the fields of its kind."""
        head = {name: getattr(self, name) for name in ("kind", "state", "reason", "active", "verdict")}
        return {"version": VERSION, **head, "notes": list(self.notes), **self.fields}


def upgraded(report: dict) -> dict:
    """A report of any version in READABLE with the fields of VERSION. Version 1 told the state by its numbers alone."""
    if report["version"] == VERSION:
        return report
    if "filtered_steps" in report:
        kind, on, checked = "sampling", any(report["filtered_steps"]), report.get("active", True)
        state = "empty" if not report["steps"] else "filtered" if on else "clear"
    else:
        strengths = [subspace["strength"] for subspace in report.get("subspaces", ())]
        checked = report.get("strength", 1) > 0 and (not strengths or max(strengths) > 0)
        kind, state = "prompt", "filtered" if report.get("flagged") else "clear"
        checked = checked and (state == "clear" or round(report["t_prime"]["steps_of_50"]) > 0)
    state = state if checked or state == "empty" else "inactive"
    return {**report, "version": VERSION, "kind": kind, "state": state, "active": state != "inactive"}


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


def note(finding: Finding, subspace: ConceptSubspace, score: float, limit: float, flagged: bool | None = None) -> None:
    """Write a score into a finding; flagged by default when it is over the limit."""
    if score > limit if flagged is None else flagged:
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
    fields = {
        "prompt": text,
        "mode": settings.mode,
        "strength": settings.strength,
        "flagged": len(words),
        "concept": next(iter(concepts), None),
        "t_prime": {"share": round(share, 4), "steps_of_50": round(steps, 3)},
        "tokens": [_token(finding) for finding in findings],
        "subspaces": [subspace.summary() for subspace in subspaces],
    }
    reason = ""
    if settings.strength == 0 or all(subspace.strength == 0 for subspace in subspaces):
        state, reason = "inactive", "strength"
        verdict = "Guard not active: strength is 0, the prompt passed unchanged and unchecked."
    elif not flagged:
        state, verdict = "clear", "Nothing flagged: the prompt passed unchanged."
    elif round(steps) == 0:
        state, reason = "inactive", "steps"
        verdict = f"Guard not active: {', '.join(words)} flagged, but self-validation chose 0 of 50 steps."
    else:
        state = "filtered"
        verdict = f"Flagged {', '.join(words)} as {', '.join(concepts)}; filtered for {share:.0%} of the steps."
    done = Report("prompt", state, verdict, reason, tuple(notes), fields)
    if not done.active:
        logging.warning("SAFREE: %s", verdict)
    return done.data()


def _token(finding: Finding) -> dict:
    return {
        "text": finding.text,
        "encoder": finding.encoder,
        "score": round(finding.score, 4),
        "threshold": round(finding.threshold, 4),
        "concept": finding.concept,
        "flagged": bool(finding.strength),
    }
