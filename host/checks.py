"""Whether the guard holds for a sampling run: what other nodes did to guarded conditioning, and what the model saw."""

from __future__ import annotations

import torch

from ..safree import SafreeError
from .marks import intact, read, role

WIDTHS = ("context_dim", "context_in_dim")  # of a diffusion model's configuration; other families name none


def asked_for(conds: dict[str, list[dict]]) -> list[dict]:
    """The conds of a run that say what to draw: those of every branch of the guider but the negative ones."""
    wanted = [cond for branch, part in conds.items() if "negative" not in branch for cond in part]
    return [cond for cond in wanted if role(cond) != "reference"]


def before(conds: dict[str, list[dict]]) -> list[str]:
    """What keeps the guard from holding for these conds of a guider; to be read after 'guard not active'."""
    wanted = asked_for(conds)
    marked = [cond for cond in wanted if role(cond)]
    if not marked:
        return [": no guarded conditioning reached this sampler. Connect SafreeConditioning to its positive input."]
    found = []
    if plain := len(wanted) - len(marked):
        found.append(
            f" for {plain} of {len(wanted)} prompts of this sampler, which are combined with a guarded one. Encode "
            "each of them with SafreeConditioning."
        )
    if edited := sum(not intact(cond.get("cross_attn"), cond) for cond in marked):
        found.append(
            f" for what was mixed into {edited} of {len(marked)} guarded prompts, edited after SafreeConditioning "
            "(averaged, multiplied or concatenated with unguarded conditioning). Edit the text instead, or guard both."
        )
    filtered = {read(cond).pair for cond in marked if role(cond) == "filtered"}
    if any(role(cond) == "original" and read(cond).share > 0 and read(cond).pair not in filtered for cond in marked):
        found.append(
            ": a node took the filtered part out of a guarded prompt and left the original one. Connect the whole "
            "output of SafreeConditioning."
        )
    return found


def width(guider) -> None:
    """SafreeError for guarded conditioning of another width than the model takes, which would fail deep inside it."""
    config = guider.model_patcher.model.model_config.unet_config or {}
    wanted = next((config[key] for key in WIDTHS if isinstance(config.get(key), int)), None)
    for cond in asked_for(guider.conds):
        tensor = cond.get("cross_attn")
        if role(cond) and torch.is_tensor(tensor) and wanted not in (None, tensor.shape[-1]):
            raise SafreeError(
                f"the conditioning is {tensor.shape[-1]} wide, this model takes {wanted}: it was encoded with the CLIP "
                "of another model. Encode it with the CLIP that belongs to this model."
            )


def due(conds: dict[str, list[dict]], sigmas: torch.Tensor, sampling) -> set:
    """The uuids of the conds that a run with these sigmas has to evaluate for the guard to hold."""
    starts = sigmas[:-1].tolist()
    out = set()
    for cond in asked_for(conds):
        start, end = sigma_range(cond, sampling)
        if role(cond) in ("filtered", "clear") and any(end <= sigma <= start for sigma in starts):
            out.add(cond["uuid"])
    return out


def unseen(wanted: set, seen: set) -> list[str]:
    """What kept the guard from the model during a run, by the uuids of conds."""
    missed = len(wanted - seen)
    if not missed:
        return []
    return [
        f": {missed} of {len(wanted)} guarded prompts never reached the model. A custom sampler, guider or model patch "
        "left them out; use another one."
    ]


def sigma_range(cond: dict, sampling) -> tuple[float, float]:
    """(start, end) in sigmas of the range that other nodes and scheduled encoding gave this cond; t' has no part."""
    if "timestep_end" in cond:
        return cond["timestep_start"], cond["timestep_end"]
    first, last = read(cond).span if role(cond) else (0.0, 1.0)
    start, end = max(first, cond.get("start_percent", 0.0)), min(last, cond.get("end_percent", 1.0))
    return float(sampling.percent_to_sigma(start)), float(sampling.percent_to_sigma(end)) if end < 1 else 0.0
