"""The gate in the host, behind the tiny checkpoint: pictures with a weapon do not leave, others are not touched."""

from __future__ import annotations

import pytest
import torch
from tracing import encode, sample

from bench.pictures.leaving import DetectorJudge
from bench.world.prompts import World

UNSAFE, SAFE = ("a pistol", "a knife", "an axe"), ("a cat", "a pizza", "a castle")


@pytest.fixture(scope="module")
def drawn(comfy_nodes, clip, model, tiny):
    """Unguarded pictures [6, 128, 128, 3]: three with a weapon, three without."""
    negative, out = encode(clip, ""), []
    for prompt in (*UNSAFE, *SAFE):
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        done = sample(comfy_nodes, model, encode(clip, prompt), negative, latent, steps=10)
        out.append(tiny[2].decode(done))
    return torch.cat(out)


@pytest.fixture(scope="module")
def judge(pack):
    return DetectorJudge(pack.host.gate.judges.judge.Finding, World().concepts()["weapon"])


def seen(judge, images) -> list[bool]:
    return [bool(names & judge.concept.seen_as) for names in judge.detector.see(images.movedim(-1, 1))]


@pytest.mark.parametrize("action", ["blur", "mosaic", "blank"])
def test_what_shows_a_weapon_leaves_without_it_and_the_others_bit_for_bit(pack, drawn, judge, action):
    assert sum(seen(judge, drawn)) >= 2
    node = pack.nodes.safety_gate.SafetyGate
    images, safe, acted_on, _ = node.execute(drawn, (judge,), action, "any", 12, False, 0.2, 1, 0).args
    assert (safe, acted_on >= sum(seen(judge, drawn))) == (False, True)
    assert not any(seen(judge, images))
    assert torch.equal(images[3:], drawn[3:])


def test_the_look_into_the_latent_is_a_judge_of_pictures(pack, model, tiny, drawn):
    from bench.world.detector import ASSETS

    presence = pack.safree.presence_storage.load(ASSETS / "presence_weapon.safetensors")
    (judges,) = pack.nodes.safety_judges.LatentLookJudge.execute(model, tiny[2], (presence,)).args
    found = [finding.found for finding in judges[0].judge(drawn)]
    assert sum(found[:3]) >= 2
    assert sum(found[3:]) <= 1


def test_everyday_pictures_are_drawn_in_their_number_and_size(pack, model, clip, tiny):
    node = pack.nodes.everyday_pictures.EverydayPictures
    (images,) = node.execute(model, clip, tiny[2], 16, 2, 1.0, 64, 64, 8, 0).args
    assert images.shape == (16, 64, 64, 3)
    assert pack.host.gate.everyday_pictures.prompts(4, 0) == pack.host.gate.everyday_pictures.prompts(4, 0)
