"""One schedule drawn by two models: the first while there is much noise, then the second (Wan 2.2, a refiner)."""

from __future__ import annotations

import dataclasses

import comfy.samplers
import torch

from ...safree import SafreeError
from .record import RunRecord
from .schedule import Part

ALL_OF_THE_SECOND = "The whole schedule lies below the boundary: the second model drew all of it."


@dataclasses.dataclass(frozen=True, eq=False)
class Second:
    """The model that goes on from `boundary`, a noise level: it draws the steps that begin below it."""

    model: object
    boundary: float

    def __post_init__(self):
        if not self.boundary > 0:
            raise SafreeError(f"boundary is {self.boundary:g}. It is a noise level above 0: 0.875 for Wan 2.2.")


def whole_schedule(model, steps: int, sampler_name: str, scheduler: str, denoise: float) -> torch.Tensor:
    """The sigmas [n + 1] that KSampler makes of its settings."""
    settings = {"sampler": sampler_name, "scheduler": scheduler, "denoise": denoise}
    return comfy.samplers.KSampler(model, steps=steps, device="cpu", **settings).sigmas


def steps_of_first(sigmas: torch.Tensor, boundary: float) -> int:
    """How many steps begin at `boundary` or above. SafreeError where all of them do, so that the second has none."""
    count = int((sigmas[:-1] >= boundary).sum())
    if count == len(sigmas) - 1:
        raise SafreeError(
            f"the second model has no step to draw: all {count} begin at noise of {float(sigmas[-2]):.3g} or more, and "
            f"boundary is {boundary:g}. Raise the boundary or the steps, or take the second model out."
        )
    return count


def joined(records: list[RunRecord]) -> RunRecord:
    """The record of both parts as that of one run: t' counts over all of its steps."""
    first, *others = records
    if not others:
        return first
    (second,) = others
    whole = Part(0, first.part.count + second.part.count, first.part.whole)
    filtered = [sum(parts) for parts in zip(first.filtered, second.filtered, strict=True)]
    return RunRecord(
        first.switch,
        whole,
        filtered,
        first.roles | second.roles,
        list(dict.fromkeys([*first.problems, *second.problems])),
        first.causes | second.causes,
        list(dict.fromkeys([*first.notes, *second.notes])),
    )
