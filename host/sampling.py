"""Step-exact self-validation: which sampling steps see the filtered and which the original conditioning."""

from __future__ import annotations

import dataclasses
import logging
import uuid

import comfy.patcher_extension
import comfy.samplers
import torch

from ..safree import SafreeError, check_choice, naming
from ..safree.validation import filtered_steps
from . import checks, marks
from .conditioning import RANGE
from .marks import Mark, intact, is_zero, read, role
from .report import Report

UNITS = ("share", "steps")
ON_PROBLEMS = ("error", "warn")
WRAPPER = "safree_self_validation"
MARGIN = 1e-3  # of a step's sigma interval: samplers recompute sigmas with rounding errors
PERCENT_KEYS = ("start_percent", "end_percent", *RANGE)


@dataclasses.dataclass
class Switch:
    """How t' becomes a number of steps, and after a run what was done.

    unit: 'share' of this run's steps, or 'steps' (t' counted in steps, as the paper does at any schedule length)
    fixed: filtered steps chosen by the user, None for the self-validated ones
    on_problem: 'error' or 'warn', where the guard cannot hold for all that is sampled
    node: whose name errors carry, where the node layer cannot add it
    """

    unit: str = "share"
    fixed: int | None = None
    on_problem: str = "error"
    node: str = ""
    total: int = 0
    filtered: list[int] = dataclasses.field(default_factory=list)
    roles: set = dataclasses.field(default_factory=set)
    problems: list[str] = dataclasses.field(default_factory=list)
    seen: set = dataclasses.field(default_factory=set)  # uuids of the conds that the model was called with

    def __post_init__(self):
        check_choice("unit", self.unit, UNITS)
        check_choice("on_problem", self.on_problem, ON_PROBLEMS)

    def steps(self, mark: Mark) -> int:
        if self.fixed is not None:
            return filtered_steps(self.fixed, self.total)
        if self.unit == "share" or mark.share >= 1:
            # a flagged prompt is filtered for a step at least, as in a stock sampler, however few steps there are
            return filtered_steps(0, self.total, mark.share) or min(round(mark.steps), 1, self.total)
        return filtered_steps(round(mark.steps), self.total)

    def start(self, total: int) -> None:
        self.total, self.filtered, self.roles, self.problems, self.seen = total, [], set(), [], set()

    def report_problems(self, found: list[str]) -> None:
        """Raise SafreeError for the first problem, or with 'warn' write all to the log and the report."""
        for problem in found:
            if self.on_problem == "error":
                raise SafreeError(f"guard not active{problem} Or set on_problem to 'warn'.")
            logging.warning("SAFREE: guard not active%s", problem)
            self.problems.append(problem)


def self_validating(model, switch: Switch):
    """A clone of `model` whose every sampling run switches guarded conditioning at exactly `switch.steps(mark)`.

    Works with any sampler, scheduler and guider: the switch is by sigma, on the conds of the run alone. A run whose
    conds the guard does not hold for, or that loses them, raises SafreeError (see Switch.on_problem).
    """

    def outer_sample(executor, *args, **kwargs):
        guider = executor.class_obj
        sigmas = kwargs["sigmas"] if "sigmas" in kwargs else args[3]
        sampling = guider.model_patcher.get_model_object("model_sampling")
        with naming(lambda: switch.node):
            switch.start(len(sigmas) - 1)
            checks.width(guider)
            switch.report_problems(checks.before(guider.conds))
            guider.conds = {key: split(conds, sigmas, sampling, switch) for key, conds in guider.conds.items()}
            due = checks.due(guider.conds, sigmas, sampling)
        result = executor(*args, **kwargs)
        with naming(lambda: switch.node):
            switch.report_problems(checks.unseen(due, switch.seen))
        return result

    def apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        switch.seen.update((transformer_options or {}).get("uuids", ()))
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)

    patched, kinds = model.clone(), comfy.patcher_extension.WrappersMP
    for kind, wrapper in ((kinds.OUTER_SAMPLE, outer_sample), (kinds.APPLY_MODEL, apply_model)):
        patched.remove_wrappers_with_key(kind, WRAPPER)  # of an earlier patch: the last one decides
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def split(conds: list[dict], sigmas: torch.Tensor, sampling, switch: Switch) -> list[dict]:
    """`conds` of one run with every guarded one as a filtered and an original part that meet at a sigma.

    Areas, masks, control, hooks and timestep ranges that other nodes put on them hold for both parts. Raises
    SafreeError when the original part is needed but lost.
    """
    twins = {read(cond).pair: cond for cond in conds if role(cond) == "original"}
    paired = {read(cond).pair for cond in conds if role(cond) == "filtered"}
    out = []
    for cond in conds:
        switch.roles.add(role(cond))
        if role(cond) == "original" and read(cond).pair in paired:
            continue  # placed beside its filtered twin
        if role(cond) != "filtered":
            out.append(cond)
            continue
        mark = read(cond)
        count = switch.steps(mark)
        switch.filtered.append(count)
        meet = _boundary(sigmas, count)
        if count > 0:
            out.append(_ranged(cond, sampling, end_at_least=meet))
        if count < switch.total:
            below = float(torch.nextafter(torch.tensor(meet), torch.tensor(0.0)))
            twin = twins.get(mark.pair) or _original(cond, mark)
            out.append(_ranged(twin, sampling, start_at_most=below))
    return out


