"""What the model was called with in one sampling run: the run's own conds, all of those that have to be, no others."""

from __future__ import annotations

import dataclasses

from ..conditioning.marks import role
from .record import RunRecord
from .run_conds import RunConds

FOREIGN = "guard not active: the model was called with conditioning that this run did not start with"


@dataclasses.dataclass
class ModelCalls:
    """The calls of the model in one run, by the uuids of conds.

    due: what has to be evaluated for the guard to hold
    announced: what was to be evaluated;  seen: what the model was called with
    unnamed: whether a call did not say what it was made with
    """

    conds: RunConds
    record: RunRecord
    due: set
    announced: set = dataclasses.field(default_factory=set)
    seen: set = dataclasses.field(default_factory=set)
    unnamed: bool = False

    def announce(self, conds: list[list[dict] | None]) -> None:
        """Before conds are put together in batches."""
        for cond in (cond for part in conds for cond in part or ()):
            if not self.conds.knows(cond) and role(cond) != "reference":
                self.record.raise_or_warn_once(
                    "foreign",
                    f"{FOREIGN}, which a patch of the model brings along (PerpNeg does). Remove that patch; "
                    "PerpNegGuider has inputs for it instead.",
                )
            self.announced.add(cond["uuid"])

    def called(self, uuids) -> None:
        """Before the model is called with the conds of `uuids`."""
        self.seen.update(uuids)
        if len(uuids) == 0:
            self.unnamed = True
        elif not self.announced.issuperset(uuids):
            self.record.raise_or_warn_once(
                "foreign",
                f"{FOREIGN}, by a patch or sampler that evaluates prompts by itself. Use another one.",
            )

    def finish(self) -> None:
        """After the run: raise or warn where guarded prompts were left out, or something else may have been put in."""
        missed = len(self.due - self.seen)
        if missed > 0:
            self.record.raise_or_warn(
                f"guard not active: {missed} of {len(self.due)} guarded prompts never reached the model. A custom "
                "sampler, guider or model patch left them out; use another one."
            )
        elif self.unnamed:
            self.record.raise_or_warn(
                f"{FOREIGN}, or whose origin is not known. A custom sampler or model patch evaluates it; use another "
                "one."
            )
