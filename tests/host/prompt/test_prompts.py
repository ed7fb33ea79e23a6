"""Prompts as users really write them, on the tiny checkpoint: long, with embeddings, LoRA, hooks, any script."""

from __future__ import annotations

import importlib

import pytest
import tiny_families
import tiny_models
import torch
from safetensors.torch import save_file
from tracing import encode, outputs, sample

from dev import setup_host

PISTOL, NEUTRAL = 20480, 0  # token ids of CLIP
MODELS = setup_host.base() / "models"


@pytest.fixture
def guard(pack, clip, weapons):
    """Guard a prompt: (CONDITIONING, report)."""

    def guard(text, clip=clip, **settings):
        settings = pack.host.prompt.findings.Settings(**settings)
        return outputs(pack.host.prompt.guard.guard_prompt(clip, text, (weapons,), settings))

    return guard


@pytest.fixture
def model_file():
    """A function that writes tensors into a model folder of the host; the files go when the test ends."""
    written = []

    def write(folder: str, name: str, tensors: dict[str, torch.Tensor]) -> str:
        path = MODELS / folder / f"safree_test_{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
        written.append(path)
        return path.name

    yield write
    for path in written:
        path.unlink()


@pytest.fixture
def lora(model_file) -> str:
    """File name of a LoRA that changes the text encoder's trained layers."""
    generator, tensors = torch.Generator().manual_seed(3), {}
    for layer in (0, 1):
        key = f"lora_te_text_model_encoder_layers_{layer}_self_attn_v_proj"
        tensors[f"{key}.lora_up.weight"] = 0.05 * torch.randn(768, 2, generator=generator)
        tensors[f"{key}.lora_down.weight"] = 0.05 * torch.randn(2, 768, generator=generator)
    return model_file("loras", "lora", tensors)


def flagged(report: dict) -> set[str]:
    return {token["text"] for token in report["tokens"] if token["flagged"]}


def ids_of(clip, words: set[str]) -> set[int]:
    return {token[0] for word in words for token in clip.tokenize(word)["l"][0]} - {49406, 49407}


def without(clip, text: str, *ids: int):
    """Stock CONDITIONING of `text` with every token of `ids`, and every embedding, replaced by the neutral token."""

    def clean(token):
        return (NEUTRAL, 1.0) if torch.is_tensor(token[0]) or token[0] in ids else token

    return clip.encode_from_tokens_scheduled({"l": [[clean(t) for t in c] for c in clip.tokenize(text)["l"]]})


def same(conditioning, other) -> bool:
    return len(conditioning) == len(other) and all(
        torch.equal(a, b) and torch.equal(oa["pooled_output"], ob["pooled_output"])
        for (a, oa), (b, ob) in zip(conditioning, other, strict=True)
    )


@pytest.mark.parametrize("token", [3, 100])
def test_a_concept_is_taken_out_of_token_100_as_well_as_of_token_3(guard, clip, token):
    text = " ".join([*("a cat " * 50).split()[:token], "pistol and a dog"])
    chunk, position = divmod(token, 75)
    assert clip.tokenize(text)["l"][chunk][1 + position][0] == PISTOL
    conditioning, report = guard(text)
    assert "pistol" in flagged(report)
    assert same(conditioning, without(clip, text, *ids_of(clip, flagged(report))))


def vectors(clip, word: str) -> torch.Tensor:
    """Token embeddings [n, 768] of a word."""
    table = clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight
    return table[[t[0] for t in clip.tokenize(word)["l"][0] if t[0] < 49406]].clone()


def test_a_harmless_embedding_passes_bit_for_bit(guard, clip, model_file):
    name = model_file("embeddings", "cat", {"emb_params": vectors(clip, "cat")})
    conditioning, report = guard(f"a embedding:{name} and a dog")
    assert [token["text"] for token in report["tokens"]] == ["a", "[embedding]", "and", "a", "dog"]
    assert flagged(report) == set()
    assert same(conditioning, encode(clip, f"a embedding:{name} and a dog"))


