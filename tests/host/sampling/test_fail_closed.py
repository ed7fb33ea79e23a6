"""Every way that the guard could silently not apply: noticed and refused, or said in report and log."""

from __future__ import annotations

import copy
import importlib
import logging
import uuid

import pytest
import torch
from tracing import SEED, Trace, encode, outputs, sample

STEPS = 3
CFG = 4.0  # both branches are evaluated
REFUSED = "the sampler stops and says why; with `warn` report and log say `guard not active`"
fault = pytest.mark.fault


@pytest.fixture(scope="module")
def prompts(pack, clip, weapons):
    """Guarded and plain CONDITIONING by name; 'halves' has a filtered and an original part (mode paper)."""
    pistol = pack.host.prompt.subspaces.build_subspace(clip, "pistol", ("pistol",))

    def guard(text, subspace=weapons, **settings):
        return pack.host.prompt.guard.guard_prompt(
            clip, text, (subspace,), pack.host.prompt.findings.Settings(**settings)
        ).conditioning

    return {
        "flagged": guard("a cat and a pistol"),
        "halves": guard("a cat and a pistol", pistol, mode="paper"),
        "clear": guard("a cat"),
        "clear of pistols": guard("a cat", pistol),
        "unchecked": guard("a pistol", strength=0.0),
        "plain": encode(clip, "a pistol beside a bee"),  # that no other test has marked as guarded
    }


@pytest.fixture
def latent():
    """32x32 pixels: what is looked at is what the model is given, not what it makes of it."""
    return {"samples": torch.zeros(1, 4, 4, 4)}


@pytest.fixture
def run(pack, model, empty, latent):
    """Run SelfValidatingSampler: (samples, report, trace)."""

    def run(positive, on_problem="error", patched=None, negative=empty, fixed=None, steps=STEPS, cfg=CFG):
        trace = Trace()
        switch = pack.host.sampling.switching.Switch(fixed=fixed, on_problem=on_problem)
        run = (SEED, steps, cfg, "euler", "normal", positive, negative, latent, 1.0)
        out, report = pack.host.sampling.run.sample(switch, trace.attach(patched or model), *run)
        return out["samples"], report.data(), trace

    return run


def average(nodes, to, other):
    return nodes.ConditioningAverage().addWeighted(to, other, 0.5)[0]


def concat(nodes, to, other):
    return nodes.ConditioningConcat().concat(to, other)[0]


def another_pooled(nodes, to, other):
    return [[tensor, {**options, "pooled_output": other[0][1]["pooled_output"]}] for tensor, options in to]


def in_place(nodes, to, other):
    changed = copy.deepcopy(to)
    for tensor, _ in changed:
        tensor.copy_(other[0][0])
    return changed


def rebuilt(nodes, to, other):
    return [[tensor, {"pooled_output": options["pooled_output"]}] for tensor, options in to]


BROKEN = {
    "plain": (lambda nodes, p: p["plain"], "no guarded conditioning reached"),
    "guard on the negative": (lambda nodes, p: p["plain"], "no guarded conditioning reached"),
    "mark lost": (lambda nodes, p: rebuilt(nodes, p["flagged"], None), "no guarded conditioning reached"),
    "combined": (lambda nodes, p: p["flagged"] + p["plain"], "for 1 of 2 prompts"),
    "default": (lambda nodes, p: p["clear"] + [[t, {**o, "default": True}] for t, o in p["plain"]], "for 1 of 2"),
    "averaged": (lambda nodes, p: average(nodes, p["flagged"], p["plain"]), "edited after SafreeConditioning"),
    "averaged clear": (lambda nodes, p: average(nodes, p["clear"], p["plain"]), "edited after SafreeConditioning"),
    "concatenated": (lambda nodes, p: concat(nodes, p["flagged"], p["plain"]), "edited after SafreeConditioning"),
    "in place": (lambda nodes, p: in_place(nodes, p["flagged"], p["plain"]), "edited after SafreeConditioning"),
    "pooled": (lambda nodes, p: another_pooled(nodes, p["flagged"], p["plain"]), "edited after SafreeConditioning"),
    "filtered part taken out": (lambda nodes, p: p["halves"][1:], "took the filtered part out"),
}
TEXTS = {
    "plain": "unguarded conditioning at the positive input",
    "guard on the negative": "the guard on the negative input only",
    "mark lost": "a node that rebuilds the conditioning without our mark",
    "combined": "ConditioningCombine with an unguarded prompt",
    "default": "an unguarded prompt as the default of hooked conditioning",
    "averaged": "ConditioningAverage with an unguarded prompt",
    "averaged clear": "ConditioningAverage with an unguarded prompt",
    "concatenated": "ConditioningConcat with an unguarded prompt",
    "in place": "a node that overwrites the conditioning in place",
    "pooled": "the pooled output replaced",
    "filtered part taken out": "a node that drops the filtered part of a guarded prompt",
}
EACH = [pytest.param(*BROKEN[name], name, id=name, marks=fault(TEXTS[name], REFUSED)) for name in BROKEN]


