"""What becomes of one prompt: the value that a guard hands on, and its report as plain data."""

from __future__ import annotations

import dataclasses
import logging

from ...safree.subspace import ConceptSubspace
from ..report.reports import Report
from .findings import Finding, Settings


@dataclasses.dataclass(frozen=True)
class TPrime:
    """How long the filter stays on: as a share of the schedule, 0 to 1, and in steps of the paper's 50."""

    share: float = 0.0
    steps: float = 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Steered:
    """What a mode makes of one prompt.

    findings: of all encoders, in the order of the prompt
    filtered: CONDITIONING without what is flagged; None where nothing is
    beta: 1 - cos between the original and the filtered embedding, of the paper; 1 in mode adaptive
    unread: codes of the languages that no encoder checked
    notes: what the mode could not reach, one sentence each
    """

    findings: list[Finding]
    filtered: list | None = None
    beta: float = 0.0
    unread: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Guarded:
    """One prompt after its guard.

    conditioning: the host's CONDITIONING, marked
    text, settings, subspaces: what was guarded, how, and against what
    findings: one for each word that an encoder reads
    notes: what the guard could not do, one sentence each
    unchecked: languages in the prompt, by their English names, that no text encoder reads
    """

    conditioning: list
    text: str
    settings: Settings
    subspaces: tuple[ConceptSubspace, ...]
    findings: tuple[Finding, ...] = ()
    t_prime: TPrime = TPrime()
    notes: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[ConceptSubspace, ...]:
        """The subspaces that have a strength."""
        return tuple(one for one in self.subspaces if one.strength * self.settings.strength > 0)

    @property
    def flagged(self) -> list[Finding]:
        """The findings that are to be steered away, in the order of the prompt."""
        return [finding for finding in self.findings if finding.is_flagged]

    def report(self) -> dict:
        """The token report as plain data, for JSON."""
        words = list(dict.fromkeys(finding.shown for finding in self.flagged))
        furthest_first = sorted(self.flagged, key=lambda finding: finding.threshold - finding.score)
        concepts = list(dict.fromkeys(finding.concept for finding in furthest_first))
        fields = {
            "prompt": self.text,
            "mode": self.settings.mode,
            "strength": self.settings.strength,
            "flagged": len(words),
            "concept": concepts[0] if concepts else None,
            "t_prime": {"share": round(self.t_prime.share, 4), "steps_of_50": round(self.t_prime.steps, 3)},
            "tokens": [_token(finding) for finding in self.findings],
            "unchecked_languages": list(self.unchecked),
            "subspaces": [subspace.summary() for subspace in self.subspaces],
        }
        state, reason, verdict = self._verdict(words, concepts)
        return Report("prompt", state, verdict, reason, self.notes, fields).data()

    def _verdict(self, words: list[str], concepts: list[str]) -> tuple[str, str, str]:
        """(state, reason, sentence) of the report."""
        if not self.active:
            sentence = "Guard not active: strength is 0, the prompt passed unchanged and unchecked."
            return "inactive", "strength", sentence
        if not words and self.unchecked:
            names = ", ".join(self.unchecked)
            return "clear", "", f"Nothing flagged, but {names} was not checked: no text encoder here reads it."
        if not words:
            return "clear", "", "Nothing flagged: the prompt passed unchanged."
        if round(self.t_prime.steps) == 0:
            sentence = f"Guard not active: {', '.join(words)} flagged, but self-validation chose 0 of 50 steps."
            return "inactive", "steps", sentence
        flagged = f"Flagged {', '.join(words)} as {', '.join(concepts)}"
        return "filtered", "", f"{flagged}; filtered for {self.t_prime.share:.0%} of the steps."


def logged(guarded: Guarded) -> Guarded:
    """`guarded`, once the log says so where the guard does not hold."""
    report = guarded.report()
    if not report["active"]:
        logging.warning("SAFREE: %s", report["verdict"])
    return guarded


def _token(finding: Finding) -> dict:
    return {
        "text": finding.text,
        "encoder": finding.encoder,
        "score": round(finding.score, 4),
        "threshold": round(finding.threshold, 4),
        "concept": finding.concept,
        "flagged": finding.is_flagged,
        **({"read_as": finding.read_as} if finding.read_as else {}),
    }