def _original(cond: dict, mark: Mark) -> dict:
    """The original prompt's cond with all that other nodes put on its filtered twin."""
    if is_zero(cond.get("cross_attn"), cond):
        return cond
    if not intact(cond.get("cross_attn"), cond):
        raise SafreeError(
            "the guarded conditioning was edited after SafreeConditioning (averaged or concatenated), so the original "
            "prompt for the unfiltered steps is lost. Edit the text instead, or leave filtered_steps at -1."
        )
    tensor, pooled = mark.original
    original = {**cond, "cross_attn": tensor, "uuid": uuid.uuid4()}
    if pooled is not None:
        original["pooled_output"] = pooled
    return marks.write(tensor, original, dataclasses.replace(mark, role="original", original=None))


def _ranged(cond: dict, sampling, start_at_most: float = float("inf"), end_at_least: float = 0.0) -> dict:
    """`cond` with its timestep range in sigmas, no longer in percent, cut to the given bounds."""
    start, end = checks.sigma_range(cond, sampling)
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


def sampler_names() -> list[str]:
    """KSampler's own, those that other packs added included."""
    return comfy.samplers.KSampler.SAMPLERS


def scheduler_names() -> list[str]:
    return comfy.samplers.KSampler.SCHEDULERS


def sample(switch: Switch, model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise):
    """KSampler's sampling with `switch`: (LATENT, report dict)."""
    import nodes  # ComfyUI's; at call time, since it imports every node pack

    check_choice("sampler_name", sampler_name, sampler_names())  # or KSampler takes its first one
    check_choice("scheduler", scheduler, scheduler_names())
    guarded = self_validating(model, switch)
    (latent,) = nodes.common_ksampler(
        guarded, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
    )
    return latent, report(switch)


def report(switch: Switch) -> dict:
    """What a run did, as plain data."""
    filtered, reason = max(switch.filtered, default=0), ""
    unchecked = "unchecked" in switch.roles
    if not switch.total:
        state, verdict = "empty", "Nothing was sampled: there are no steps."
    elif switch.problems:
        state, reason, verdict = "inactive", "problem", f"Guard not active{switch.problems[0]}"
    elif filtered:
        state, verdict = "filtered", f"Filtered for {filtered} of {switch.total} steps."
    elif switch.roles & {"filtered", "original"}:
        state, reason = "inactive", "steps"
        verdict = "Guard not active: words were flagged, but the filter was set to 0 steps."
    elif "clear" in switch.roles:
        state, verdict = "clear", "Not filtered: nothing was flagged."
    else:
        state, reason, verdict = "inactive", "strength", "Guard not active: strength is 0, the prompt was not checked."
    notes = [f"Guard not active{problem}" for problem in switch.problems[1:]]
    if unchecked and switch.roles & {"filtered", "clear"}:
        notes.append("One prompt was not checked: strength is 0.")
    fields = {"steps": switch.total, "filtered_steps": switch.filtered}
    return Report("sampling", state, verdict, reason, tuple(notes), fields).data()
