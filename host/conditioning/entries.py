"""Guarded CONDITIONING, put together of the filtered and the original prompt so that every sampler understands it."""

from __future__ import annotations

import dataclasses
import uuid

import torch

from . import marks
from .marks import Concepts, Mark

GAP = 1e-6  # between two timestep ranges: ComfyUI includes both ends, so touching ranges would be averaged
# Ours are the keys of scheduled encoding: ConditioningSetTimestepRange overwrites start_percent and end_percent, and
# ComfyUI keeps an entry on where both ranges are.
RANGE = ("clip_start_percent", "clip_end_percent")
# Settings that ComfyUI has no node for but those that encode the prompt (SDXL, PixArt); guidance is Flux's.
SETTINGS = ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "aesthetic_score", "guidance")

Entry = list  # [tensor [1, tokens, D], dict], as ComfyUI's CONDITIONING holds them


def mark(entries: list[Entry], role: str, concepts: Concepts | None = None) -> list[Entry]:
    """New entries, same tensors, that carry a mark of `role` and of what they were checked against."""
    return [
        [tensor, marks.write(tensor, options, Mark(role, span=_span(options), concepts=concepts or {}))]
        for tensor, options in entries
    ]


def with_settings_of(entries: list[Entry], other: list[Entry]) -> list[Entry]:
    """New entries, same tensors, with the sizes and the guidance of `other`'s first entry."""
    settings = {key: other[0][1][key] for key in SETTINGS if key in other[0][1]} if other else {}
    return [[tensor, {**options, **settings}] for tensor, options in entries]


def timestep_ranges(share: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """(start, end) in percent of the filtered and of the original entry, for samplers that know nothing of marks."""
    return (0.0, share), (share + GAP if share > 0 else 0.0, 1.0)


def guarded(
    filtered: list[Entry], original: list[Entry], share: float, steps: float, concepts: Concepts | None = None
) -> list[Entry]:
    """CONDITIONING for any sampler: `filtered` for the first `share` of the schedule, then `original`.

    Both lists are pairwise the same prompt, checked against `concepts`. A stock sampler switches by timestep ranges,
    SelfValidatingSampler at the exact step.
    """
    out = []
    for (tensor, options), (tensor0, options0) in zip(filtered, original, strict=True):
        first, second = timestep_ranges(share)
        value = Mark("filtered", share, steps, uuid.uuid4().hex, _span(options), concepts=concepts or {})
        if share > 0:
            twin = (tensor0, options0.get("pooled_output"), marks.others(options0))
            ranged = _ranged(options, first) if share < 1 else options
            out.append([tensor, marks.write(tensor, ranged, dataclasses.replace(value, original=twin))])
        if share < 1:
            second = _ranged(options0, second)
            out.append([tensor0, marks.write(tensor0, second, dataclasses.replace(value, role="original"))])
    return out


def _span(options: dict) -> tuple[float, float]:
    return options.get(RANGE[0], 0.0), options.get(RANGE[1], 1.0)


def _ranged(options: dict, bounds: tuple[float, float]) -> dict:
    start, end = _span(options)
    return {**options, RANGE[0]: max(start, bounds[0]), RANGE[1]: min(end, bounds[1])}


def blend(entries: list[tuple[float, list[Entry]]]) -> list[Entry]:
    """Weighted sum of conditionings of one prompt, entry by entry; a single weight of 1 keeps its tensors."""
    entries = [(weight, conditioning) for weight, conditioning in entries if weight]
    if len(entries) == 1 and entries[0][0] == 1:
        return entries[0][1]
    weights = [weight for weight, _ in entries]
    return [
        _each(lambda *states: _sum(weights, list(states)), group)
        for group in zip(*(conditioning for _, conditioning in entries), strict=True)
    ]


def with_norms_of(entries: list[Entry], others: list[Entry]) -> list[Entry]:
    """`entries` with every token state, and the pooled output, scaled to its norm in `others`, of the same prompt."""
    return [_each(_scaled, pair) for pair in zip(entries, others, strict=True)]


def _each(function, group: tuple[Entry, ...]) -> Entry:
    """The first of `group`, its states and what other encoders made of the prompt the `function` of the group's."""
    tensor, options = function(*(entry[0] for entry in group)), dict(group[0][1])
    for key in group[0][1]:
        values = [entry[1].get(key) for entry in group]
        if (key == "pooled_output" or key.startswith(marks.OTHERS)) and all(torch.is_tensor(value) for value in values):
            options[key] = function(*values)
    return [tensor, options]


def _scaled(states: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    like = _as_long(like, states.shape[-2]) if like.ndim > 2 else like
    return torch.nn.functional.normalize(states, dim=-1) * like.norm(dim=-1, keepdim=True)


def _sum(weights: list[float], tensors: list[torch.Tensor]) -> torch.Tensor:
    if tensors[0].ndim > 2:  # encodings of one prompt may differ in length where an encoder does not pad
        length = max(tensor.shape[-2] for tensor in tensors)
        tensors = [_as_long(tensor, length) for tensor in tensors]
    return sum(weight * tensor for weight, tensor in zip(weights, tensors, strict=True))


def _as_long(states: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, 0, length - states.shape[-2]))