@pytest.mark.parametrize(("change", "cause", "name"), EACH)
def test_conditioning_that_is_not_all_guarded_is_refused_or_reported(
    pack, comfy_nodes, run, prompts, empty, caplog, change, cause, name
):
    positive = change(comfy_nodes, prompts)
    negative = prompts["flagged"] if name == "guard on the negative" else empty
    with pytest.raises(pack.safree.SafreeError, match=f"^guard not active.*{cause}.*on_problem"):
        run(positive, negative=negative)
    _, report, trace = run(positive, "warn", negative=negative)
    assert report["verdict"].startswith("Guard not active")
    assert cause in report["verdict"]
    assert not report["active"]
    assert trace.calls
    assert any("guard not active" in line and cause in line for line in caplog.messages)
    with pytest.raises(pack.safree.SafreeError, match=f"^guard not active.*{cause}"):
        run(positive, negative=negative, cfg=1.0)  # as distilled models are sampled


@fault("unguarded conditioning at a sampler with SelfValidationPatch", "the sampler stops, the error names our node")
def test_the_patch_names_itself_in_the_error_of_another_sampler(pack, comfy_nodes, model, prompts, empty, latent):
    (patched,) = pack.SelfValidationPatch.execute(model, "share", -1).args
    with pytest.raises(pack.safree.SafreeError, match=r"^SelfValidationPatch: guard not active"):
        sample(comfy_nodes, patched, prompts["plain"], empty, latent)
    (patched,) = pack.SelfValidationPatch.execute(model, "share", -1, "warn").args
    assert torch.equal(
        sample(comfy_nodes, patched, prompts["plain"], empty, latent, steps=2),
        sample(comfy_nodes, model, prompts["plain"], empty, latent, steps=2),
    )


def test_guarded_prompts_may_be_combined_concatenated_copied_and_zeroed(comfy_nodes, run, prompts):
    zeroed = comfy_nodes.ConditioningZeroOut().zero_out(prompts["flagged"])[0]
    for positive in (
        prompts["flagged"] + prompts["clear"],
        concat(comfy_nodes, prompts["flagged"], prompts["clear"]),
        concat(comfy_nodes, concat(comfy_nodes, prompts["clear"], prompts["flagged"]), prompts["clear"]),
        concat(comfy_nodes, prompts["halves"], prompts["clear of pistols"]),
        [[tensor.clone(), dict(options)] for tensor, options in prompts["flagged"]],
        copy.deepcopy(prompts["flagged"]),
        zeroed,
    ):
        assert run(positive, steps=1)[1]["active"]
    assert run(zeroed, fixed=1)[1]["active"]  # zeros are their own original


@fault("timestep ranges overwritten by ConditioningSetTimestepRange", "the filter keeps its own range, at any sampler")
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.05, 0.8)])
def test_a_reset_timestep_range_neither_averages_nor_drops_the_two_parts(
    comfy_nodes, model, prompts, empty, latent, bounds
):
    (ranged,) = comfy_nodes.ConditioningSetTimestepRange().set_range(prompts["halves"], *bounds)
    trace, plain = Trace(), Trace()
    sample(comfy_nodes, trace.attach(model), ranged, empty, latent, steps=12, cfg=CFG)
    sample(comfy_nodes, plain.attach(model), prompts["halves"], empty, latent, steps=12, cfg=CFG)
    inside = {sigma: roles for sigma, roles in trace.calls if set(roles) != {"negative"}}
    assert {role for roles in inside.values() for role in roles} == {"filtered", "original", "negative"}
    assert inside.items() <= dict(plain.calls).items()
    if bounds == (0.0, 1.0):
        assert trace.calls == plain.calls


