"""Whether the guard holds for a sampling run: what other nodes did to guarded conditioning, and what the model saw."""

from __future__ import annotations

import torch

from ...safree import SafreeError
from ..conditioning.marks import Concepts, checked_against, intact, is_zero, read, role

WIDTHS = ("context_dim", "context_in_dim")  # of a diffusion model's configuration; other families name none
NO_GUARD = (
    "guard not active: no guarded conditioning reached this sampler. Connect SafreeConditioning to its positive input."
)


def is_negative(branch: str) -> bool:
    """Whether a guider draws away from this branch of conds ('negative', PerpNegGuider's 'empty_negative_prompt')."""
    return "negative" in branch


def asked_for(conds: dict[str, list[dict]]) -> list[dict]:
    """The conds of a run that say what to draw: those of every branch of the guider but the negative ones."""
    wanted = [cond for branch, part in conds.items() if not is_negative(branch) for cond in part]
    return [cond for cond in wanted if role(cond) != "reference"]


def zero(cond: dict) -> bool:
    return is_zero(cond.get("cross_attn"), cond)


def concepts(conds: dict[str, list[dict]]) -> Concepts:
    """Everything that a prompt of this run's positive side was checked against."""
    found = [read(cond) for cond in asked_for(conds)]
    return {name: mark for one in found if one for name, mark in one.concepts.items()}


def holds(cond: dict, needed: Concepts) -> bool:
    """Whether a cond is zero, or guarded against all of `needed` and as the guard made it."""
    if zero(cond):
        return True
    against = checked_against(cond.get("cross_attn"), cond)
    return role(cond) not in (None, "unchecked") and against is not None and needed.items() <= against.items()


def problems_before_sampling(conds: dict[str, list[dict]], negatives: str = "subtracting") -> list[str]:
    """What keeps the guard from holding for these conds of a guider, a sentence each, with what to do about it."""
    asked = asked_for(conds)
    wanted = [cond for cond in asked if not zero(cond)]
    marked = [cond for cond in wanted if role(cond) is not None]
    if not asked or (wanted and not marked):
        return [NO_GUARD]
    needed = concepts(conds)
    found = [*_unmarked(wanted, marked), *_edited(marked), *_lost_filter(marked), *_checked_less(marked, needed)]
    if negatives == "guarded":
        found += _unguarded_negatives(conds, needed)
    return found


def _unmarked(wanted: list[dict], marked: list[dict]) -> list[str]:
    plain = len(wanted) - len(marked)
    if plain == 0:
        return []
    return [
        f"guard not active for {plain} of {len(wanted)} prompts of this sampler, which are combined with a guarded "
        "one. Encode each of them with SafreeConditioning."
    ]


def _edited(marked: list[dict]) -> list[str]:
    edited = sum(not intact(cond.get("cross_attn"), cond) for cond in marked)
    if edited == 0:
        return []
    return [
        f"guard not active for what was mixed into {edited} of {len(marked)} guarded prompts, edited after "
        "SafreeConditioning (averaged, multiplied, concatenated with unguarded conditioning or a style model). Edit "
        "the text instead, guard both, or put SafreeFilterConditioning behind it."
    ]


def _lost_filter(marked: list[dict]) -> list[str]:
    filtered = {read(cond).pair for cond in marked if role(cond) == "filtered"}
    originals = [read(cond) for cond in marked if role(cond) == "original"]
    if all(mark.share == 0 or mark.pair in filtered for mark in originals):
        return []
    return [
        "guard not active: a node took the filtered part out of a guarded prompt and left the original one. Connect "
        "the whole output of SafreeConditioning."
    ]


def _checked_less(marked: list[dict], needed: Concepts) -> list[str]:
    checked = [cond for cond in marked if role(cond) != "unchecked" and intact(cond["cross_attn"], cond)]
    fewer = sum(not holds(cond, needed) for cond in checked)
    if fewer == 0:
        return []
    return [
        f"guard not active against {', '.join(sorted(needed))} for {fewer} of {len(marked)} prompts, which were "
        "checked against less than the others of this sampler. Connect the same subspaces to each SafreeConditioning."
    ]


def _unguarded_negatives(conds: dict[str, list[dict]], needed: Concepts) -> list[str]:
    negatives = [cond for branch, part in conds.items() if is_negative(branch) for cond in part]
    plain = sum(not holds(cond, needed) for cond in negatives)
    if plain == 0:
        return []
    return [
        f"guard not active for {plain} of {len(negatives)} negative prompts, and `negatives` is set to 'guarded'. "
        "Encode them with SafreeConditioning and the same subspaces, or use ConditioningZeroOut."
    ]


def check_width(guider) -> None:
    """SafreeError for guarded conditioning of another width than the model takes, which would fail deep inside it."""
    config = guider.model_patcher.model.model_config.unet_config or {}
    wanted = next((config[key] for key in WIDTHS if isinstance(config.get(key), int)), None)
    for cond in asked_for(guider.conds):
        tensor = cond.get("cross_attn")
        if role(cond) is not None and torch.is_tensor(tensor) and wanted not in (None, tensor.shape[-1]):
            raise SafreeError(
                f"the conditioning is {tensor.shape[-1]} wide, this model takes {wanted}: it was encoded with the CLIP "
                "of another model. Encode it with the CLIP that belongs to this model."
            )


def conds_to_evaluate(conds: dict[str, list[dict]], sigmas: torch.Tensor, sampling) -> set:
    """The uuids of the conds that a run with these sigmas has to evaluate for the guard to hold."""
    starts = sigmas[:-1].tolist()
    out = set()
    for cond in asked_for(conds):
        start, end = sigma_range(cond, sampling)
        if role(cond) in ("filtered", "clear") and any(end <= sigma <= start for sigma in starts):
            out.add(cond["uuid"])
    return out


def sigma_range(cond: dict, sampling) -> tuple[float, float]:
    """(start, end) in sigmas of the range that other nodes and scheduled encoding gave this cond; t' has no part."""
    if "timestep_end" in cond:
        return cond["timestep_start"], cond["timestep_end"]
    first, last = read(cond).span if role(cond) is not None else (0.0, 1.0)
    start, end = max(first, cond.get("start_percent", 0.0)), min(last, cond.get("end_percent", 1.0))
    return float(sampling.percent_to_sigma(start)), float(sampling.percent_to_sigma(end)) if end < 1 else 0.0
