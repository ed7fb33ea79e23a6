"""Sampling under guard: step-exact self-validation, and a watch over what the model is called with."""

from __future__ import annotations

import comfy.patcher_extension
import comfy.samplers
import torch

from ...safree import check_choice, naming
from .. import compat
from ..latent import second_look
from ..report.reports import Report
from . import checks
from .guidance import STANDBY, Watch
from .switching import Switch, in_own_words, split

WRAPPER = "safree_self_validation"


def self_validating(model, switch: Switch):
    """A clone of `model` whose every sampling run switches guarded conditioning at exactly `switch.steps(mark)`.

    Works with any sampler, scheduler and guider: the switch is by sigma, on the conds of the run alone. A run whose
    conds the guard does not hold for, that loses them, or that draws towards others, raises SafreeError (see Switch).
    """
    kinds = comfy.patcher_extension.WrappersMP

    def outer_sample(executor, *args, **kwargs):
        guider = executor.class_obj
        sigmas = kwargs["sigmas"] if "sigmas" in kwargs else args[3]
        options = guider.model_options  # the run's own copy
        with naming(lambda: switch.node):
            watch, due = _start(guider, sigmas, switch)
        for kind in (kinds.SAMPLER_SAMPLE, kinds.PREDICT_NOISE):  # see what the others made of it
            compat.run_wrapper_first(options, WRAPPER, kind)
        for kind in (kinds.CALC_COND_BATCH, kinds.APPLY_MODEL):  # see what they brought
            compat.run_wrapper_last(options, WRAPPER, kind)
        options["transformer_options"][WRAPPER] = watch
        try:
            result = executor(*args, **kwargs)
        finally:
            options["transformer_options"].pop(WRAPPER, None)
        with naming(lambda: switch.node):
            switch.report_problems(checks.unseen(due, watch.seen) or watch.unnamed())
        switch.said = watch.summary()
        return result

    patched = model.clone()
    for kind, wrapper in (
        (kinds.OUTER_SAMPLE, outer_sample),
        (kinds.SAMPLER_SAMPLE, _sampler_sample),
        (kinds.PREDICT_NOISE, _predict_noise),
        (kinds.CALC_COND_BATCH, _calc_cond_batch),
        (kinds.APPLY_MODEL, _apply_model),
    ):
        patched.remove_wrappers_with_key(kind, WRAPPER)  # of an earlier patch: the last one decides
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def _watch(model_options: dict) -> Watch | None:
    """The watch over the run that these options are of; None outside of one, as in a sampler that calls another."""
    return model_options.get("transformer_options", {}).get(WRAPPER)


def _sampler_sample(executor, guider, *args, **kwargs):
    if watch := _watch(guider.model_options):
        watch.prepared()
    return executor(guider, *args, **kwargs)


def _predict_noise(executor, x, timestep, *rest):
    watch = _watch(executor.class_obj.model_options)
    return watch.predict(executor, x, timestep, *rest) if watch else executor(x, timestep, *rest)


def _calc_cond_batch(executor, model, conds, x, timestep, options):
    if watch := _watch(options):
        return watch.evaluate(executor, model, conds, x, timestep, options)
    return executor(model, conds, x, timestep, options)


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    options = transformer_options or {}
    if watch := options.get(WRAPPER):
        watch.call(options.get("uuids", ()))
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)


def _start(guider, sigmas: torch.Tensor, switch: Switch) -> tuple[Watch, set]:
    """Check a run's conds and switch them: the watch over the run, and the uuids that it has to evaluate."""
    sampling = guider.model_patcher.get_model_object("model_sampling")
    switch.start(sigmas)
    checks.width(guider)
    switch.report_problems(checks.before(guider.conds, switch.negatives))

    def tell(problem: str) -> None:
        with naming(lambda: switch.node):
            switch.report_problems([problem])

    watch = Watch(guider, sigmas.tolist(), tell)
    needed, conds = checks.concepts(guider.conds), {STANDBY: []}
    for branch, part in guider.conds.items():
        if not checks.is_negative(branch):
            conds[branch] = [watch.tag(cond, branch, away=False) for cond in split(part, sigmas, sampling, switch)]
            continue
        held = [checks.holds(cond, needed) for cond in part]
        guarded = [cond for cond, fine in zip(part, held, strict=True) if fine]
        plain = [cond for cond, fine in zip(part, held, strict=True) if not fine]
        if switch.negatives == "subtracting":
            pairs = in_own_words(guarded, sampling)
            conds[branch] = [watch.tag(cond, branch, bool(own), own and own["uuid"]) for cond, own in pairs]
            cleaned = [{"prompt_type": branch, **own} for _, own in pairs if own]
            conds[STANDBY] += [watch.tag(cond, STANDBY, away=False) for cond in cleaned]
        else:
            conds[branch] = [watch.tag(cond, branch, away=False) for cond in split(guarded, sigmas, sampling, switch)]
        conds[branch] += [watch.tag(cond, branch, away=True) for cond in plain]
    if not conds[STANDBY]:
        del conds[STANDBY]
    guider.conds = conds
    watch.start()
    return watch, checks.due(guider.conds, sigmas, sampling)


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

    def run() -> dict:
        settings = (seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image)
        return nodes.common_ksampler(guarded, *settings, denoise=denoise)[0]

    latent, seen = second_look.sample(guarded, run, switch.on_problem)
    return latent, second_look.join(report(switch), seen)


def report(switch: Switch) -> dict:
    """What a run did, as plain data."""
    state, reason, verdict = _verdict(switch)
    notes = [f"Guard not active{problem}" for problem in switch.problems[1:]]
    if "unchecked" in switch.roles and switch.roles & {"filtered", "clear"}:
        notes.append("One prompt was not checked: strength is 0.")
    fields = {"steps": switch.total, "filtered_steps": switch.filtered}
    return Report("sampling", state, verdict, reason, (*notes, *switch.said), fields).data()


def _verdict(switch: Switch) -> tuple[str, str, str]:
    """(state, reason, sentence) of the report."""
    filtered = max(switch.filtered, default=0)
    if not switch.total:
        return "empty", "", "Nothing was sampled: there are no steps."
    if switch.problems:
        return "inactive", "problem", f"Guard not active{switch.problems[0]}"
    if filtered:
        return "filtered", "", f"Filtered for {filtered} of {switch.total} steps."
    if switch.came_before:
        return "filtered", "", "Filtered in an earlier part of the schedule: t' ends before this one."
    if switch.roles & {"filtered", "original"}:
        return "inactive", "steps", "Guard not active: words were flagged, but the filter was set to 0 steps."
    if "clear" in switch.roles:
        return "clear", "", "Not filtered: nothing was flagged."
    if "unchecked" in switch.roles:
        return "inactive", "strength", "Guard not active: strength is 0, the prompt was not checked."
    return "clear", "", "Not filtered: the prompts are zeros."
