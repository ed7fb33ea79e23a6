"""Guarded prompts in every sampler and guider of the host, in img2img and inpainting, and on partial schedules."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import torch
from host_nodes import HostNodes
from tiny_families import FAMILIES
from tracing import SEED, Trace, sample

STEPS, FILTERED = 5, 2  # of the fixture `swapped`
OURS = {"filtered", "original"}


@pytest.fixture(scope="module")
def small(comfy_nodes):
    """A small random UNet that reads the conditioning of the tiny checkpoint's text encoder."""
    family = FAMILIES["SD1.x"]
    return dataclasses.replace(family, config={**family.config, "context_dim": 768}).diffusion_model()


@pytest.fixture
def custom(comfy_nodes):
    """ComfyUI's nodes of custom sampling."""
    return HostNodes("nodes_custom_sampler")


@pytest.fixture
def picture() -> dict:
    """A LATENT that is not empty."""
    return {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))}


def guarded_roles(trace: Trace) -> list[tuple[float, set[str]]]:
    """(sigma, roles of the guarded conds) of each call of the model that saw one."""
    calls = [(sigma, OURS.intersection(roles)) for sigma, roles in trace.calls]
    return [(sigma, roles) for sigma, roles in calls if roles]


def assert_switched(trace: Trace, filtered: int, name: str = "") -> None:
    """Every call of the first `filtered` steps saw the filtered prompt alone, every other one the original alone."""
    border, before = trace.sigmas[filtered], trace.sigmas[filtered - 1]
    calls = guarded_roles(trace)
    for sigma, roles in calls:
        # the call for the border itself: a sampler may compute that sigma with a rounding error
        expected = "filtered" if sigma > border + 1e-3 * (before - border) else "original"
        assert roles == {expected}, (name, sigma, trace.sigmas)
    assert {role for _, roles in calls for role in roles} == OURS, name


def test_every_sampler_of_the_host_sees_the_original_prompt_from_the_step_on(pack, comfy_nodes, small, swapped, empty):
    latent = {"samples": torch.zeros(1, 4, 4, 4)}
    samplers = importlib.import_module("comfy.samplers").KSampler.SAMPLERS
    assert {"euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_3m_sde", "uni_pc", "ddim"} <= set(samplers)
    for name in (name for name in samplers if not name.endswith("_gpu")):  # those differ in the noise's device
        trace = Trace()
        patched = pack.host.sampling.run.self_validating(trace.attach(small), pack.host.sampling.switching.Switch())
        out = sample(comfy_nodes, patched, swapped, empty, latent, name, "karras", cfg=1.0, steps=STEPS)
        assert torch.isfinite(out).all(), name
        assert len(trace.sigmas) == STEPS + 1, name
        assert_switched(trace, FILTERED, name)


def make_guider(custom, kind: str, model, positive, other, negative):
    if kind == "BasicGuider":
        return custom.BasicGuider(model, positive)[0]
    if kind == "CFGGuider":
        return custom.CFGGuider(model, positive, negative, 4.0)[0]
    style = kind.removeprefix("DualCFGGuider ")
    return custom.DualCFGGuider(model, positive, other, negative, 4.0, 2.0, style)[0]


@pytest.mark.parametrize("kind", ["BasicGuider", "CFGGuider", "DualCFGGuider regular", "DualCFGGuider nested"])
def test_every_guider_switches_through_the_patch(pack, custom, small, swapped, cat, pistol, empty, latent, kind):
    other = [[0.5 * (cat[0][0] + empty[0][0]), dict(cat[0][1])]]
    sampler = custom.KSamplerSelect("dpmpp_2m")[0]
    sigmas = custom.BasicScheduler(small, "normal", STEPS, 1.0)[0]

    def run(model, positive) -> torch.Tensor:
        guider = make_guider(custom, kind, model, positive, other, empty)
        noise = custom.RandomNoise(SEED)[0]
        return custom.SamplerCustomAdvanced(noise, guider, sampler, sigmas, latent)[0]["samples"]

    def patched(model, filtered: int):  # warn: the middle prompt of DualCFGGuider is not guarded
        return pack.SelfValidationPatch.execute(model, "share", filtered, "warn")[0]

    trace = Trace()
    half = run(patched(trace.attach(small), -1), swapped)
    assert_switched(trace, FILTERED)
    whole, cleaned = run(small, pistol), run(small, cat)
    assert torch.equal(run(patched(small, 0), swapped), whole)
    assert torch.equal(run(patched(small, STEPS), swapped), cleaned)
    assert not torch.equal(half, whole)
    assert not torch.equal(half, cleaned)


