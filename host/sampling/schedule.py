"""Which part of a noise schedule a run samples, so that t' counts over all of it (Wan 2.2, SDXL base and refiner)."""

from __future__ import annotations

import dataclasses

import torch

from ...safree import SafreeError

SAME_SIGMA = 1e-3  # relative difference up to which two sigmas are one step of a schedule


@dataclasses.dataclass(frozen=True)
class Part:
    """The steps of a run within a schedule of `whole` steps: `count` of them, from number `first` on."""

    first: int
    count: int
    whole: int


NO_STEPS = Part(0, 0, 0)


def part_of(sigmas: torch.Tensor, schedule: torch.Tensor | None) -> Part:
    """Where the `sigmas` [n + 1] of a run stand in a whole `schedule` [m + 1], its last one there or 0.

    Without a schedule the run is a whole one. Raises SafreeError where the sigmas are no part of the schedule.
    """
    count = max(len(sigmas) - 1, 0)
    if schedule is None or count == 0:
        return Part(0, count, count)
    for first in range(len(schedule) - count):
        own, theirs = sigmas.cpu().float(), schedule[first : first + count + 1].cpu().float()
        ends = torch.isclose(own[-1], theirs[-1], rtol=SAME_SIGMA) or own[-1] == 0
        if ends and torch.allclose(own[:-1], theirs[:-1], rtol=SAME_SIGMA):
            return Part(first, count, len(schedule) - 1)
    raise SafreeError(
        f"the {count} steps sampled, from sigma {float(sigmas[0]):.4g} to {float(sigmas[-1]):.4g}, are no part of the "
        f"{len(schedule) - 1} steps connected to schedule. Connect the whole schedule: the SIGMAS before SplitSigmas, "
        "or a BasicScheduler with the sampler's steps and scheduler."
    )
