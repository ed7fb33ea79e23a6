"""Watch a sampling run: what the model is called with is the run's own, and guarded, zero or drawn away from.

Nothing is taken from a list of nodes: the weight of a prompt that is not guarded is read from the predictions of each
step and from what the guider made of them, whatever function, patch or setting lies in between.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch

from ...safree.guidance import drawn_towards
from .. import compat
from ..conditioning.marks import role

TAG = "safree_run"  # in a cond's dict: its Tag
STANDBY = "safree_negative_standby"  # branch of conds that are prepared with the others, to take their place
PATCHES = ("patches", "patches_replace", "optimized_attention_override")  # model options that see a whole batch
TO_GUARD = (
    ", and that prompt is not guarded. Set CFG to 1 or more and remove patches of the guidance, or encode the prompt "
    "with SafreeConditioning."
)
FOREIGN = ": the model was called with conditioning that this run did not start with, "


@dataclasses.dataclass(eq=False)
class Tag:
    """Which cond of a run this is. away: not guarded, so that each step has to draw away from it.

    standby: uuid of the guarded form that takes its place where a step does not
    """

    branch: str
    away: bool
    standby: object = None


@dataclasses.dataclass
class Watch:
    """What one sampling run does with its conds; lives in the run's own copy of the model options and goes with it.

    report: called with what keeps the guard from holding, to be read after 'guard not active'
    weight: the smallest guidance weight of a prompt that is not guarded, None where there was none
    cleaned: the step from which guarded negative prompts did without their flagged words, 0 for none
    apart: whether unguarded prompts were evaluated in calls of their own
    """

    guider: object
    sigmas: list[float]
    report: Callable[[str], None]
    tags: set[Tag] = dataclasses.field(default_factory=set)
    weight: float | None = None
    cleaned: int = 0
    apart: bool = False
    turned: str = ""  # why a prompt that is subtracted would be drawn
    nameless: bool = False  # the model was called without saying with what
    told: set[str] = dataclasses.field(default_factory=set)  # kinds of problems, each reported once
    seen: set = dataclasses.field(default_factory=set)  # uuids of the conds that the model was called with
    called: set = dataclasses.field(default_factory=set)  # uuids of the run's conds that were to be evaluated
    predictions: list[tuple[frozenset[Tag], bool, torch.Tensor]] = dataclasses.field(default_factory=list)

    def tag(self, cond: dict, branch: str, away: bool, standby=None) -> dict:
        """A copy of a run's cond that is known from now on, in every copy that others make of it."""
        tag = Tag(branch, away, standby)
        self.tags.add(tag)
        return {**cond, TAG: tag}

    @property
    def measuring(self) -> bool:
        return any(tag.away for tag in self.tags)

    def start(self) -> None:
        """Once the run's conds are tagged: what can be said of those that are not guarded before the first step."""
        away = [cond for part in self.guider.conds.values() for cond in part if cond[TAG].away]
        if any(later > earlier for earlier, later in zip(self.sigmas, self.sigmas[1:], strict=False)):
            self.turned = "the sigmas rise, so that a step goes away from what is predicted"
        elif any(_negative(cond) for cond in away):
            self.turned = "a negative prompt has a strength or a mask below 0"
        if away and "context_handler" in self.guider.model_options:  # it evaluates parts of a video one by one
            compat.first_pre_cfg_function(self.guider.model_options, self._keep_whole)

    def unnamed(self) -> list[str]:
        """What is wrong with a run that did not say what the model was called with."""
        hidden = (
            FOREIGN + "or whose origin is not known. A custom sampler or model patch evaluates it; use another one."
        )
        return [hidden] * self.nameless

    def summary(self) -> list[str]:
        """What was done with the negative prompts, in sentences for the report."""
        said = []
        if self.cleaned:
            said.append(
                f"From step {self.cleaned} on the flagged words were taken out of the negative prompt: the picture was "
                "no longer drawn away from it."
            )
        elif self.weight is not None and not self.told:
            kept = "kept all its words" if any(tag.standby for tag in self.tags) else "is not guarded"
            said.append(
                f"The negative prompt {kept}: each step drew away from it (guidance weight {self.weight:.2f} or more)."
            )
        if self.apart:
            said.append(
                "The negative prompt was evaluated apart, since patches of the model could mix it into the guarded "
                "one. Those that compare the two (NAG) had nothing to compare."
            )
        return said

    def _tell(self, kind: str, problem: str) -> None:
        if kind not in self.told:
            self.told.add(kind)
            self.report(problem)

    def prepared(self) -> None:
        """Once the host has prepared the run's conds: tell apart what it made of one that has an area.

        In other branches it puts a copy of the cond with the content of one of their own.
        """
        for branch, conds in self.guider.conds.items():
            own = [cond for cond in conds if TAG in cond and cond[TAG].branch == branch]
            for cond in conds:
                if TAG in cond and cond[TAG].branch != branch:
                    cond[TAG] = next((one[TAG] for one in own if _same_content(one, cond)), Tag(branch, away=True))
                    self.tags.add(cond[TAG])

    def predict(self, executor, x: torch.Tensor, timestep: torch.Tensor, *rest):
        """The guider's prediction for `x`, in which no unguarded prompt has a positive weight."""
        if not self.measuring:
            return executor(x, timestep, *rest)
        step = max(1, sum(sigma >= float(timestep[0]) * (1 - 1e-4) for sigma in self.sigmas[:-1]))
        try:
            result = self._attempt(executor, x, timestep, *rest)
            fault = self._fault(result, x)
            if fault and self._clean(step):
                result = self._attempt(executor, x, timestep, *rest)
                fault = self._fault(result, x)
        finally:
            self.predictions = []
        if fault:
            self._tell("towards", f": at step {step} of {len(self.sigmas) - 1} {fault}")
        return result

    def _attempt(self, executor, *args):
        self.predictions = []
        return executor(*args)

    def evaluate(self, executor, model, conds: list, x, timestep, options: dict) -> list[torch.Tensor]:
        """The predictions of `conds`, lists of a run's conds, once each is known."""
        for cond in (cond for part in conds for cond in part or ()):
            if cond.get(TAG) not in self.tags and role(cond) != "reference":
                self._tell(
                    "foreign",
                    FOREIGN
                    + "which a patch of the model brings along (PerpNeg does). Remove that patch; PerpNegGuider has "
                    "inputs for it instead.",
                )
            self.called.add(cond["uuid"])
        if not self.measuring:
            return executor(model, conds, x, timestep, options)
        out = self._apart(executor, model, conds, x, timestep, options)
        if options.get("context_handler") is None:  # or whole predictions come later
            self._keep(conds, out)
        return out

    def call(self, uuids) -> None:
        """Before the model is called with the conds of `uuids`."""
        self.seen.update(uuids)
        if not uuids:
            self.nameless = True
        elif not self.called.issuperset(uuids):
            self._tell("foreign", FOREIGN + "by a patch or sampler that evaluates prompts by itself. Use another one.")

    def _apart(self, executor, model, conds, x, timestep, options):
        """Unguarded prompts in a call of their own, where patches of the model could mix a batch (NAG)."""
        away = [any(cond.get(TAG) and cond[TAG].away for cond in part or ()) for part in conds]
        own = options.get("transformer_options", {})
        patched = "model_function_wrapper" in options or any(own.get(name) for name in PATCHES)
        if not patched or len({flag for flag, part in zip(away, conds, strict=True) if part}) < 2:
            return executor(model, conds, x, timestep, options)
        self.apart = True
        halves = []
        for wanted in (False, True):
            part = [one if flag == wanted else None for one, flag in zip(conds, away, strict=True)]
            halves.append(executor(model, part, x, timestep, options))
        return [halves[flag][i] for i, flag in enumerate(away)]

    def _keep(self, conds, predictions) -> None:
        for part, prediction in zip(conds, predictions, strict=False):
            tags = frozenset(cond[TAG] for cond in part or () if TAG in cond)
            if tags:  # a copy, since later functions may write into it
                self.predictions.append((tags, any(tag.away for tag in tags), prediction.detach().clone()))

    def _keep_whole(self, args: dict):
        self._keep(args["conds"], args["conds_out"])
        return args["conds_out"]

    def _fault(self, result: torch.Tensor, x: torch.Tensor) -> str:
        """What is wrong with the prediction `result`; '' where every unguarded prompt in it is drawn away from."""
        fitting = [one for one in self.predictions if one[2].shape == result.shape]
        unguarded = [one for one in fitting if one[1]]
        guarded = [prediction for _, away, prediction in fitting if not away]
        if not any(away for _, away, _ in self.predictions):
            return ""
        if not unguarded:
            return "the weight of a negative prompt that is not guarded cannot be read" + TO_GUARD
        if self.turned:
            return self.turned + TO_GUARD
        weights = [self._weight(one, unguarded, guarded, result, x) for one in unguarded]
        if any(math.isnan(weight) for weight in weights):
            return "the model's prediction holds NaN or infinity. Load the model in a higher precision."
        largest = max(weights)
        if largest > 0:
            (tag, *_), _, _ = unguarded[weights.index(largest)]
            return (
                f"the picture is drawn towards the prompt of branch '{tag.branch}' (guidance weight "
                f"{max(0.0, 1 - largest):.2f}, at least 1 is needed)" + TO_GUARD
            )
        if any(not (one != 0).any(dim=1).all() for one in guarded):
            return (
                "the guarded prompts leave out a part of the picture, which the negative prompt draws alone. Give one "
                "of them no area, mask or range of steps."
            )
        if math.isfinite(largest):
            self.weight = min(1 - largest, self.weight or math.inf)
        return ""

    def _weight(self, one, unguarded, guarded, result: torch.Tensor, x: torch.Tensor) -> float:
        tags, _, prediction = one
        others = [other for keys, _, other in unguarded if keys != tags]
        weight = drawn_towards(result, prediction, [*guarded, *others, x])
        if others:  # of two that are alike nothing is told apart: each then answers for both
            weight = max(weight, drawn_towards(result, prediction, [*guarded, x]))
        return weight

    def _clean(self, step: int) -> bool:
        """Put guarded negative prompts in the place of their own words, from this step on; whether there were any."""
        standby = {cond["uuid"]: cond["model_conds"] for cond in self.guider.conds.get(STANDBY, ())}
        found = {tag for tag in self.tags if tag.away and tag.standby in standby}
        for cond in (cond for part in self.guider.conds.values() for cond in part):
            if cond.get(TAG) in found:
                cond["model_conds"] = standby[cond[TAG].standby]
        for tag in found:
            tag.away = False
        if found:
            self.cleaned = step
        return bool(found)


def _negative(cond: dict) -> bool:
    mask = cond.get("mask")
    lowest = float(mask.min()) if torch.is_tensor(mask) and mask.numel() else 0.0
    return min(cond.get("strength", 1.0), cond.get("mask_strength", 1.0), lowest) < 0


def _same_content(one: dict, other: dict) -> bool:
    return all(other["model_conds"].get(key) is value for key, value in one["model_conds"].items())
