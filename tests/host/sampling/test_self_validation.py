"""Step-exact switching: which steps see the filtered and which the original prompt, counted from outside."""

from __future__ import annotations

import json

import pytest
import torch
from tracing import SEED, Trace, sample

SAMPLERS = ["euler", "heun", "dpm_2", "dpmpp_2m", "euler_ancestral", "lcm"]
STEPS = 5


@pytest.fixture
def run(pack, model, empty, latent):
    """Run SelfValidatingSampler on a traced model: (samples, report, trace)."""
    sampling = pack.host.sampling

    def run(positive, sampler="euler", scheduler="normal", cfg=1.0, unit="share", fixed=None, **kwargs):
        trace = Trace()
        out, report = sampling.run.sample(
            sampling.switching.Switch(
                unit, fixed, kwargs.pop("on_problem", "error"), negatives=kwargs.pop("negatives", "subtracting")
            ),
            kwargs.pop("model", None) or trace.attach(model),
            *(SEED, kwargs.pop("steps", STEPS), cfg, sampler, scheduler),
            positive,
            kwargs.pop("negative", empty),
            kwargs.pop("latent", latent),
            kwargs.pop("denoise", 1.0),
        )
        return out["samples"], report.data(), trace

    return run


def filtered_grid_steps(trace: Trace) -> int:
    """How many steps began (a call at exactly that sigma of the schedule) with the filtered prompt."""
    first = [next(roles for sigma, roles in trace.calls if sigma == start) for start in trace.sigmas[:-1]]
    assert all(len(roles) == 1 for roles in first)
    steps = [roles == ["filtered"] for roles in first]
    assert steps == sorted(steps, reverse=True)  # filtered ones first
    return sum(steps)


