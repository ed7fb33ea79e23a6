"""Guarded CONDITIONING: how an entry is marked, put together for stock samplers, and recognised again."""

from __future__ import annotations

import dataclasses

import torch

KEY = "safree"  # in the dict of a conditioning entry
GAP = 1e-6  # between two timestep ranges: ComfyUI includes both ends, so touching ranges would be averaged

Entry = list  # [tensor [1, tokens, D], dict], as ComfyUI's CONDITIONING holds them


@dataclasses.dataclass(frozen=True, eq=False)
class Mark:
    """What this pack writes into a conditioning entry under KEY.

    role: 'filtered' (the guard steers here), 'original' (the unfiltered prompt for the steps after t') or 'clear'
        (checked, nothing flagged or strength 0)
    share: t' as a share of the schedule, 0 to 1;  steps: t' in steps of the paper's 50-step schedule
    original: for 'filtered' the unfiltered (tensor, pooled tensor or None)
    """

    role: str
    share: float = 1.0
    steps: float = 0.0
    original: tuple[torch.Tensor, torch.Tensor | None] | None = None


def mark(entries: list[Entry], value: Mark) -> list[Entry]:
    """New entries, same tensors, that carry `value`."""
    return [[tensor, {**options, KEY: value}] for tensor, options in entries]


def guarded(filtered: list[Entry], original: list[Entry], share: float, steps: float) -> list[Entry]:
    """CONDITIONING for any sampler: `filtered` for the first `share` of the schedule, then `original`.

    Both lists are pairwise the same prompt. A stock sampler switches by timestep ranges, SelfValidatingSampler at
    the exact step.
    """
    out = []
    for (tensor, options), (tensor0, options0) in zip(filtered, original, strict=True):
        value = Mark("filtered", share, steps, (tensor0, options0.get("pooled_output")))
        if share > 0:
            ranged = {} if share >= 1 else {"start_percent": 0.0, "end_percent": share}
            out.append([tensor, {**options, **ranged, KEY: value}])
        if share < 1:
            ranged = {"start_percent": share + GAP if share > 0 else 0.0, "end_percent": 1.0}
            out.append([tensor0, {**options0, **ranged, KEY: Mark("original", share, steps)}])
    return out


def blend(entries: list[tuple[float, list[Entry]]]) -> list[Entry]:
    """Weighted sum of conditionings of one prompt, entry by entry; a single weight of 1 keeps its tensors."""
    entries = [(weight, conditioning) for weight, conditioning in entries if weight]
    if len(entries) == 1 and entries[0][0] == 1:
        return entries[0][1]
    out = []
    for group in zip(*(conditioning for _, conditioning in entries), strict=True):
        weights = [weight for weight, _ in entries]
        options = dict(group[0][1])
        if options.get("pooled_output") is not None:
            options["pooled_output"] = _sum(weights, [entry[1]["pooled_output"] for entry in group])
        out.append([_sum(weights, [entry[0] for entry in group]), options])
    return out


def _sum(weights: list[float], tensors: list[torch.Tensor]) -> torch.Tensor:
    length = max(tensor.shape[1] for tensor in tensors) if tensors[0].ndim == 3 else None
    if length is not None:  # encodings of one prompt may differ in length where an encoder does not pad
        tensors = [torch.nn.functional.pad(t, (0, 0, 0, length - t.shape[1])) for t in tensors]
    return sum(weight * tensor for weight, tensor in zip(weights, tensors, strict=True))
