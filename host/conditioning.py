"""Guarded CONDITIONING: how an entry is marked, put together for stock samplers, and recognised again."""

from __future__ import annotations

import dataclasses
import math
import uuid
import weakref

import torch

KEY = "safree"  # in the dict of a conditioning entry
GAP = 1e-6  # between two timestep ranges: ComfyUI includes both ends, so touching ranges would be averaged
# Ours are the keys of scheduled encoding: ConditioningSetTimestepRange overwrites start_percent and end_percent, and
# ComfyUI keeps an entry on where both ranges are.
RANGE = ("clip_start_percent", "clip_end_percent")
# Settings that ComfyUI has no node for but those that encode the prompt (SDXL, PixArt); guidance is Flux's.
SETTINGS = ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "aesthetic_score", "guidance")

Entry = list  # [tensor [1, tokens, D], dict], as ComfyUI's CONDITIONING holds them
# Encodings that the guard made or let pass, by id; `intact` finds them again inside concatenated ones.
_checked: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()


@dataclasses.dataclass(frozen=True, eq=False)
class Mark:
    """What this pack writes into a conditioning entry under KEY.

    role: 'filtered' (the guard steers here), 'original' (the unfiltered prompt for the steps after t'), 'clear'
        (checked, nothing flagged), 'unchecked' (strength 0) or 'reference' (re-attention's own, inside a sampling run)
    share: t' as a share of the schedule, 0 to 1;  steps: t' in steps of the paper's 50-step schedule
    pair: names a filtered entry and its original
    tensor, pooled: the entry's own; others in their place mean that a node edited the conditioning afterwards
    sums: of those two, since a node may also edit them in place
    span: the range in percent that scheduled encoding gave the entry
    original: for 'filtered' the unfiltered (tensor, pooled tensor or None)
    """

    role: str
    share: float = 1.0
    steps: float = 0.0
    pair: str = ""
    tensor: torch.Tensor | None = None
    pooled: torch.Tensor | None = None
    sums: tuple[float, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    original: tuple[torch.Tensor, torch.Tensor | None] | None = None


def role(options: dict) -> str | None:
    """The role that a conditioning entry's dict, or a cond of a sampling run, is marked with; None if it has none."""
    return getattr(options.get(KEY), "role", None)


def mark(entries: list[Entry], role: str) -> list[Entry]:
    """New entries, same tensors, that carry a mark of `role`."""
    return [_marked(entry, Mark(role, span=_span(entry[1]))) for entry in entries]


def _marked(entry: Entry, value: Mark) -> Entry:
    tensor, options = entry
    if value.role in ("filtered", "clear"):
        _checked[id(tensor)] = tensor
    pooled = options.get("pooled_output")
    value = dataclasses.replace(value, tensor=tensor, pooled=pooled, sums=_sums(tensor, pooled))
    return [tensor, {**options, KEY: value}]


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)  # threads may add up in another order


def _sums(*tensors: torch.Tensor | None) -> tuple[float, ...]:
    return tuple(float(tensor.double().sum()) for tensor in tensors if tensor is not None)


def intact(tensor: torch.Tensor, options: dict) -> bool:
    """Whether a marked entry holds what the guard made of it, and nothing else.

    Other guarded prompts concatenated to it are fine; zeros (ConditioningZeroOut) say nothing that could be unsafe.
    """
    mark, pooled = options[KEY], options.get("pooled_output")
    if is_zero(tensor, options):
        return True
    if not torch.is_tensor(tensor) or not _equal(pooled, mark.pooled) or not _begins(tensor, mark.tensor):
        return False
    if not all(map(_close, _sums(mark.tensor, mark.pooled), mark.sums)):
        return False
    rest = tensor[:, mark.tensor.shape[1] :]
    while rest.shape[1]:
        known = next((part for part in list(_checked.values()) if _begins(rest, part)), None)
        if known is None:
            return False
        rest = rest[:, known.shape[1] :]
    return True


def is_zero(tensor: torch.Tensor | None, options: dict) -> bool:
    pooled = options.get("pooled_output")
    return torch.is_tensor(tensor) and not tensor.any() and (pooled is None or not pooled.any())


def _begins(tensor: torch.Tensor, part: torch.Tensor) -> bool:
    return part.ndim > 1 and part.shape[1] > 0 and _equal(tensor[:, : part.shape[1]], part)


def _equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is other or one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.equal(one, other.to(one))


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
        value = Mark("filtered", share, steps, uuid.uuid4().hex, span=_span(options))
        if share > 0:
            twin = (tensor0, options0.get("pooled_output"))
            ranged = [tensor, _ranged(options, first) if share < 1 else options]
            out.append(_marked(ranged, dataclasses.replace(value, original=twin)))
        if share < 1:
            out.append(_marked([tensor0, _ranged(options0, second)], dataclasses.replace(value, role="original")))
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