@pytest.mark.parametrize("denoise", [1.0, 0.5])
@pytest.mark.parametrize("scheduler", ["normal", "karras", "simple"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_exactly_the_reported_steps_are_filtered(run, swapped, sampler, scheduler, denoise):
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    _, report, trace = run(swapped, sampler, scheduler, denoise=denoise, latent=latent)
    assert report["filtered_steps"] == [2]
    assert report["steps"] == STEPS == len(trace.sigmas) - 1
    assert filtered_grid_steps(trace) == 2
    for sigma, roles in trace.calls:  # and so are the evaluations between the steps, of samplers that make some
        assert roles == (["filtered"] if sigma > trace.sigmas[2] else ["original"])


@pytest.mark.matrix
@pytest.mark.parametrize(("fixed", "filtered"), [(0, 0), (1, 1), (4, 4), (5, 5), (99, 5)])
def test_a_chosen_number_of_steps_is_exact(run, swapped, fixed, filtered):
    _, report, trace = run(swapped, fixed=fixed)
    assert report["filtered_steps"] == [filtered]
    assert [roles for _, roles in trace.calls] == [["filtered"]] * filtered + [["original"]] * (STEPS - filtered)


@pytest.mark.parametrize(("unit", "filtered"), [("share", 1), ("steps", 4)])
def test_t_prime_counts_as_a_share_or_as_steps(pack, run, cat, pistol, unit, filtered):
    conditioning = pack.host.conditioning.entries.guarded(cat, pistol, share=0.2, steps=4.4)
    assert run(conditioning, unit=unit)[1]["filtered_steps"] == [filtered]


def test_no_filtered_step_is_the_stock_run_of_the_original(comfy_nodes, model, run, swapped, pistol, empty, latent):
    assert torch.equal(run(swapped, fixed=0, cfg=4.0)[0], sample(comfy_nodes, model, pistol, empty, latent))


@pytest.mark.matrix
def test_all_steps_filtered_is_the_stock_run_of_the_filtered(comfy_nodes, model, run, swapped, cat, empty, latent):
    assert torch.equal(run(swapped, fixed=STEPS, cfg=4.0)[0], sample(comfy_nodes, model, cat, empty, latent))


@pytest.mark.matrix
def test_switching_equals_two_stock_samplers_that_share_the_schedule(
    comfy_nodes, model, run, swapped, cat, pistol, empty, latent
):
    settings = (SEED, STEPS, 4.0, "euler", "normal")
    (half,) = comfy_nodes.common_ksampler(model, *settings, cat, empty, latent, start_step=0, last_step=2)
    (whole,) = comfy_nodes.common_ksampler(
        model, *settings, pistol, empty, half, start_step=2, last_step=STEPS, disable_noise=True
    )
    torch.testing.assert_close(run(swapped, cfg=4.0)[0], whole["samples"], atol=1e-4, rtol=1e-4)


@pytest.mark.matrix
@pytest.mark.parametrize("scheduler", ["normal", "karras"])
def test_a_stock_sampler_sees_one_of_both_prompts_at_every_step(comfy_nodes, model, swapped, empty, latent, scheduler):
    trace = Trace()
    sample(comfy_nodes, trace.attach(model), swapped, empty, latent, scheduler=scheduler, cfg=1.0)
    roles = [roles for _, roles in trace.calls]
    assert all(len(seen) == 1 for seen in roles)
    assert roles == sorted(roles)  # 'filtered' before 'original'
    assert roles[0] == ["filtered"]
    assert roles[-1] == ["original"]


def test_both_branches_may_be_guarded_and_the_negative_one_keeps_its_words(pack, run, swapped, cat, pistol):
    negative = pack.host.conditioning.entries.guarded(pistol, cat, share=0.8, steps=40.0)
    _, report, trace = run(swapped, negative=negative, cfg=4.0)
    assert report["filtered_steps"] == [2]
    counts = [sorted(roles) for _, roles in trace.calls]
    assert counts == [["filtered", "original"]] * 2 + [["original"] * 2] * 3
    _, report, trace = run(swapped, negative=negative, cfg=4.0, negatives="guarded")
    assert sorted(report["filtered_steps"]) == [2, 4]
    counts = [sorted(roles) for _, roles in trace.calls]
    assert counts == [["filtered"] * 2] * 2 + [["filtered", "original"]] * 2 + [["original"] * 2]


def test_a_batch_and_an_uneven_size_are_sampled(run, swapped):
    samples, report, _ = run(swapped, latent={"samples": torch.zeros(2, 4, 8, 10)}, steps=2)
    assert samples.shape == (2, 4, 8, 10)
    assert report["filtered_steps"] == [1]


def test_areas_and_strengths_of_other_nodes_hold_for_both_prompts(comfy_nodes, run, swapped):
    (placed,) = comfy_nodes.ConditioningSetArea().append(swapped, 32, 64, 0, 0, 0.7)
    _, _, trace = run(placed, steps=2)
    filtered, original = trace.conds["positive"]
    assert filtered["area"] == original["area"] == (8, 4, 0, 0)
    assert filtered["strength"] == original["strength"] == 0.7


def test_the_timestep_range_of_another_node_holds_as_well(comfy_nodes, run, swapped, cat):
    """A guarded prompt for the first half of the schedule, plain 'a cat' for the second."""
    (first,) = comfy_nodes.ConditioningSetTimestepRange().set_range(swapped, 0.0, 0.5)
    (second,) = comfy_nodes.ConditioningSetTimestepRange().set_range(cat, 0.5001, 1.0)
    _, _, trace = run([*first, *second], fixed=1, on_problem="warn")
    roles = [roles for _, roles in trace.calls]
    assert all(len(seen) == 1 for seen in roles)
    assert roles[0] == ["filtered"]
    assert roles[1] == ["original"]
    assert roles[-1] == ["positive"]


def test_a_prompt_with_nothing_flagged_is_the_stock_run(pack, comfy_nodes, model, run, cat, empty, latent):
    clear = pack.host.conditioning.entries.mark(cat, "clear")
    samples, report, _ = run(clear, cfg=4.0)
    assert torch.equal(samples, sample(comfy_nodes, model, cat, empty, latent))
    assert report["filtered_steps"] == []
    assert "nothing was flagged" in report["verdict"]


def test_the_report_does_not_call_a_flagged_prompt_unflagged(run, swapped):
    assert "nothing was flagged" not in run(swapped, fixed=0, steps=1)[1]["verdict"]


@pytest.mark.matrix
def test_an_unguarded_prompt_is_refused(pack, run, cat):
    with pytest.raises(pack.safree.SafreeError, match="Connect SafreeConditioning"):
        run(cat)


def test_the_node_names_itself_in_errors_and_gives_a_json_report(pack, model, cat, swapped, empty, latent):
    node = pack.nodes.self_validating_sampler.SelfValidatingSampler
    ksampler = {
        "model": model,
        "seed": SEED,
        "steps": 2,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "negative": empty,
        "latent_image": latent,
        "denoise": 1.0,
    }
    with pytest.raises(pack.safree.SafreeError, match=r"^SelfValidatingSampler: "):
        node.execute("share", -1, positive=cat, **ksampler)
    _, report = node.execute("share", -1, positive=swapped, **ksampler).result
    assert json.loads(report)["filtered_steps"] == [1]


def snapshot(model) -> tuple:
    """Everything of a model patcher that a run could leave behind."""
    options = model.model_options["transformer_options"]
    return (
        {kind: {key: list(group) for key, group in keyed.items()} for kind, keyed in model.wrappers.items()},
        {name: list(patches) for name, patches in options.get("patches", {}).items()},
        sorted(options),
        sorted(model.patches),
        dict(model.object_patches),
        sorted(model.model_options),
        sorted(model.attachments),
    )


@pytest.mark.matrix
@pytest.mark.fault(
    "an interrupt or an error in the middle of sampling", "the model is as before, the next picture the same"
)
@pytest.mark.parametrize("fault", ["interrupt", "error"])
def test_an_interrupted_run_leaves_the_model_as_it_was(pack, comfy_nodes, model, run, swapped, empty, latent, fault):
    import comfy.model_management

    def stop():
        if len(trace.calls) == 3:
            if fault == "error":
                raise RuntimeError("another node failed")
            comfy.model_management.interrupt_current_processing()
            comfy.model_management.throw_exception_if_processing_interrupted()

    patched = pack.host.reattention.skip_features.patch(model, pack.host.reattention.skip_features.Settings((0.9, 0.2)))
    before = sample(comfy_nodes, model, swapped, empty, latent)
    trace = Trace(on_call=stop)
    traced = trace.attach(patched)
    states = [snapshot(m) for m in (model, patched, traced)]
    expected = comfy.model_management.InterruptProcessingException if fault == "interrupt" else RuntimeError
    with pytest.raises(expected):
        run(swapped, model=traced, cfg=4.0)
    assert len(trace.calls) == 3
    assert [snapshot(m) for m in (model, patched, traced)] == states
    assert torch.equal(sample(comfy_nodes, model, swapped, empty, latent), before)
