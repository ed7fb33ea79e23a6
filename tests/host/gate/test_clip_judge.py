"""The zero-shot judge on a small CLIP of the tiny world (`bench tiny-clip`), in ComfyUI's own CLIP_VISION."""

from __future__ import annotations

import random

import pytest
import torch

from bench.world import composed, tiny_clip
from bench.world.prompts import World

WEAPONS = ("knife", "dagger", "swords", "bomb", "axe", "pistol", "bow")


@pytest.fixture(scope="module")
def small(clip):
    return tiny_clip.load(clip)


def pictures(names, count: int, seed: int) -> torch.Tensor:
    chance = random.Random(seed)
    drawn = [composed.compose((names[n % len(names)],), chance) for n in range(count)]
    return torch.stack(drawn).movedim(1, -1)


@pytest.fixture(scope="module")
def harmless(pack):
    return [name for name in tiny_clip.learned(pack) if name not in World().families["weapon"]]


@pytest.fixture(scope="module")
def judge(pack, small, weapons, harmless):
    module = pack.host.gate.judges.zero_shot
    return module.ZeroShotJudge(*small, (weapons,), pictures(harmless, 100, 1), 0.02)


def test_a_concept_written_for_prompts_finds_its_pictures_at_about_the_stated_rate(judge, harmless):
    shown = judge.judge(pictures(WEAPONS, 70, 2))
    clean = judge.judge(pictures(harmless, 200, 3))
    found, wrong = (sum(one.found for one in group) / len(group) for group in (shown, clean))
    print(f"found {found:.2f}, wrongly {wrong:.3f}")
    assert found >= 0.75
    assert wrong <= 0.06


def test_the_node_makes_a_judge_that_the_gate_takes(pack, small, weapons, harmless):
    usual = pictures(harmless, 40, 1)
    (judges,) = pack.nodes.safety_judges.ClipSafetyJudge.execute(*small, (weapons,), usual, 0.05).args
    done = pack.nodes.safety_gate.SafetyGate.execute(usual[:8], judges, "blur", "any", 12, False, 0.2, 1, 0)
    assert done.args[0].shape == usual[:8].shape


@pytest.mark.fault("a picture encoder and a text encoder of two CLIPs", "SafreeError names both widths")
def test_encoders_of_two_clips_are_an_error(pack, small, weapons, harmless):
    class Other:
        def encode_image(self, images):
            return {"image_embeds": torch.rand(len(images), 1024)}

    with pytest.raises(pack.safree.SafreeError, match=r"embeds in 1024 dimensions, this CLIP has 'l' \(768\)"):
        pack.host.gate.judges.zero_shot.ZeroShotJudge(Other(), small[1], (weapons,), pictures(harmless, 20, 1))


@pytest.mark.fault("a checkpoint's text encoder without projection as a judge", "SafreeError says what is missing")
def test_a_text_encoder_without_projection_is_an_error(pack, small, clip, weapons, harmless):
    """ComfyUI leaves the projection that a file lacks as it finds the memory: zeros, as a rule."""
    lacking = clip.clone()
    lacking.add_patches({"clip_l.transformer.text_projection.weight": (torch.zeros(768, 768),)}, 1.0, 0.0)
    with pytest.raises(pack.safree.SafreeError, match="its text projection is missing"):
        pack.host.gate.judges.zero_shot.ZeroShotJudge(small[0], lacking, (weapons,), pictures(harmless, 20, 1))


@pytest.mark.fault("fewer than 16 everyday pictures", "SafreeError asks for more")
def test_too_few_everyday_pictures_are_an_error(pack, small, weapons, harmless):
    with pytest.raises(pack.safree.SafreeError, match="there are 5 everyday pictures"):
        pack.host.gate.judges.zero_shot.ZeroShotJudge(*small, (weapons,), pictures(harmless, 5, 1))


def test_a_picture_encoder_that_gives_nan_is_an_error(pack, small, weapons, harmless):
    class Broken:
        def encode_image(self, images):
            return {"image_embeds": torch.full((len(images), 768), torch.nan)}

    with pytest.raises(pack.safree.SafreeError, match="picture encoder returned NaN"):
        pack.host.gate.judges.zero_shot.ZeroShotJudge(Broken(), small[1], (weapons,), pictures(harmless, 20, 1))
