"""The latent guard on a tiny SD3: through the joint blocks, beside other patches of theirs, learned and refused."""

from __future__ import annotations

import dataclasses

import pytest
import tiny_families
import torch
from tracing import sample

STEPS = 3


@pytest.fixture(scope="module")
def sd3(comfy_nodes):
    """(model, clip)"""
    family = tiny_families.FAMILIES["SD3, SD3.5"]
    return family.diffusion_model(), family.text.clip("")


@pytest.fixture(scope="module")
def learned(pack, sd3):
    """What a random model draws means nothing: this shows that it can be learned, saved and read."""
    settings = pack.host.latent.learn_presence.PictureSettings(pictures=16, steps=2, width=64, height=64, batch=16)
    return pack.host.latent.learn_presence.learn(
        *sd3, pack.safree.subspace.ConceptSubspace("star", ("a star",), {}), settings
    )


@pytest.fixture
def always(learned):
    return dataclasses.replace(learned, clean=torch.full_like(learned.clean, -1e3))


@pytest.fixture
def never(learned):
    return dataclasses.replace(learned, clean=torch.full_like(learned.clean, 1e3))


@pytest.fixture
def run(comfy_nodes, sd3):
    empty = sd3[1].encode_from_tokens_scheduled(sd3[1].tokenize(""))

    def run(model):
        return sample(comfy_nodes, model, empty, empty, {"samples": torch.zeros(1, 16, 8, 6)}, steps=STEPS)

    return run


def test_it_is_learned_from_the_joint_blocks(learned):
    assert [set(probes) for probes in learned.probes] == [{0}, {0}]
    assert len(learned.probes[0][0].weight) == 64


def test_a_picture_without_the_concept_is_not_changed_bit_for_bit(pack, sd3, run, never):
    assert torch.equal(run(pack.host.latent.latent_guard.patch(sd3[0], (never,))), run(sd3[0]))


def test_once_found_the_concept_is_damped_where_it_stands(pack, sd3, run, always):
    latent_guard, runs = pack.host.latent.latent_guard, []
    settings = latent_guard.guard_of(latent_guard.patch(sd3[0], (always,)))
    assert not torch.equal(run(latent_guard.guarded_by(sd3[0], settings, runs.append)), run(sd3[0]))
    (seen,) = runs[-1]
    assert (seen["found_at"], seen["damped"], len(seen["steps"])) == (1, STEPS - 1, STEPS)
    assert (len(seen["map"]), len(seen["map"][0])) == (4, 3)  # tokens of 2 x 2 latent pixels


def test_a_patch_of_the_same_block_that_is_there_already_runs_too(pack, sd3, run, always):
    calls = []

    def counted(arguments, extra):
        calls.append(1)
        return extra["original_block"](arguments)

    other = sd3[0].clone()
    other.set_model_patch_replace(counted, "dit", "double_block", 0)
    alone = pack.host.latent.latent_guard.patch(sd3[0], (always,))
    assert torch.equal(run(pack.host.latent.latent_guard.patch(other, (always,))), run(alone))
    assert len(calls) >= STEPS


def test_a_finished_latent_is_looked_at(pack, sd3, always, never):
    latent = {"samples": torch.randn(2, 16, 8, 6)}
    look = pack.host.latent.latent_look.look
    assert [part["found"] for concept in (always, never) for part in look(sd3[0], (concept,), latent)] == [
        *(True, True),
        *(False, False),
    ]


def test_a_presence_of_a_unet_is_refused(pack, sd3, learned):
    probe = learned.probes[0][0]
    other = dataclasses.replace(learned, probes=({0: probe, 1: probe},) * 2)
    with pytest.raises(pack.safree.SafreeError, match="learned with another kind of model"):
        pack.host.latent.latent_guard.patch(sd3[0], (other,))