def test_an_embedding_that_carries_the_concept_is_taken_out(guard, clip, model_file):
    name = model_file("embeddings", "pistol", {"emb_params": vectors(clip, "pistol")})
    text = f"a cat and a embedding:{name}"
    conditioning, report = guard(text)
    assert flagged(report) == {"[embedding]"}
    assert same(conditioning, without(clip, text))


def test_a_harmless_embedding_beside_a_harmful_one_stays(guard, clip, model_file):
    cat = model_file("embeddings", "cat", {"emb_params": vectors(clip, "cat")})
    pistol = model_file("embeddings", "pistol", {"emb_params": vectors(clip, "pistol")})
    _, report = guard(f"a embedding:{cat} and a embedding:{pistol}")
    assert [token["flagged"] for token in report["tokens"] if token["text"] == "[embedding]"] == [False, True]


def test_an_embedding_of_another_width_is_an_error(pack, guard, model_file):
    name = model_file("embeddings", "wide", {"emb_params": torch.ones(1, 1024)})
    with pytest.raises(pack.safree.SafreeError, match=r"is 1024 wide, the text encoders of this CLIP take 768 \('l'\)"):
        guard(f"a cat and a embedding:{name}")


def test_a_lora_on_the_text_encoder_is_encoded_and_guarded(comfy_nodes, guard, clip, model, lora):
    before = encode(clip, "a cat and a pistol")
    _, changed = comfy_nodes.LoraLoader().load_lora(model, clip, lora, 0.0, 1.0)
    assert not same(before, encode(changed, "a cat and a pistol"))
    conditioning, report = guard("a cat", clip=changed)
    assert flagged(report) == set()
    assert same(conditioning, encode(changed, "a cat"))
    conditioning, report = guard("a cat and a pistol", clip=changed)
    assert flagged(report) == {"pistol"}
    assert same(conditioning, without(changed, "a cat and a pistol", PISTOL))
    assert same(before, encode(clip, "a cat and a pistol"))


def test_clip_skip_is_guarded_by_a_subspace_built_with_it(pack, comfy_nodes, little_vocabulary_here):
    clip = tiny_families.FAMILIES["SD1.x"].text.clip()
    tiny_models.plant_words(*pack.host.text.encoders.encoders(clip))
    (skipping,) = comfy_nodes.CLIPSetLastLayer().set_last_layer(clip, -2)
    (subspaces,) = pack.ConceptSubspace.execute(skipping, "(phrases only)", "pistol", 1.0).result
    text = "a cat and a pistol"
    conditioning, report = outputs(
        pack.host.prompt.guard.guard_prompt(skipping, text, subspaces, pack.host.prompt.findings.Settings())
    )
    assert flagged(report) == {"pistol"}
    assert same(conditioning, without(skipping, text, PISTOL))
    assert not same(conditioning, without(clip, text, PISTOL))


@pytest.fixture
def hooked(clip, lora):
    """A function: a clip with a LoRA as a hook, from none of it to all of it over the steps; scheduled or not."""
    hooks = importlib.import_module("comfy_extras.nodes_hooks")
    (group,) = hooks.CreateHookLora().create_hook(lora, 0.0, 1.0)
    (late,) = hooks.CreateHookKeyframe().create_hook_keyframe(0.0, 0.5)
    (frames,) = hooks.CreateHookKeyframe().create_hook_keyframe(1.0, 0.0, late)

    def hooked(scheduled: bool, frames=frames):
        (changed,) = hooks.SetHookKeyframes().set_hook_keyframes(group, frames) if frames else (group,)
        return hooks.SetClipHooks().apply_hooks(clip, scheduled, True, changed)[0]

    return hooked


@pytest.mark.fault("a text encoder whose weights change over the steps", "a clear error")
def test_a_clip_whose_weights_change_over_the_steps_is_refused(pack, guard, hooked, weapons):
    with pytest.raises(pack.safree.SafreeError, match=r"weights of this CLIP change over the steps.*schedule_clip off"):
        guard("a cat", clip=hooked(True))
    with pytest.raises(pack.safree.SafreeError, match="change over the steps"):
        pack.host.prompt.subspaces.build_subspace(hooked(True), "weapons", weapons.phrases)


