"""Measure in a sampling run whether each step draws away from the prompts that are not guarded.

Nothing is taken from a list of nodes: the weight of a prompt that is not guarded is read from the predictions of each
step and from what the guider made of them, whatever function, patch or setting lies in between.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from ...safree.guidance import drawn_towards
from .. import compat
from .record import RunRecord
from .run_conds import TAG, RunConds, Tag, any_unguarded, has_negative_weight

PATCHES = ("patches", "patches_replace", "optimized_attention_override")  # model options that see a whole batch
WHAT_TO_DO = "Set CFG to 1 or more and remove patches of the guidance, or encode the prompt with SafreeConditioning."


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What the model predicts for conds that are evaluated together.

    tensor: [B, C, H, W] or of a video [B, C, frames, H, W]; a copy, since later functions may write into theirs
    """

    tags: frozenset[Tag]
    tensor: torch.Tensor

    @property
    def unguarded(self) -> bool:
        return any(tag.unguarded for tag in self.tags)

    @property
    def branch(self) -> str:
        return next(iter(self.tags)).branch


@dataclasses.dataclass
class GuidanceWatch:
    """The guidance weight of the prompts that are not guarded, at each step of one run.

    sigmas: of the run, falling
    obstacle: why a prompt that is subtracted would be drawn, '' for no reason
    weight: the smallest guidance weight of a prompt that is not guarded, None where there was none
    cleaned_from: the step from which guarded negative prompts did without their flagged words, None for no step
    apart: whether unguarded prompts were evaluated in calls of their own
    predictions: of the step in progress
    """

    conds: RunConds
    record: RunRecord
    sigmas: list[float]
    obstacle: str = ""
    weight: float | None = None
    cleaned_from: int | None = None
    apart: bool = False
    predictions: list[Prediction] = dataclasses.field(default_factory=list)

    def start(self) -> None:
        """Once the run's conds are tagged: what can be said of those that are not guarded before the first step."""
        unguarded = [cond for cond in self.conds.all() if cond[TAG].unguarded]
        if any(later > earlier for earlier, later in zip(self.sigmas, self.sigmas[1:], strict=False)):
            self.obstacle = "the sigmas rise, so that a step goes away from what is predicted"
        elif any(has_negative_weight(cond) for cond in unguarded):
            self.obstacle = "a negative prompt has a strength or a mask below 0"
        options = self.conds.guider.model_options
        if unguarded and "context_handler" in options:  # it evaluates parts of a video one by one
            compat.first_pre_cfg_function(options, self._keep_whole)

    def predict(self, executor, x: torch.Tensor, timestep: torch.Tensor, *rest):
        """The guider's prediction for `x`, in which no unguarded prompt has a positive weight."""
        if not self.conds.any_unguarded:
            return executor(x, timestep, *rest)
        step = self._step(float(timestep[0]))
        try:
            result, problem = self._attempt(executor, step, x, timestep, *rest)
            if problem and self.conds.use_standby():
                self.cleaned_from = step
                result, problem = self._attempt(executor, step, x, timestep, *rest)
        finally:
            self.predictions = []
        if problem:
            self.record.raise_or_warn_once("towards", problem)
        return result

    def _step(self, sigma: float) -> int:
        """The number of the step that is evaluated at `sigma`, from 1 on."""
        return max(1, sum(start >= sigma * (1 - 1e-4) for start in self.sigmas[:-1]))

    def _attempt(self, executor, step: int, x: torch.Tensor, *rest) -> tuple[torch.Tensor, str]:
        """The guider's prediction, and what is wrong with it, see `_problem`."""
        self.predictions = []
        result = executor(x, *rest)
        return result, self._problem(result, x, f"at step {step} of {len(self.sigmas) - 1}")

    def evaluate(self, executor, model, conds: list, x, timestep, options: dict) -> list[torch.Tensor]:
        """The predictions of `conds`, lists of a run's conds."""
        if not self.conds.any_unguarded:
            return executor(model, conds, x, timestep, options)
        predictions = self._call(executor, model, conds, x, timestep, options)
        if options.get("context_handler") is None:  # or whole predictions come later
            self._keep(conds, predictions)
        return predictions

    def _call(self, executor, model, conds: list, x, timestep, options: dict) -> list[torch.Tensor]:
        """The same, unguarded prompts in a call of their own where patches of the model could mix a batch (NAG)."""
        unguarded = [any_unguarded(part) for part in conds]
        mixed = {is_unguarded for is_unguarded, part in zip(unguarded, conds, strict=True) if part} == {False, True}
        if not mixed or not _patches_see_batches(options):
            return executor(model, conds, x, timestep, options)
        self.apart = True
        pairs = list(zip(unguarded, conds, strict=True))
        guarded = executor(model, [None if own else part for own, part in pairs], x, timestep, options)
        others = executor(model, [part if own else None for own, part in pairs], x, timestep, options)
        return [others[i] if own else guarded[i] for i, own in enumerate(unguarded)]

    def _keep(self, conds: list, predictions: list[torch.Tensor]) -> None:
        for part, prediction in zip(conds, predictions, strict=False):
            tags = frozenset(cond[TAG] for cond in part or () if TAG in cond)
            if tags:
                self.predictions.append(Prediction(tags, prediction.detach().clone()))

    def _keep_whole(self, args: dict):
        self._keep(args["conds"], args["conds_out"])
        return args["conds_out"]

    def _problem(self, result: torch.Tensor, x: torch.Tensor, where: str) -> str:
        """What is wrong with the prediction `result`; '' where every unguarded prompt in it is drawn away from.

        The smallest weight is kept for the report.
        """
        if not any(one.unguarded for one in self.predictions):
            return ""
        fitting = [one for one in self.predictions if one.tensor.shape == result.shape]
        unguarded = [one for one in fitting if one.unguarded]
        guarded = [one.tensor for one in fitting if not one.unguarded]
        if not unguarded:
            return (
                f"guard not active: {where} the weight of a negative prompt that is not guarded cannot be read. "
                f"{WHAT_TO_DO}"
            )
        if self.obstacle:
            return f"guard not active: {where} {self.obstacle}, and a negative prompt is not guarded. {WHAT_TO_DO}"
        towards = [_drawn_towards(one, unguarded, guarded, result, x) for one in unguarded]
        if any(math.isnan(value) for value in towards):
            return (
                f"guard not active: {where} the model's prediction holds NaN or infinity. Load the model in a higher "
                "precision."
            )
        largest = max(towards)
        if largest > 0:
            branch = unguarded[towards.index(largest)].branch
            return (
                f"guard not active: {where} the picture is drawn towards the prompt of branch '{branch}' (guidance "
                f"weight {max(0.0, 1 - largest):.2f}, at least 1 is needed), and that prompt is not guarded. "
                f"{WHAT_TO_DO}"
            )
        if any(not (tensor != 0).any(dim=1).all() for tensor in guarded):
            return (
                f"guard not active: {where} the guarded prompts leave out a part of the picture, which the negative "
                "prompt draws alone. Give one of them no area, mask or range of steps."
            )
        if math.isfinite(largest):
            self.weight = 1 - largest if self.weight is None else min(1 - largest, self.weight)
        return ""

    def summary(self) -> list[str]:
        """What was done with the negative prompts, in sentences for the report."""
        said = []
        if self.cleaned_from is not None:
            said.append(
                f"From step {self.cleaned_from} on the flagged words were taken out of the negative prompt: the "
                "picture was no longer drawn away from it."
            )
        elif self.weight is not None and not self.record.causes:
            kept = "kept all its words" if self.conds.any_standby else "is not guarded"
            said.append(
                f"The negative prompt {kept}: each step drew away from it (guidance weight {self.weight:.2f} or more)."
            )
        if self.apart:
            said.append(
                "The negative prompt was evaluated apart, since patches of the model could mix it into the guarded "
                "one. Those that compare the two (NAG) had nothing to compare."
            )
        return said


def _patches_see_batches(options: dict) -> bool:
    own = options.get("transformer_options", {})
    return "model_function_wrapper" in options or any(own.get(name) for name in PATCHES)


def _drawn_towards(
    one: Prediction, unguarded: list[Prediction], guarded: list[torch.Tensor], result: torch.Tensor, x: torch.Tensor
) -> float:
    """The weight of an unguarded prediction in `result`, beside the guarded and the other unguarded ones and `x`."""
    others = [other.tensor for other in unguarded if other.tags != one.tags]
    weight = drawn_towards(result, one.tensor, [*guarded, *others, x])
    if others:  # of two that are alike nothing is told apart: each then answers for both
        weight = max(weight, drawn_towards(result, one.tensor, [*guarded, x]))
    return weight
