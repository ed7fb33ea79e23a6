"""What was done in one sampling run: a fresh record for each, which goes back to whoever started the run."""

from __future__ import annotations

import dataclasses
import logging

from ...safree import SafreeError, naming
from ..conditioning.marks import Mark, read, role
from ..report.reports import Report
from .schedule import NO_STEPS, Part
from .switching import Switch


@dataclasses.dataclass
class RunRecord:
    """One sampling run.

    switch: its settings;  part: its steps, of a whole schedule
    filtered: filtered steps of each prompt that has words flagged;  roles: of all prompts
    problems: what kept the guard from holding, a sentence each;  causes: those that are told once in a run
    notes: what else there is to say, a sentence each
    """

    switch: Switch
    part: Part = NO_STEPS
    filtered: list[int] = dataclasses.field(default_factory=list)
    roles: set[str | None] = dataclasses.field(default_factory=set)
    problems: list[str] = dataclasses.field(default_factory=list)
    causes: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)

    def steps(self, mark: Mark) -> int:
        """How many steps of this run are filtered for a prompt with this mark."""
        return self.switch.steps(mark, self.part)

    def take_down(self, conds: list[dict]) -> None:
        """Note the roles of conds, and for how many steps they are filtered."""
        for cond in conds:
            self.roles.add(role(cond))
            if role(cond) == "filtered":
                self.filtered.append(self.steps(read(cond)))

    def raise_or_warn(self, problem: str) -> None:
        """SafreeError for a problem, or with 'warn' a line in the log and in the report."""
        if self.switch.on_problem != "warn":
            with naming(lambda: self.switch.node):
                raise SafreeError(f"{problem} Or set on_problem to 'warn'.")
        logging.warning("SAFREE: %s", problem)
        self.problems.append(problem)

    def raise_or_warn_once(self, cause: str, problem: str) -> None:
        """The same, but in each run only the first time for each `cause`."""
        if cause not in self.causes:
            self.causes.add(cause)
            self.raise_or_warn(problem)

    def report(self) -> Report:
        state, reason, verdict = self._verdict()
        notes = [_capital(problem) for problem in self.problems[1:]]
        if "unchecked" in self.roles and self.roles & {"filtered", "clear"}:
            notes.append("One prompt was not checked: strength is 0.")
        fields = {"steps": self.part.count, "filtered_steps": list(self.filtered)}
        return Report("sampling", state, verdict, reason, (*notes, *self.notes), fields)

    def _verdict(self) -> tuple[str, str, str]:
        """(state, reason, sentence) of the report."""
        most, steps = max(self.filtered, default=0), self.part.count
        if steps == 0:
            return "empty", "", "Nothing was sampled: there are no steps."
        if self.problems:
            return "inactive", "problem", _capital(self.problems[0])
        if most > 0:
            return "filtered", "", f"Filtered for {most} of {steps} steps."
        if self.filtered and self.part.first > 0:
            return "filtered", "", "Filtered in an earlier part of the schedule: t' ends before this one."
        if self.roles & {"filtered", "original"}:
            return "inactive", "steps", "Guard not active: words were flagged, but the filter was set to 0 steps."
        if "clear" in self.roles:
            return "clear", "", "Not filtered: nothing was flagged."
        if "unchecked" in self.roles:
            return "inactive", "strength", "Guard not active: strength is 0, the prompt was not checked."
        return "clear", "", "Not filtered: the prompts are zeros."


def _capital(sentence: str) -> str:
    """A problem as a sentence of its own; in an error it stands behind the name of a node."""
    return sentence[:1].upper() + sentence[1:]
