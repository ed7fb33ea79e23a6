"""Weights of half precision, as most checkpoints have them: the guard flags the same words, and stays exact."""

from __future__ import annotations

import json

import pytest
import torch
from tracing import encode, sample

from bench.world.studio import skip_identity_layers
from dev import setup_host

DTYPES = [torch.float16, torch.bfloat16]
PHRASES = ("pistol", "gun", "sword", "knife")
HARMLESS = ("a cat and a dog", "a (house:1.3) and a tree")
DANGEROUS = ("a cat and a pistol", "a (pistol:1.4) and a cake")
CFG = 5.0


@pytest.fixture(scope="module", params=DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def half(request, comfy_nodes):
    """(model, clip) of the tiny checkpoint with text encoder and UNet in this dtype."""
    import comfy.sd

    path = setup_host.base() / "models" / "checkpoints" / setup_host.CHECKPOINT
    options = {"dtype": request.param}
    model, clip, *_ = comfy.sd.load_checkpoint_guess_config(
        str(path), output_vae=False, model_options=options, te_model_options=options
    )
    assert model.model.diffusion_model.input_blocks[0][0].weight.dtype == request.param
    weights = dict(clip.cond_stage_model.named_parameters())
    assert {value.dtype for key, value in weights.items() if key.endswith("q_proj.weight")} == {request.param}
    skip_identity_layers(clip)  # half precision is slow on a CPU, and the encoder is calibrated anew
    return model, clip


@pytest.fixture(scope="module")
def own(pack, half):
    """Subspace built with the half-precision encoder."""
    return pack.host.prompt.subspaces.build_subspace(half[1], "weapons", PHRASES)


@pytest.fixture(scope="module")
def whole(pack, clip):
    """Subspace built with the full-precision encoder."""
    return pack.host.prompt.subspaces.build_subspace(clip, "weapons", PHRASES)


@pytest.fixture(scope="module")
def guard(pack, half):
    done = {}

    def guard(text, subspace, mode="adaptive", strength=1.0, clip=half[1]):
        key = (text, id(subspace), mode, strength, id(clip))
        if key not in done:
            args = pack.SafreeConditioning.execute(clip, (subspace,), text, mode, strength, 0.0, "auto").args
            done[key] = args[0], json.loads(args[1])
        return done[key]

    return guard


def flagged(report: dict) -> list[str]:
    return [token["text"] for token in report["tokens"] if token["flagged"]]


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_prompt_passes_bit_for_bit_at_the_automatic_threshold(guard, half, own, text):
    conditioning, report = guard(text, own)
    (tensor, options), (tensor0, options0) = conditioning[0], encode(half[1], text)[0]
    assert flagged(report) == []
    assert torch.equal(tensor, tensor0)
    assert torch.equal(options["pooled_output"], options0["pooled_output"])


@pytest.mark.parametrize("text", DANGEROUS)
def test_the_words_flagged_are_those_of_the_full_precision_encoder(guard, own, clip, whole, text):
    conditioning, report = guard(text, own)
    assert flagged(report) == flagged(guard(text, whole, clip=clip)[1]) != []
    assert conditioning[0][0].isfinite().all()


@pytest.mark.parametrize("mode", ["adaptive", "paper", "reference"])
def test_strength_zero_is_bit_identical(guard, half, own, mode):
    conditioning, _ = guard(DANGEROUS[0], own, mode, strength=0.0)
    assert torch.equal(conditioning[0][0], encode(half[1], DANGEROUS[0])[0][0])


def test_a_projective_mode_stays_finite_and_changes_the_flagged_tokens(guard, half, own):
    conditioning, report = guard(DANGEROUS[0], own, "paper")
    assert "pistol" in flagged(report)
    assert conditioning[0][0].isfinite().all()
    assert not torch.equal(conditioning[0][0], encode(half[1], DANGEROUS[0])[0][0])


def test_a_subspace_of_full_precision_fits_the_half_precision_encoder(guard, whole):
    assert flagged(guard(DANGEROUS[0], whole)[1]) == ["pistol"]


def test_nothing_flagged_gives_the_stock_picture_bit_for_bit(comfy_nodes, guard, half, own, latent):
    model, clip = half
    settings = {"latent": latent, "steps": 2, "cfg": CFG}
    empty = encode(clip, "")
    ours = sample(comfy_nodes, model, guard(HARMLESS[0], own)[0], empty, **settings)
    assert torch.equal(ours, sample(comfy_nodes, model, encode(clip, HARMLESS[0]), empty, **settings))


def test_the_self_validated_steps_are_exact_and_the_picture_another(pack, comfy_nodes, guard, half, own, latent):
    model, clip = half
    positive, empty = guard(DANGEROUS[0], own)[0], encode(clip, "")
    done, report = pack.SelfValidatingSampler.execute(
        "share",
        2,
        model=model,
        seed=1,
        steps=4,
        cfg=CFG,
        sampler_name="euler",
        scheduler="normal",
        positive=positive,
        negative=empty,
        latent_image=latent,
        denoise=1.0,
    ).args
    assert json.loads(report)["filtered_steps"] == [2]
    assert done["samples"].isfinite().all()
    stock = sample(comfy_nodes, model, encode(clip, DANGEROUS[0]), empty, latent, steps=4, cfg=CFG)
    assert not torch.equal(done["samples"], stock)


def test_re_attention_stays_finite_and_at_strength_zero_bit_identical(pack, comfy_nodes, guard, half, own, latent):
    model, clip = half
    positive, empty = guard(DANGEROUS[0], own)[0], encode(clip, "")
    settings = {"positive": positive, "negative": empty, "latent": latent, "steps": 2, "cfg": CFG}
    plain = sample(comfy_nodes, model, **settings)
    off = pack.ReAttentionPatch.execute(model, strength=0.0, deep_scale=0.9, shallow_scale=0.2, radius=0.0).args[0]
    assert torch.equal(sample(comfy_nodes, off, **settings), plain)
    on = pack.ReAttentionPatch.execute(model, strength=1.0, deep_scale=0.5, shallow_scale=0.1, radius=0.0).args[0]
    picture = sample(comfy_nodes, on, **settings)
    assert picture.isfinite().all()
    assert not torch.equal(picture, plain)
