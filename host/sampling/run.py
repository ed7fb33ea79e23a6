"""Sampling under guard: step-exact self-validation, and a watch over what the model is called with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import comfy.patcher_extension
import comfy.samplers
import torch

from ...safree import check_choice, naming
from .. import compat
from ..latent import second_look
from ..report.reports import Report
from . import checks, two_models
from .guidance import GuidanceWatch
from .model_calls import ModelCalls
from .record import RunRecord
from .run_conds import STANDBY, RunConds
from .schedule import part_of
from .switching import Switch, in_own_words, split
from .two_models import Second

WRAPPER = "safree_self_validation"
Tell = Callable[[RunRecord], None]


@dataclasses.dataclass(frozen=True)
class Run:
    """One sampling run; lives in the run's own copy of the model options and goes with it."""

    record: RunRecord
    conds: RunConds
    calls: ModelCalls
    guidance: GuidanceWatch


def self_validating(model, switch: Switch, tell: Tell | None = None):
    """A clone of `model` whose every sampling run switches guarded conditioning at exactly `switch.steps(mark, part)`.

    Works with any sampler, scheduler and guider: the switch is by sigma, on the conds of the run alone. A run whose
    conds the guard does not hold for, that loses them, or that draws towards others, raises SafreeError (see Switch).

    tell: called with the record of each run that came to its end
    """
    kinds = comfy.patcher_extension.WrappersMP
    patched = model.clone()
    for kind, wrapper in (
        (kinds.OUTER_SAMPLE, _outer_sample(switch, tell)),
        (kinds.SAMPLER_SAMPLE, _sampler_sample),
        (kinds.PREDICT_NOISE, _predict_noise),
        (kinds.CALC_COND_BATCH, _calc_cond_batch),
        (kinds.APPLY_MODEL, _apply_model),
    ):
        patched.remove_wrappers_with_key(kind, WRAPPER)  # of an earlier patch: the last one decides
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def _outer_sample(switch: Switch, tell: Tell | None):
    """The wrapper around a whole run, which starts its record and hands it on."""

    def outer_sample(executor, *args, **kwargs):
        guider = executor.class_obj
        sigmas = kwargs["sigmas"] if "sigmas" in kwargs else args[3]
        run = start(guider, sigmas, switch)
        options = guider.model_options  # the run's own copy
        _order_wrappers(options)
        options["transformer_options"][WRAPPER] = run
        try:
            result = executor(*args, **kwargs)
        finally:
            options["transformer_options"].pop(WRAPPER, None)
        run.calls.finish()
        run.record.notes += run.guidance.summary()
        if tell is not None:
            tell(run.record)
        return result

    return outer_sample


def _order_wrappers(options: dict) -> None:
    """Let our wrappers see what others made of a prediction, and what they put into a call."""
    kinds = comfy.patcher_extension.WrappersMP
    for kind in (kinds.SAMPLER_SAMPLE, kinds.PREDICT_NOISE):
        compat.run_wrapper_first(options, WRAPPER, kind)
    for kind in (kinds.CALC_COND_BATCH, kinds.APPLY_MODEL):
        compat.run_wrapper_last(options, WRAPPER, kind)


def start(guider, sigmas: torch.Tensor, switch: Switch) -> Run:
    """Check a guider's conds, and put in their place those that are switched at t' and tagged."""
    with naming(lambda: switch.node):
        record = RunRecord(switch, part_of(sigmas, switch.schedule))
        checks.check_width(guider)
    for problem in checks.problems_before_sampling(guider.conds, switch.negatives):
        record.raise_or_warn(problem)
    sampling = guider.model_patcher.get_model_object("model_sampling")
    conds = RunConds(guider)
    with naming(lambda: switch.node):
        guider.conds = _switched(guider.conds, sigmas, sampling, record, conds)
    calls = ModelCalls(conds, record, checks.conds_to_evaluate(guider.conds, sigmas, sampling))
    guidance = GuidanceWatch(conds, record, sigmas.tolist())
    guidance.start()
    return Run(record, conds, calls, guidance)