@pytest.mark.parametrize("scheduled", [False, True])
def test_hooks_in_one_state_keep_their_parts(comfy_nodes, guard, clip, hooked, scheduled):
    hooked = hooked(True, None) if scheduled else hooked(False)
    before = encode(clip, "a cat")
    (stock,) = comfy_nodes.CLIPTextEncode().encode(hooked, "a cat")
    assert len(stock) == 1
    conditioning, report = guard("a cat", clip=hooked)
    assert flagged(report) == set()
    assert same(conditioning, stock)
    conditioning, report = guard("a cat and a pistol", clip=hooked)
    assert flagged(report) == {"pistol"}
    expected = without(hooked, "a cat and a pistol", PISTOL)
    assert same(conditioning, expected)
    for (_, options), (_, wanted) in zip(conditioning, expected, strict=True):
        assert options["hooks"] is wanted["hooks"]
        assert [options.get(f"clip_{end}_percent") for end in ("start", "end")] == [
            wanted.get(f"clip_{end}_percent") for end in ("start", "end")
        ]
    assert same(before, encode(clip, "a cat"))  # the hooks do not leak into the clip


@pytest.mark.parametrize("text", ["", "一只猫和一条狗", "قطة 🐈‍⬛ बिल्ली", "e\u0301\u200d\u202e\ufeff\x07 🏳️‍🌈"])
def test_any_script_passes_unchanged_where_nothing_is_flagged(guard, clip, text):
    # The tiny encoder knows none of these words, so what it scores is noise: only the passage is tested.
    conditioning, report = guard(text, threshold=0.999)
    assert len(report["tokens"]) >= len(text.split())
    assert flagged(report) == set()
    assert same(conditioning, encode(clip, text))


def test_a_word_is_found_between_other_scripts(guard, clip):
    text = "一只猫 pistol"
    conditioning, report = guard(text)
    assert "pistol" in flagged(report)
    assert same(conditioning, without(clip, text, *ids_of(clip, flagged(report))))


def test_a_prompt_of_10000_characters_is_encoded_in_small_batches(
    pack, comfy_nodes, little_vocabulary_here, monkeypatch
):
    clip = tiny_families.FAMILIES["SD1.x"].text.clip()
    (encoder,) = pack.host.text.encoders.encoders(clip)
    tiny_models.plant_words(encoder)
    subspace = pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
    text = "a cat " * 1666 + "pistol"
    assert len(text) > 10_000
    sizes, run = [], type(encoder.model).forward
    monkeypatch.setattr(
        type(encoder.model), "forward", lambda self, tokens: (sizes.append(len(tokens)), run(self, tokens))[1]
    )
    tokens = clip.tokenize(text)["l"]
    conditioning, report = outputs(
        pack.host.prompt.guard.guard_prompt(clip, text, (subspace,), pack.host.prompt.findings.Settings())
    )
    assert flagged(report) == {"pistol"}
    assert conditioning[0][0].shape[1] == 77 * len(tokens)
    whole = [size for size in sizes if size >= len(tokens)]  # the host's own encoding, of all chunks at once
    assert len(whole) == 2
    assert (
        max(size for size in sizes if size < len(tokens)) <= pack.host.text.encoding.CPU_TOKENS // 3
    )  # of 3 tokens each


def test_a_batch_of_latents_is_guarded_in_every_row(comfy_nodes, pack, guard, clip, model, empty):
    conditioning, _ = guard("a cat and a pistol")
    stock = encode(clip, "a cat and a pistol")
    patched = pack.host.sampling.run.self_validating(model, pack.host.sampling.switching.Switch())

    def latents(count: int, run, positive) -> torch.Tensor:
        return sample(comfy_nodes, run, positive, empty, {"samples": torch.zeros(count, 4, 8, 8)}, steps=2)

    guarded, unguarded = latents(3, patched, conditioning), latents(3, model, stock)
    for row in range(3):
        assert not torch.allclose(guarded[row], unguarded[row], atol=1e-2)
    torch.testing.assert_close(guarded[:1], latents(1, patched, conditioning), atol=1e-3, rtol=1e-3)