@fault("hook groups that split the batch", "the filter applies in each group")
def test_conds_split_by_hooks_are_filtered_and_re_attended(pack, comfy_nodes, run, model, prompts):
    hooks = importlib.import_module("comfy.hooks")
    group = hooks.HookGroup()
    group.add(hooks.TransformerOptionsHook(transformers_dict={"patches": {}}))
    hooked = hooks.set_hooks_for_conditioning(prompts["flagged"], group)
    assert hooked[0][1]["hooks"] is not None
    patched = pack.host.reattention.skip_features.patch(model, pack.host.reattention.skip_features.Settings((0.9, 0.2)))
    samples, report, trace = run(hooked + prompts["clear"], patched=patched)
    assert report["filtered_steps"] == [STEPS]
    assert [roles for _, roles in trace.calls].count(["filtered"]) == STEPS  # in calls of their own
    batched, *_ = run(prompts["flagged"] + prompts["clear"], patched=patched)
    torch.testing.assert_close(samples, batched, atol=5e-3, rtol=1e-2)  # batched differently


def with_wrapper(model, kind: str, wrapper):
    """A clone of `model` with a wrapper of another node pack."""
    extension = importlib.import_module("comfy.patcher_extension")
    clone = model.clone()
    clone.add_wrapper_with_key(getattr(extension.WrappersMP, kind), "another pack", wrapper)
    return clone


def without_uuids(executor, model, conds, x, timestep, options):
    """Evaluates the conds one by one, as a batching of one's own does, and tells the model nothing of them."""

    def apply(function, arguments):
        arguments["c"]["transformer_options"].pop("uuids")
        return function(arguments["input"], arguments["timestep"], **arguments["c"])

    return executor(model, conds, x, timestep, {**options, "model_function_wrapper": apply})


def swapped(executor, guider, *args, **kwargs):
    """Puts conds of its own in the place of the run's."""
    guider.conds["positive"] = [{**cond, "uuid": uuid.uuid4()} for cond in guider.conds["positive"]]
    return executor(guider, *args, **kwargs)


def first_only(executor, model, conds, x, timestep, options):
    return executor(model, [conds[0][:1], *conds[1:]], x, timestep, options)


@pytest.mark.parametrize(
    ("kind", "wrapper", "missed"),
    [
        pytest.param("CALC_COND_BATCH", without_uuids, "2 of 2", marks=fault("conditioning uuids lost", REFUSED)),
        pytest.param("SAMPLER_SAMPLE", swapped, "2 of 2", marks=fault("a node that swaps the run's conds", REFUSED)),
        pytest.param("CALC_COND_BATCH", first_only, "1 of 2", marks=fault("a sampler that drops a cond", REFUSED)),
    ],
    ids=["uuids lost", "conds swapped", "a cond dropped"],
)
def test_guarded_conds_that_never_reach_the_model_are_noticed(pack, run, model, prompts, kind, wrapper, missed):
    patched = with_wrapper(model, kind, wrapper)
    both = prompts["flagged"] + prompts["clear"]
    with pytest.raises(pack.safree.SafreeError, match=f"{missed} guarded prompts never reached the model"):
        run(both, patched=patched)
    _, report, _ = run(both, "warn", patched=patched)
    assert not report["active"]


@fault("conditioning of a model of another width", "the sampler stops and names both widths")
def test_conditioning_of_another_model_is_refused_by_its_width(pack, comfy_nodes, run, prompts, empty, latent):
    import tiny_families

    other = tiny_families.FAMILIES["SD2.x"].diffusion_model()
    with pytest.raises(pack.safree.SafreeError, match=r"768 wide, this model takes \d+.*CLIP that belongs"):
        run(prompts["flagged"], patched=other, negative=empty)
    with pytest.raises(RuntimeError):
        sample(comfy_nodes, other, prompts["flagged"], empty, latent)


