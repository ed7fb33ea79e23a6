"""Step-exact self-validation: which sampling steps see the filtered and which the original conditioning."""

from __future__ import annotations

import dataclasses
import logging
import uuid

import comfy.patcher_extension
import torch

from ..safree import SafreeError
from ..safree.validation import filtered_steps
from .conditioning import KEY, Mark, role, timestep_ranges

WRAPPER = "safree_self_validation"
MARGIN = 1e-3  # of a step's sigma interval: samplers recompute sigmas with rounding errors
PERCENT_KEYS = ("start_percent", "end_percent", "clip_start_percent", "clip_end_percent")


@dataclasses.dataclass
class Switch:
    """How t' becomes a number of steps, and after a run what was done.

    unit: 'share' of this run's steps, or 'steps' (t' counted in steps, as the paper does at any schedule length)
    fixed: filtered steps chosen by the user, None for the self-validated ones
    """

    unit: str = "share"
    fixed: int | None = None
    total: int = 0
    filtered: list[int] = dataclasses.field(default_factory=list)
    roles: set = dataclasses.field(default_factory=set)

    def steps(self, mark: Mark) -> int:
        if self.fixed is not None:
            return filtered_steps(self.fixed, self.total)
        if self.unit == "share" or mark.share >= 1:
            return filtered_steps(0, self.total, mark.share)
        return filtered_steps(round(mark.steps), self.total)


def self_validating(model, switch: Switch):
    """A clone of `model` whose every sampling run switches guarded conditioning at exactly `switch.steps(mark)`.

    Works with any sampler, scheduler and guider: the switch is by sigma, on the conds of the run alone.
    """

    def outer_sample(executor, *args, **kwargs):
        guider = executor.class_obj
        sigmas = kwargs["sigmas"] if "sigmas" in kwargs else args[3]
        sampling = guider.model_patcher.get_model_object("model_sampling")
        switch.total, switch.filtered, switch.roles = len(sigmas) - 1, [], set()
        guider.conds = {key: split(conds, sigmas, sampling, switch) for key, conds in guider.conds.items()}
        if switch.roles <= {None}:
            logging.warning("SAFREE: guard not active, no guarded conditioning reached this sampler.")
        return executor(*args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, WRAPPER, outer_sample)
    return patched


def split(conds: list[dict], sigmas: torch.Tensor, sampling, switch: Switch) -> list[dict]:
    """`conds` of one run with every guarded one as a filtered and an original part that meet at a sigma.

    Areas, masks, control, hooks and timestep ranges that other nodes put on them hold for both parts. Raises
    SafreeError when the original part is needed but lost.
    """
    twins = {cond[KEY].pair: cond for cond in conds if role(cond) == "original"}
    paired = {cond[KEY].pair for cond in conds if role(cond) == "filtered"}
    out = []
    for cond in conds:
        switch.roles.add(role(cond))
        if role(cond) == "original" and cond[KEY].pair in paired:
            continue  # placed beside its filtered twin
        if role(cond) != "filtered":
            out.append(cond)
            continue
        mark = cond[KEY]
        count = switch.steps(mark)
        switch.filtered.append(count)
        meet = _boundary(sigmas, count)
        if count > 0:
            out.append(_ranged(cond, sampling, mark, end_at_least=meet))
        if count < switch.total:
            below = float(torch.nextafter(torch.tensor(meet), torch.tensor(0.0)))
            twin = twins.get(mark.pair) or _original(cond, mark)
            out.append(_ranged(twin, sampling, mark, start_at_most=below))
    return out


def _original(cond: dict, mark: Mark) -> dict:
    """The original prompt's cond with all that other nodes put on its filtered twin."""
    if cond.get("cross_attn") is not mark.tensor:
        raise SafreeError(
            "the guarded conditioning was edited after SafreeConditioning (averaged or concatenated), so the original "
            "prompt for the unfiltered steps is lost. Edit the text instead, or leave filtered_steps at -1."
        )
    tensor, pooled = mark.original
    original = {**cond, "cross_attn": tensor, "uuid": uuid.uuid4()}
    original[KEY] = dataclasses.replace(mark, role="original", tensor=tensor, original=None)
    if pooled is not None:
        original["pooled_output"] = pooled
    return original


def _ranged(cond: dict, sampling, mark: Mark, start_at_most: float = float("inf"), end_at_least: float = 0.0) -> dict:
    """`cond` with its timestep range in sigmas, no longer in percent, cut to the given bounds."""
    start, end = _range(cond, mark, sampling)
    bare = {key: value for key, value in cond.items() if key not in PERCENT_KEYS}
    return {**bare, "timestep_start": min(start, start_at_most), "timestep_end": max(end, end_at_least)}


def _boundary(sigmas: torch.Tensor, count: int) -> float:
    """A float32 sigma just above sigmas[count]: the first `count` steps are at or above it, the others below."""
    if count == 0:
        return float("inf")
    if count >= len(sigmas) - 1:
        return 0.0
    here, before = float(sigmas[count]), float(sigmas[count - 1])
    return float(torch.tensor(here + MARGIN * (before - here), dtype=torch.float32))


def _range(cond: dict, mark: Mark, sampling) -> tuple[float, float]:
    """(start, end) in sigmas of the range that other nodes and scheduled encoding gave this cond."""
    start, end = cond.get("start_percent", 0.0), cond.get("end_percent", 1.0)
    if (start, end) in timestep_ranges(mark.share):  # ours, for stock samplers
        start, end = 0.0, 1.0
    start, end = max(start, cond.get("clip_start_percent", 0.0)), min(end, cond.get("clip_end_percent", 1.0))
    return float(sampling.percent_to_sigma(start)), float(sampling.percent_to_sigma(end)) if end < 1 else 0.0


def sample(switch: Switch, model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise):
    """KSampler's sampling with `switch`: (LATENT, report dict)."""
    import nodes  # ComfyUI's; at call time, since it imports every node pack

    if not any(KEY in options for _, options in [*positive, *negative]):
        raise SafreeError(
            "neither positive nor negative comes from SafreeConditioning, so nothing would be filtered. "
            "Connect SafreeConditioning, or use a KSampler."
        )
    guarded = self_validating(model, switch)
    (latent,) = nodes.common_ksampler(
        guarded, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
    )
    return latent, report(switch)


def report(switch: Switch) -> dict:
    """What a run did, as plain data."""
    filtered = max(switch.filtered, default=0)
    if filtered:
        verdict = f"Filtered for {filtered} of {switch.total} steps."
    elif switch.roles & {"filtered", "original"}:
        verdict = "Not filtered: words were flagged, but the filter was set to 0 steps."
    else:
        verdict = "Not filtered: nothing was flagged."
    return {"verdict": verdict, "version": 1, "steps": switch.total, "filtered_steps": switch.filtered}
