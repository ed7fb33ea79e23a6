"""Guarded CONDITIONING: how an entry is marked, put together for stock samplers, and recognised again."""

from __future__ import annotations

import dataclasses
import uuid

import torch

KEY = "safree"  # in the dict of a conditioning entry
GAP = 1e-6  # between two timestep ranges: ComfyUI includes both ends, so touching ranges would be averaged
# Settings that ComfyUI has no node for but those that encode the prompt (SDXL, PixArt); guidance is Flux's.
SETTINGS = ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "aesthetic_score", "guidance")

Entry = list  # [tensor [1, tokens, D], dict], as ComfyUI's CONDITIONING holds them


@dataclasses.dataclass(frozen=True, eq=False)
class Mark:
    """What this pack writes into a conditioning entry under KEY.

    role: 'filtered' (the guard steers here), 'original' (the unfiltered prompt for the steps after t'), 'clear'
        (checked, nothing flagged or strength 0) or 'reference' (re-attention's own, inside a sampling run)
    share: t' as a share of the schedule, 0 to 1;  steps: t' in steps of the paper's 50-step schedule
    pair: names a filtered entry and its original
    tensor: the entry's own tensor; another one in its place means that a node edited the conditioning afterwards
    original: for 'filtered' the unfiltered (tensor, pooled tensor or None)
    """

    role: str
    share: float = 1.0
    steps: float = 0.0
    pair: str = ""
    tensor: torch.Tensor | None = None
    original: tuple[torch.Tensor, torch.Tensor | None] | None = None


def role(options: dict) -> str | None:
    """The role that a conditioning entry's dict, or a cond of a sampling run, is marked with; None if it has none."""
    return getattr(options.get(KEY), "role", None)


def mark(entries: list[Entry], value: Mark) -> list[Entry]:
    """New entries, same tensors, that carry `value`."""
    return [[tensor, {**options, KEY: value}] for tensor, options in entries]


def with_settings_of(entries: list[Entry], other: list[Entry]) -> list[Entry]:
    """New entries, same tensors, with the sizes and the guidance of `other`'s first entry."""
    settings = {key: other[0][1][key] for key in SETTINGS if key in other[0][1]} if other else {}
    return [[tensor, {**options, **settings}] for tensor, options in entries]


def timestep_ranges(share: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """(start, end) in percent of the filtered and of the original entry, for samplers that know nothing of marks."""
    return (0.0, share), (share + GAP if share > 0 else 0.0, 1.0)


def guarded(filtered: list[Entry], original: list[Entry], share: float, steps: float) -> list[Entry]:
    """CONDITIONING for any sampler: `filtered` for the first `share` of the schedule, then `original`.

    Both lists are pairwise the same prompt. A stock sampler switches by timestep ranges, SelfValidatingSampler at
    the exact step.
    """
    out = []
    for (tensor, options), (tensor0, options0) in zip(filtered, original, strict=True):
        first, second = timestep_ranges(share)
        pair = uuid.uuid4().hex
        value = Mark("filtered", share, steps, pair, tensor, (tensor0, options0.get("pooled_output")))
        if share > 0:
            out.append([tensor, {**options, **(_percent(first) if share < 1 else {}), KEY: value}])
        if share < 1:
            value = Mark("original", share, steps, pair, tensor0)
            out.append([tensor0, {**options0, **_percent(second), KEY: value}])
    return out


def _percent(bounds: tuple[float, float]) -> dict:
    return {"start_percent": bounds[0], "end_percent": bounds[1]}


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


def with_norms_of(entries: list[Entry], others: list[Entry]) -> list[Entry]:
    """`entries` with every token state, and the pooled output, scaled to its norm in `others`, of the same prompt."""
    out = []
    for (tensor, options), (other, other_options) in zip(entries, others, strict=True):
        options = dict(options)
        if options.get("pooled_output") is not None:
            options["pooled_output"] = _scaled(options["pooled_output"], other_options["pooled_output"])
        out.append(
            [_scaled(tensor, torch.nn.functional.pad(other, (0, 0, 0, tensor.shape[1] - other.shape[1]))), options]
        )
    return out


def _scaled(states: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(states, dim=-1) * like.norm(dim=-1, keepdim=True)


def _sum(weights: list[float], tensors: list[torch.Tensor]) -> torch.Tensor:
    length = max(tensor.shape[1] for tensor in tensors) if tensors[0].ndim == 3 else None
    if length is not None:  # encodings of one prompt may differ in length where an encoder does not pad
        tensors = [torch.nn.functional.pad(t, (0, 0, 0, length - t.shape[1])) for t in tensors]
    return sum(weight * tensor for weight, tensor in zip(weights, tensors, strict=True))
