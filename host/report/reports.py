"""What the guard found and did, as plain data."""

from __future__ import annotations

import dataclasses

from ...safree import check_choice

VERSION = 2  # of the report's fields, which the editor's panel, SafetyReportPlot and headless runs read
READABLE = (1, 2)
STATES = ("filtered", "clear", "inactive", "empty", "found")
REASONS = ("", "strength", "steps", "problem")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a node found or did. Programs read `state` and `reason`; `verdict` says the same to people.

    kind: 'prompt' of SafreeConditioning and SafreeFilterConditioning, 'sampling' of SelfValidatingSampler,
        'look' of LatentLook, 'gate' of SafetyGate
    state: 'filtered' (words were flagged and are steered away), 'clear' (nothing was flagged), 'inactive' (the guard
        does not hold), 'empty' (there was nothing to sample), 'found' (a look at a picture, or a judge, found a
        concept)
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