def _switched(
    branches: dict[str, list[dict]], sigmas: torch.Tensor, sampling, record: RunRecord, conds: RunConds
) -> dict[str, list[dict]]:
    """The conds of every branch, switched at t' and tagged, and those on standby."""
    needed = checks.concepts(branches)
    out: dict[str, list[dict]] = {}
    standby: list[dict] = []
    for branch, part in branches.items():
        negative = checks.is_negative(branch)
        guarded = [cond for cond in part if not negative or checks.holds(cond, needed)]
        plain = [cond for cond in part if negative and not checks.holds(cond, needed)]
        if negative and record.switch.negatives == "subtracting":
            pairs = in_own_words(guarded, sampling)
            out[branch] = [_in_own_words(conds, branch, cond, cleaned) for cond, cleaned in pairs]
            cleaned = [cleaned for _, cleaned in pairs if cleaned is not None]
            standby += [conds.tag({"prompt_type": branch, **cond}, STANDBY) for cond in cleaned]
        else:
            record.take_down(guarded)
            out[branch] = [conds.tag(cond, branch) for cond in split(guarded, sigmas, sampling, record.steps)]
        out[branch] += [conds.tag(cond, branch, unguarded=True) for cond in plain]
    return {**out, STANDBY: standby} if standby else out


def _in_own_words(conds: RunConds, branch: str, cond: dict, cleaned: dict | None) -> dict:
    """A negative cond, tagged; where it holds flagged words, with what takes its place if it would be drawn."""
    if cleaned is None:
        return conds.tag(cond, branch)
    return conds.tag(cond, branch, unguarded=True, standby=cleaned["uuid"])


def _run(model_options: dict) -> Run | None:
    """The run that these options are of; None outside of one, as in a sampler that calls another."""
    return model_options.get("transformer_options", {}).get(WRAPPER)


def _sampler_sample(executor, guider, *args, **kwargs):
    run = _run(guider.model_options)
    if run is not None:
        run.conds.tag_copies()
    return executor(guider, *args, **kwargs)


def _predict_noise(executor, x, timestep, *rest):
    run = _run(executor.class_obj.model_options)
    if run is None:
        return executor(x, timestep, *rest)
    return run.guidance.predict(executor, x, timestep, *rest)


def _calc_cond_batch(executor, model, conds, x, timestep, options):
    run = _run(options)
    if run is None:
        return executor(model, conds, x, timestep, options)
    run.calls.announce(conds)
    return run.guidance.evaluate(executor, model, conds, x, timestep, options)


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    options = transformer_options or {}
    run = options.get(WRAPPER)
    if run is not None:
        run.calls.called(options.get("uuids", ()))
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)


def sampler_names() -> list[str]:
    """KSampler's own, those that other packs added included."""
    return comfy.samplers.KSampler.SAMPLERS


def scheduler_names() -> list[str]:
    return comfy.samplers.KSampler.SCHEDULERS


def sample(
    switch: Switch,
    model,
    seed,
    steps,
    cfg,
    sampler_name,
    scheduler,
    positive,
    negative,
    latent_image,
    denoise,
    second: Second | None = None,
) -> tuple[dict, Report]:
    """KSampler's sampling with `switch`: (LATENT, the report of the run).

    second: the model that goes on where there is little noise; t', and what a latent guard sees, count over both
    """
    check_choice("sampler_name", sampler_name, sampler_names())  # or KSampler takes its first one
    check_choice("scheduler", scheduler, scheduler_names())
    settings = (seed, steps, cfg, sampler_name, scheduler, positive, negative)
    records: list[RunRecord] = []

    def run(*models) -> dict:
        records.clear()
        if len(models) == 1:
            return _part(models[0], switch, records, settings, latent_image, denoise)
        sigmas = two_models.whole_schedule(models[0], steps, sampler_name, scheduler, denoise)
        split = two_models.steps_of_first(sigmas, second.boundary)
        own, latent = dataclasses.replace(switch, schedule=sigmas), latent_image
        if split:
            latent = _part(models[0], own, records, settings, latent, denoise, last_step=split)
        latent = _part(models[1], own, records, settings, latent, denoise, start_step=split, disable_noise=split > 0)
        if not split:
            records[-1].notes.append(two_models.ALL_OF_THE_SECOND)
        return latent

    latent, seen = second_look.sample(model, run, switch.on_problem, second.model if second else None)
    record = two_models.joined(records) if records else RunRecord(switch)  # without a step no run begins
    return latent, second_look.joined(record.report(), seen)


def _part(
    model, switch: Switch, records: list[RunRecord], settings: tuple, latent: dict, denoise: float, **part
) -> dict:
    """The LATENT of one model's part of a schedule, all of it or from `start_step` to `last_step`."""
    import nodes  # ComfyUI's; at call time, since it imports every node pack

    guarded = self_validating(model, switch, records.append)
    return nodes.common_ksampler(guarded, *settings, latent, denoise=denoise, **part)[0]
