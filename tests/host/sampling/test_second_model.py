"""SelfValidatingSampler with two models and one schedule (Wan 2.2): t' counts, and a latent guard's track goes on."""

from __future__ import annotations

import json

import pytest
import torch
from tracing import SEED

STEPS = 10
BOUNDARY = 2.0  # a sigma of SD1.x; 4 of 10 steps of 'normal' begin above it


@pytest.fixture(scope="module")
def other(model):
    """A model that differs from the first in its weights, as the one for little noise does."""
    other = model.clone()
    (key,) = [key for key in model.model.state_dict() if key == "diffusion_model.out.2.weight"]
    other.add_patches({key: ("diff", (0.1 * model.model.state_dict()[key].clone(),))})
    return other


@pytest.fixture
def sample(pack, empty, latent):
    """(model, second model, positive) -> (samples, report)."""

    def sample(model, second, positive, boundary=BOUNDARY, on_problem="warn", denoise=1.0, latent=latent):
        if second is not None:
            second = pack.host.sampling.two_models.Second(second, boundary)
        settings = (SEED, STEPS, 4.0, "euler", "normal", positive, empty, latent, denoise)
        switch = pack.host.sampling.switching.Switch(on_problem=on_problem)
        out, report = pack.host.sampling.run.sample(switch, model, *settings, second)
        return out["samples"], report.data()

    return sample


@pytest.fixture
def guard(pack, empty):
    """(model, whether every picture counts as showing 'star') -> a model with LatentGuardPatch."""
    probes, draw = pack.safree.presence, torch.Generator().manual_seed(1)

    def probe(width):
        weight = torch.randn(width, generator=draw) / 10
        return probes.Probe(weight, -5.0, weight / (weight @ weight))

    levels = tuple({block: probe(width) for block, width in enumerate((640, 640, 640, 320))} for _ in range(2))

    def guard(model, shows: bool, name="star"):
        measured = torch.full((2, 2, 16), -1e3 if shows else 1e3)
        concept = probes.ConceptPresence(name, (), (14.0, 0.5), levels, measured, measured, empty[0][0])
        return pack.host.latent.latent_guard.patch(model, (concept,), 0.2)

    return guard


def test_one_model_twice_draws_what_it_draws_alone(sample, model, swapped):
    (twice, both), (once, alone) = sample(model, model, swapped), sample(model, None, swapped)
    torch.testing.assert_close(twice, once, atol=1e-4, rtol=1e-4)
    assert (both["filtered_steps"], both["steps"]) == (alone["filtered_steps"], alone["steps"]) == ([4], STEPS)


def test_the_second_model_draws_the_steps_below_the_boundary(pack, sample, model, other, cat):
    sigmas = pack.host.sampling.two_models.whole_schedule(model, STEPS, "euler", "normal", 1.0)
    assert pack.host.sampling.two_models.steps_of_first(sigmas, BOUNDARY) == int((sigmas[:-1] >= BOUNDARY).sum()) == 4
    guarded = pack.host.conditioning.entries.guarded(cat, cat, share=1.0, steps=50.0)
    pictures = [sample(*models, guarded)[0] for models in ((model, other), (model, None), (other, None))]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_what_the_first_sees_the_second_damps_from_its_first_step_on(sample, model, other, guard, guarded):
    shown, report = sample(guard(model, True), guard(other, False), guarded)
    (seen,) = report["presence"]
    assert (len(seen["steps"]), seen["found_at"], seen["damped"]) == (STEPS, 1, STEPS - 1)
    alone, _ = sample(guard(model, False), guard(other, False), guarded)
    assert not torch.equal(shown, alone)


def test_the_second_counts_its_steps_after_those_of_the_first(sample, model, other, guard, guarded):
    _, report = sample(guard(model, False), guard(other, True), guarded)
    (seen,) = report["presence"]
    assert (len(seen["steps"]), seen["found_at"], seen["damped"]) == (STEPS, 5, STEPS - 5)


def test_where_nothing_shows_both_draw_bit_for_bit_what_they_drew(sample, model, other, guard, guarded):
    plain, _ = sample(model, other, guarded)
    watched, report = sample(guard(model, False), guard(other, False), guarded)
    assert torch.equal(plain, watched)
    assert report["presence"][0]["found_at"] is None


def test_again_samples_both_parts_once_more(sample, model, other, guard, guarded):
    once, _ = sample(guard(model, True), guard(other, True), guarded)
    twice, report = sample(guard(model, True), guard(other, True), guarded, on_problem="again")
    assert not torch.equal(once, twice)
    assert "once more" in report["notes"][-1]
    assert report["filtered_steps"] == [STEPS]


def test_a_guard_on_one_of_the_two_is_refused(pack, sample, model, other, guard, guarded):
    for first, second in ((guard(model, True), other), (model, guard(other, True))):
        with pytest.raises(pack.safree.SafreeError, match="star is watched for on one of the two models alone"):
            sample(first, second, guarded)
    with pytest.raises(pack.safree.SafreeError, match="moon, star is watched for on one"):
        sample(guard(model, True), guard(other, True, "moon"), guarded)


def test_a_boundary_that_leaves_the_second_nothing_is_refused(pack, sample, model, other, guarded):
    with pytest.raises(pack.safree.SafreeError, match="the second model has no step to draw: all 10"):
        sample(model, other, guarded, boundary=1e-3)
    with pytest.raises(pack.safree.SafreeError, match=r"boundary is 0\. It is a noise level above 0"):
        sample(model, other, guarded, boundary=0.0)


def test_a_run_that_starts_below_the_boundary_is_the_seconds_alone(sample, model, other, guarded):
    picture = {"samples": sample(other, None, guarded)[0]}
    part, report = sample(model, other, guarded, denoise=0.3, latent=picture)
    alone, _ = sample(other, None, guarded, denoise=0.3, latent=picture)
    assert torch.equal(part, alone)
    assert "the second model drew all of it" in report["notes"][-1]


def test_the_node_takes_a_second_model(pack, model, other, guarded, empty, latent):
    inputs = {"seed": SEED, "steps": STEPS, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    conds = {"positive": guarded, "negative": empty, "latent_image": latent}
    node = pack.SelfValidatingSampler
    out, report = node.execute("share", -1, model=model, second_model=other, boundary=BOUNDARY, **inputs, **conds).args
    assert json.loads(report)["filtered_steps"] == [STEPS]
    assert out["samples"].isfinite().all()