@fault("the model swapped after encoding", "the conditioning carries the filter to any model that takes it")
def test_a_swapped_model_still_gets_the_filtered_prompt(run, model, prompts):
    other = model.clone()
    other.add_patches({key: (torch.ones_like(w) * 1e-3,) for key, w in list(model.model_state_dict().items())[:3]})
    _, report, trace = run(prompts["flagged"], patched=other)
    assert report["filtered_steps"] == [STEPS]
    assert all("filtered" in roles for _, roles in trace.calls)


@fault("strength 0", "the prompt passes unchecked, report and log say 'guard not active'")
def test_strength_zero_is_called_not_active(pack, clip, weapons, run, caplog):
    settings = pack.host.prompt.findings.Settings(strength=0.0)
    positive, report = outputs(pack.host.prompt.guard.guard_prompt(clip, "a pistol", (weapons,), settings))
    assert report["verdict"].startswith("Guard not active: strength is 0")
    assert any("Guard not active: strength is 0" in line for line in caplog.messages)
    _, report, _ = run(positive)
    assert report["verdict"] == "Guard not active: strength is 0, the prompt was not checked."
    assert not report["active"]


@fault("menu values that no menu has, null included", "refused with node, input and choices, never the weaker choice")
@pytest.mark.parametrize("value", ["ignore", "Error", None, ["error"]])
@pytest.mark.parametrize("name", ["unit", "on_problem", "sampler_name", "scheduler"])
def test_an_unknown_choice_is_not_taken_for_another_one(pack, model, prompts, empty, latent, name, value):
    choices = {"unit": "share", "on_problem": "error", "sampler_name": "euler", "scheduler": "normal", name: value}
    conds = {"positive": prompts["plain"], "negative": empty, "latent_image": latent}
    rest = {"seed": SEED, "steps": 1, "cfg": CFG, "denoise": 1.0, "filtered_steps": -1}
    with pytest.raises(pack.safree.SafreeError, match=f"^SelfValidatingSampler: {name} .* is unknown. Choose one of "):
        pack.SelfValidatingSampler.execute(model=model, **conds, **rest, **choices)


@fault("the filter set to 0 steps", "the report says 'guard not active'")
def test_a_filter_of_no_steps_is_called_not_active(run, prompts):
    _, report, _ = run(prompts["flagged"], fixed=0)
    assert report["verdict"].startswith("Guard not active")
    assert not report["active"]


@fault("so few steps that the self-validated share rounds to none", "one step is filtered nevertheless")
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_few_steps_are_filtered_for_one_at_least(run, prompts, steps):
    assert prompts["halves"][0][1]["safree"]["share"] < 1 / 4
    _, report, trace = run(prompts["halves"], steps=steps)
    assert report["filtered_steps"] == [1]
    assert "filtered" in trace.calls[0][1]


@fault(
    "re-attention without guarded conditioning", "the picture is the stock one, the log says 're-attention not active'"
)
@pytest.mark.parametrize("cause", ["plain", "uuids lost"])
def test_re_attention_that_cannot_apply_says_so(pack, comfy_nodes, model, prompts, empty, latent, caplog, cause):
    patched = pack.host.reattention.skip_features.patch(model, pack.host.reattention.skip_features.Settings((0.9, 0.2)))
    if cause == "uuids lost":
        patched = with_wrapper(patched, "CALC_COND_BATCH", without_uuids)
    positive = prompts["plain" if cause == "plain" else "flagged"]
    with caplog.at_level(logging.WARNING):
        ours = sample(comfy_nodes, patched, positive, empty, latent, steps=2)
    assert any("re-attention not active" in line for line in caplog.messages)
    assert torch.equal(ours, sample(comfy_nodes, model, positive, empty, latent, steps=2))


def test_of_two_patches_the_last_one_decides(pack, comfy_nodes, model, prompts, empty, latent):
    first = pack.host.sampling.run.self_validating(model, pack.host.sampling.switching.Switch(fixed=1))
    trace = Trace()
    last = pack.host.sampling.run.self_validating(trace.attach(first), pack.host.sampling.switching.Switch(fixed=2))
    sample(comfy_nodes, last, prompts["flagged"], empty, latent, steps=STEPS, cfg=CFG)
    drawn = [[role for role in roles if role != "negative"] for _, roles in trace.calls]
    assert drawn == [["filtered"]] * 2 + [["original"]]
