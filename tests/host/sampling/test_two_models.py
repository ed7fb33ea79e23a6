"""Two models that share a schedule (Wan 2.2's high and low noise, SDXL's base and refiner): the guard and t' hold for
both samplers."""

from __future__ import annotations

import pytest
import torch
from host_nodes import HostNodes
from tracing import SEED, Trace

STEPS = 10
SETTINGS = (SEED, STEPS, 4.0, "euler", "normal")


@pytest.fixture(scope="module")
def other(model):
    """A model that differs from the first in its weights, as a refiner does."""
    other = model.clone()
    (key,) = [key for key in model.model.state_dict() if key == "diffusion_model.out.2.weight"]
    weights = model.model.state_dict()[key]
    other.add_patches({key: ("diff", (0.1 * weights.clone(),))})
    return other


@pytest.fixture
def schedule(comfy_nodes, model):
    (sigmas,) = HostNodes("nodes_custom_sampler").BasicScheduler(model, "normal", STEPS, 1.0)
    return sigmas


@pytest.fixture
def swapped(pack, cat, pistol):
    """'a cat' (filtered) for the first 4 of 10 steps, 'a pistol' (original) afterwards."""
    return pack.host.conditioning.entries.guarded(cat, pistol, share=0.4, steps=20.0)


@pytest.fixture
def patch(pack):
    """SelfValidationPatch as a function: (model, schedule) -> (traced model, trace)."""

    def patch(model, schedule=None, unit="share", fixed=-1):
        trace = Trace()
        patched = pack.SelfValidationPatch.execute(trace.attach(model), unit, fixed, schedule=schedule).args[0]
        return patched, trace

    return patch


@pytest.fixture
def advanced(comfy_nodes, model, other, empty, latent):
    """Two KSamplerAdvanced: the first leaves its noise at step `split`, the second goes on from there."""

    def run(first, second, positive, split: int, then=None) -> torch.Tensor:
        (half,) = comfy_nodes.common_ksampler(first, *SETTINGS, positive, empty, latent, start_step=0, last_step=split)
        (whole,) = comfy_nodes.common_ksampler(
            second, *SETTINGS, then or positive, empty, half, disable_noise=True, start_step=split, last_step=STEPS
        )
        return whole["samples"]

    return run


def filtered(trace: Trace) -> int:
    """Steps in which the filtered prompt was seen, first ones all."""
    steps = ["filtered" in roles for _, roles in trace.calls]
    assert steps == sorted(steps, reverse=True)
    return sum(steps)


@pytest.mark.parametrize(("split", "parts"), [(3, (3, 1)), (4, (4, 0)), (6, (4, 0)), (1, (1, 3))])
def test_t_prime_counts_over_the_schedule_of_both(advanced, patch, model, other, schedule, swapped, split, parts):
    (first, one), (second, two) = patch(model, schedule), patch(other, schedule)
    samples = advanced(first, second, swapped, split)
    assert (filtered(one), filtered(two)) == parts
    assert len(one.calls) + len(two.calls) == STEPS
    assert samples.isfinite().all()


@pytest.mark.parametrize(("unit", "fixed", "parts"), [("steps", -1, (3, 7)), ("share", 5, (3, 2))])
def test_steps_count_over_the_schedule_too(advanced, patch, model, other, schedule, swapped, unit, fixed, parts):
    (first, one), (second, two) = patch(model, schedule, unit, fixed), patch(other, schedule, unit, fixed)
    advanced(first, second, swapped, 3)
    assert (filtered(one), filtered(two)) == parts  # 20 steps, or 5


def test_one_model_in_two_parts_is_one_run(pack, advanced, patch, model, schedule, swapped, empty, latent):
    parts = advanced(patch(model, schedule)[0], patch(model, schedule)[0], swapped, 3)
    switch = pack.host.sampling.switching.Switch()
    settings = (*SETTINGS, swapped, empty, latent, 1.0)
    whole, report = pack.host.sampling.run.sample(switch, model, *settings)
    assert report.data()["filtered_steps"] == [4]
    torch.testing.assert_close(parts, whole["samples"], atol=1e-4, rtol=1e-4)


def test_without_the_schedule_t_prime_counts_over_the_steps_of_each_part(advanced, patch, model, other, swapped):
    (first, one), (second, two) = patch(model), patch(other)
    advanced(first, second, swapped, 5)
    assert (filtered(one), filtered(two)) == (2, 2)


def test_split_sigmas_of_sampler_custom_advanced(patch, model, other, schedule, swapped, empty, latent):
    nodes = HostNodes("nodes_custom_sampler")
    (sampler,), (noise,), (none,) = nodes.KSamplerSelect("euler"), nodes.RandomNoise(SEED), nodes.DisableNoise()
    high, low = nodes.SplitSigmas(schedule, 3)
    (first, one), (second, two) = patch(model, schedule), patch(other, schedule)
    (guider,) = nodes.CFGGuider(first, swapped, empty, 4.0)
    half = nodes.SamplerCustomAdvanced(noise, guider, sampler, high, latent)[0]
    (guider,) = nodes.CFGGuider(second, swapped, empty, 4.0)
    nodes.SamplerCustomAdvanced(none, guider, sampler, low, half)
    assert (filtered(one), filtered(two)) == (3, 1)


def test_the_second_sampler_refuses_an_unguarded_prompt(pack, advanced, patch, model, other, swapped, pistol):
    with pytest.raises(pack.safree.SafreeError, match="guard not active"):
        advanced(patch(model)[0], patch(other)[0], swapped, 3, then=pistol)


def test_a_prompt_whose_filter_is_over_is_no_lost_guard(pack, comfy_nodes, model, other, schedule, swapped, empty):
    switch = pack.host.sampling.switching.Switch(schedule=schedule)
    records = []
    second = pack.host.sampling.run.self_validating(other, switch, records.append)
    half = {"samples": torch.ones(1, 4, 8, 8)}
    comfy_nodes.common_ksampler(second, *SETTINGS, swapped, empty, half, disable_noise=True, start_step=6)
    report = records[-1].report().data()
    assert (report["state"], report["filtered_steps"], report["steps"]) == ("filtered", [0], 4)
    assert "earlier part" in report["verdict"]


def test_a_schedule_of_other_steps_is_refused(pack, comfy_nodes, patch, model, schedule, swapped, empty, latent):
    patched, _ = patch(model, schedule)
    with pytest.raises(pack.safree.SafreeError, match=r"SelfValidationPatch: .* no part of the 10 steps connected"):
        comfy_nodes.common_ksampler(patched, SEED, 7, 4.0, "euler", "normal", swapped, empty, latent)
    with pytest.raises(pack.safree.SafreeError, match="has no steps"):
        patch(model, torch.zeros(1))