def test_a_guarded_middle_prompt_of_two_switches_as_well(pack, custom, small, swapped, cat, empty, latent):
    trace = Trace()
    model = pack.SelfValidationPatch.execute(trace.attach(small), "share", -1, "warn")[0]
    guider = custom.DualCFGGuider(model, cat, swapped, empty, 4.0, 2.0, "regular")[0]
    sampler = custom.KSamplerSelect("euler")[0]
    sigmas = custom.BasicScheduler(small, "normal", STEPS, 1.0)[0]
    custom.SamplerCustomAdvanced(custom.RandomNoise(SEED)[0], guider, sampler, sigmas, latent)
    assert_switched(trace, FILTERED)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_sampler_custom_switches_through_the_patch(pack, custom, small, swapped, cat, empty, latent, cfg):
    sampler = custom.SamplerDPMPP_2S_Ancestral(1.0, 1.0)[0]
    sigmas = custom.KarrasScheduler(STEPS, 14.6, 0.03, 7.0)[0]

    def run(model, positive) -> torch.Tensor:
        arguments = (True, SEED, cfg, positive, empty, sampler, sigmas, latent)
        return custom.SamplerCustom(model, *arguments)[0]["samples"]

    trace = Trace()
    run(pack.SelfValidationPatch.execute(trace.attach(small), "share", -1)[0], swapped)
    assert len(trace.calls) > STEPS  # several calls a step
    assert_switched(trace, FILTERED)
    every = pack.SelfValidationPatch.execute(small, "share", STEPS)[0]
    assert torch.equal(run(every, swapped), run(small, cat))


@pytest.mark.parametrize("unit", ["share", "steps"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_few_steps_are_filtered_by_their_share_but_one_at_least_or_all(
    pack, custom, small, cat, pistol, latent, unit, steps
):
    sigmas = custom.SDTurboScheduler(small, steps, 1.0)[0]
    sampler = custom.KSamplerSelect("lcm")[0]
    for share, count in ((0.2, max(round(0.2 * steps), 1) if unit == "share" else steps), (1.0, steps)):
        conditioning = pack.host.conditioning.entries.guarded(cat, pistol, share, 50 * share)
        trace = Trace()
        model = pack.SelfValidationPatch.execute(trace.attach(small), unit, -1)[0]
        guider = custom.BasicGuider(model, conditioning)[0]
        custom.SamplerCustomAdvanced(custom.RandomNoise(SEED)[0], guider, sampler, sigmas, latent)
        roles = [roles for _, roles in guarded_roles(trace)]
        assert roles == [{"filtered"}] * count + [{"original"}] * (steps - count)


def test_t_prime_counts_in_the_steps_of_a_schedule_that_starts_midway(
    pack, comfy_nodes, custom, small, swapped, empty, picture
):
    whole = custom.BasicScheduler(small, "normal", 2 * STEPS, 1.0)[0]
    late = custom.SplitSigmas(whole, STEPS)[1]
    sampler = custom.KSamplerSelect("euler")[0]
    trace = Trace()
    model = pack.SelfValidationPatch.execute(trace.attach(small), "share", -1)[0]
    guider = custom.CFGGuider(model, swapped, empty, 4.0)[0]
    custom.SamplerCustomAdvanced(custom.DisableNoise()[0], guider, sampler, late, picture)
    assert trace.sigmas == late.tolist()
    assert_switched(trace, FILTERED)

    trace = Trace()
    model = pack.SelfValidationPatch.execute(trace.attach(small), "share", -1)[0]
    names = ("noise_seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative", "latent_image")
    settings = dict(zip(names, (SEED, 2 * STEPS, 4.0, "euler", "normal", swapped, empty, picture), strict=True))
    comfy_nodes.KSamplerAdvanced().sample(
        model, "disable", **settings, start_at_step=STEPS, end_at_step=10_000, return_with_leftover_noise="disable"
    )
    assert trace.sigmas == late.tolist()
    assert_switched(trace, FILTERED)


@pytest.mark.parametrize("masked", [False, True], ids=["img2img", "inpainting"])
def test_a_picture_is_drawn_over_with_the_filter_on_for_exactly_the_steps(
    pack, comfy_nodes, small, swapped, cat, pistol, empty, picture, masked
):
    if masked:
        picture["noise_mask"] = torch.zeros(1, 64, 64)
        picture["noise_mask"][:, :, :32] = 1
    settings = {"model": small, "seed": SEED, "steps": STEPS, "cfg": 4.0, "sampler_name": "euler_ancestral"}
    settings |= {"scheduler": "normal", "negative": empty, "latent_image": picture, "denoise": 0.6}

    def ours(filtered: int, model=small) -> torch.Tensor:
        arguments = {**settings, "model": model, "positive": swapped}
        return pack.SelfValidatingSampler.execute("share", filtered, **arguments)[0]["samples"]

    def stock(positive) -> torch.Tensor:
        return comfy_nodes.KSampler().sample(**settings, positive=positive)[0]["samples"]

    trace = Trace()
    half = ours(-1, trace.attach(small))
    assert_switched(trace, FILTERED)
    assert torch.equal(ours(STEPS), stock(cat))
    assert torch.equal(ours(0), stock(pistol))
    assert not torch.equal(half, stock(cat))
    assert not torch.equal(half, stock(pistol))
    if masked:
        torch.testing.assert_close(half[..., 4:], picture["samples"][..., 4:])  # what the mask protects
        assert not torch.allclose(half[..., :4], picture["samples"][..., :4], atol=0.1)
