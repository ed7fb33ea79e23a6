"""Guarded prompts against the stock text encode node: what passes, what is replaced, and by how much."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tracing import encode, outputs, sample

START, END = 49406, 49407  # ids of CLIP's start and end tokens
MODES = ("adaptive", "paper", "reference")
HARMLESS = {
    "plain": "a cat and a dog",
    "empty": "",
    "weights": "a (cat:1.4) and a [dog]",
    "brackets": "((((a cat))) ] :) (",
    "emoji": "a cat \U0001f408 \u732b",
    "end token": "<|endoftext|> a cat",
    "exclamation": "a cat!!!",
    "two chunks": "a cat " * 40,
}
DANGEROUS = {
    "plain": "a cat and a pistol",
    "weighted up": "a cat and a (pistol:1.5)",
    "brackets": "a cat and ((a [pistol]",
    "behind an end token": "a cat <|endoftext|> pistol",
    "beside emoji": "a cat \U0001f408 pistol \U0001f408",
    "at an exclamation mark": "a cat and a pistol!",
    "upper case": "A CAT AND A PISTOL",
    "in the second chunk": "a cat " * 40 + "and a pistol",
    "said twice": "a pistol, a cat and a pistol",
    "in tags": "a cat <b>pistol</b>",
    "behind a word of many tokens": "x" * 300 + " a cat and a pistol",
}


@pytest.fixture
def guard(pack, clip, weapons):
    """Guard a prompt: (CONDITIONING, report)."""

    def guard(text, subspaces=None, clip=clip, **settings):
        return outputs(
            pack.host.prompt.guard.guard_prompt(
                clip, text, subspaces or (weapons,), pack.host.prompt.findings.Settings(**settings)
            )
        )

    return guard


def assert_same(guarded, stock) -> None:
    """Bit-identical CONDITIONING, but for our mark."""
    assert len(guarded) == len(stock)
    for (tensor, options), (tensor0, options0) in zip(guarded, stock, strict=True):
        assert torch.equal(tensor, tensor0)
        assert {key for key in options if key != "safree"} == set(options0)
        assert torch.equal(options["pooled_output"], options0["pooled_output"])


def ids(clip, text: str) -> list[int]:
    """Token ids of one word, without start, end and padding; the spelled-out end token counts as a word."""
    return [token[0] for token in clip.tokenize(text)["l"][0] if token[0] < START] or [END]


def without(clip, text: str, flagged: list[bool]):
    """Stock CONDITIONING of `text` with '!' (id 0) at weight 1 for the tokens of every word whose number is flagged.

    Words are counted along the prompt's tokens by the report's own texts, whatever chunk they stand in.
    """
    chunks = clip.tokenize(text)["l"]
    inside = [(c, i) for c, chunk in enumerate(chunks) for i in range(1, 76) if any(t[0] != END for t in chunk[i:])]
    assert len(flagged) == len(inside)
    for (c, i), hit in zip(inside, flagged, strict=True):
        if hit:
            chunks[c][i] = (0, 1.0)
    return clip.encode_from_tokens_scheduled({"l": chunks})


def flagged_tokens(clip, report: dict, words: set[str] | None = None) -> list[bool]:
    """For each token of the prompt whether its word is flagged (and one of `words`)."""
    return [
        word["flagged"] and (words is None or word["text"] in words)
        for word in report["tokens"]
        for _ in ids(clip, word["text"])
    ]


@pytest.mark.matrix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", [HARMLESS["weights"], DANGEROUS["weighted up"]])
def test_strength_zero_is_the_stock_encoding_bit_for_bit(guard, clip, mode, text):
    conditioning, report = guard(text, mode=mode, strength=0.0)
    assert_same(conditioning, encode(clip, text))
    assert report["flagged"] == 0
    assert "unchecked" in report["verdict"]


def test_a_subspace_of_strength_zero_is_off(guard, clip, weapons):
    off = dataclasses.replace(weapons, strength=0.0)
    assert_same(guard(DANGEROUS["plain"], (off,))[0], encode(clip, DANGEROUS["plain"]))


@pytest.mark.matrix
@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_nothing_flagged_is_the_stock_encoding_bit_for_bit(guard, clip, text):
    conditioning, report = guard(text, threshold=0.99)
    assert report["flagged"] == 0
    assert_same(conditioning, encode(clip, text))


def test_a_harmless_prompt_passes_at_the_automatic_threshold(guard, clip):
    conditioning, report = guard(HARMLESS["plain"])
    assert report["flagged"] == 0
    assert_same(conditioning, encode(clip, HARMLESS["plain"]))


@pytest.mark.matrix
def test_nothing_flagged_gives_the_stock_picture_bit_for_bit(comfy_nodes, guard, model, clip, empty, latent):
    ours = sample(comfy_nodes, model, guard("a cat")[0], empty, latent, steps=2)
    assert torch.equal(ours, sample(comfy_nodes, model, encode(clip, "a cat"), empty, latent, steps=2))


@pytest.mark.matrix
@pytest.mark.parametrize("text", DANGEROUS.values(), ids=DANGEROUS)
def test_the_flagged_words_and_no_others_are_encoded_as_the_neutral_token(guard, clip, text):
    conditioning, report = guard(text)
    words = [(token["text"].lower(), token["flagged"]) for token in report["tokens"]]
    assert ("pistol", True) in words
    assert ("pistol", False) not in words
    assert_same(conditioning, without(clip, text, flagged_tokens(clip, report)))


def test_in_a_prompt_of_the_tiny_world_only_the_weapon_is_flagged(guard):
    _, report = guard(DANGEROUS["plain"])
    assert [token["text"] for token in report["tokens"] if token["flagged"]] == ["pistol"]


def test_soft_strength_lies_between_the_original_and_the_filtered_encoding(guard, clip):
    text = DANGEROUS["plain"]
    (tensor, options), (original, options0), (filtered, options1) = (
        entries[0] for entries in (guard(text, strength=0.25)[0], encode(clip, text), guard(text)[0])
    )
    torch.testing.assert_close(tensor, torch.lerp(original, filtered, 0.25))
    pooled, pooled0, pooled1 = (o["pooled_output"] for o in (options, options0, options1))
    torch.testing.assert_close(pooled, torch.lerp(pooled0, pooled1, 0.25))


def test_a_concept_of_strength_above_1_goes_past_the_filtered_encoding_at_its_norms(guard, clip, weapons):
    text = DANGEROUS["plain"]
    ((tensor, options),) = guard(text, (dataclasses.replace(weapons, strength=1.5),))[0]
    ((original, options0),), ((filtered, options1),) = encode(clip, text), guard(text)[0]
    pooled, pooled0, pooled1 = (o["pooled_output"] for o in (options, options0, options1))
    for ours, before, after in ((tensor, original, filtered), (pooled, pooled0, pooled1)):
        beyond = after + 0.5 * (after - before)
        torch.testing.assert_close(ours, beyond * after.norm(dim=-1, keepdim=True) / beyond.norm(dim=-1, keepdim=True))
    assert_same(guard("a cat", (dataclasses.replace(weapons, strength=1.5),))[0], encode(clip, "a cat"))


def test_what_a_concept_set_names_for_a_mode_holds_in_that_mode(guard, clip, weapons):
    text = DANGEROUS["plain"]
    half = dataclasses.replace(weapons, defaults={"adaptive": {"strength": 0.5}, "paper": {"threshold": 1.0}})
    weaker = guard(text, (dataclasses.replace(weapons, strength=0.5),))[0]
    assert torch.equal(guard(text, (half,))[0][0][0], weaker[0][0])
    assert guard(text, (half,), mode="paper")[1]["flagged"] == 0
    assert guard(text, mode="paper")[1]["flagged"] > 0
    assert guard(text, (half,), mode="paper", threshold=0.001)[1]["flagged"] > 0  # the node's own goes first
    off = dataclasses.replace(weapons, defaults={"adaptive": {"strength": 0}})
    assert "not active" in guard(text, (off,))[1]["verdict"]


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_two_concepts_are_steered_each_by_its_own_strength(pack, guard, clip, weapons, strength):
    fruit = pack.host.prompt.subspaces.build_subspace(clip, "fruit", ("banana", "apple", "pear"), strength=strength)
    text = "a banana and a pistol"
    conditioning, report = guard(text, (fruit, weapons))
    concepts = {token["text"]: token["concept"] for token in report["tokens"] if token["flagged"]}
    assert concepts == {"banana": "fruit", "pistol": "weapons"}
    neither, no_pistol, no_banana = (
        without(clip, text, flagged_tokens(clip, report, words))[0][0]
        for words in (set(concepts), {"pistol"}, {"banana"})
    )
    wanted = torch.lerp(no_pistol, neither, 0.5)
    if strength > 1:
        wanted = neither + 0.5 * (no_banana - encode(clip, text)[0][0])
        wanted *= neither.norm(dim=-1, keepdim=True) / wanted.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(conditioning[0][0], wanted)


@pytest.mark.matrix
@pytest.mark.parametrize("left_alone", ["a wolf and a pistol", "pistol", "a pistol"])
def test_what_one_concept_leaves_alone_counts_for_no_other(pack, guard, clip, weapons, left_alone):
    text = "a wolf and a pistol"
    beer = pack.host.prompt.subspaces.build_subspace(clip, "beer", ("beer",), 1.0, (left_alone,))
    wanted, _ = guard(text, (weapons,))
    for subspaces in ((weapons, beer), (beer, weapons)):
        conditioning, report = guard(text, subspaces)
        assert {token["text"] for token in report["tokens"] if token["flagged"]} == {"pistol"}
        torch.testing.assert_close(conditioning[0][0], wanted[0][0])


def test_filtered_and_original_share_the_schedule_without_gap_or_overlap(guard):
    (_, filtered), (_, original) = guard(DANGEROUS["plain"], mode="paper")[0]
    assert filtered["clip_start_percent"] == 0.0
    assert 0.1 <= filtered["clip_end_percent"] <= 0.2  # t' of the paper: 5 to 10 of 50 steps
    assert 0 < original["clip_start_percent"] - filtered["clip_end_percent"] < 1e-5
    assert original["clip_end_percent"] == 1.0


def test_the_report_is_plain_data_that_names_concept_words_and_scores(guard):
    _, report = guard(DANGEROUS["plain"])
    assert json.loads(json.dumps(report)) == report
    assert report["concept"] == "weapons"
    assert [token["text"] for token in report["tokens"]] == ["a", "cat", "and", "a", "pistol"]
    for token in report["tokens"]:
        assert token["flagged"] == (token["score"] > token["threshold"])
    assert report["t_prime"] == {"share": 1.0, "steps_of_50": 50.0}


def test_guarding_leaves_the_clip_as_it_was(guard, clip):
    before = encode(clip, "a pistol")[0][0]
    layer = clip.layer_idx
    guard(DANGEROUS["plain"])
    assert clip.layer_idx == layer
    assert torch.equal(encode(clip, "a pistol")[0][0], before)


@pytest.mark.matrix
def test_words_are_encoded_in_the_layer_and_on_the_device_of_the_hosts_own_encoding(guard, clip, monkeypatch):
    """A text encoder that is only partly on the GPU otherwise runs on the CPU, since ComfyUI 0.4.0."""
    kind, settings = type(clip.cond_stage_model.clip_l), set()
    names = ("layer", "layer_idx", "return_projected_pooled", "execution_device")
    run = kind.forward  # `encode` would miss the guard's own rows

    def spy(self, tokens):
        settings.add(tuple(getattr(self, name, None) for name in names))
        return run(self, tokens)

    monkeypatch.setattr(kind, "forward", spy)
    encode(clip, "a cat")
    assert len(settings) == 1
    guard(DANGEROUS["plain"])
    assert len(settings) == 1


@pytest.mark.matrix
@pytest.mark.fault("a subspace of another layer (clip skip)", "refused with the similarity and the fix")
def test_clip_skip_is_respected_and_its_subspace_kept_apart(pack, guard, clip, weapons):
    skipping = clip.clone()
    skipping.clip_layer(-12)  # the tiny encoder's layers 3 to 12 are identities: fewer skipped ones change nothing
    assert_same(guard("a cat", clip=skipping, strength=0.0)[0], encode(skipping, "a cat"))
    with pytest.raises(pack.safree.SafreeError, match=r"clip skip.*Rebuild it"):
        guard("a cat", clip=skipping)


@pytest.mark.fault("a subspace of another text encoder", "refused with both widths")
def test_a_subspace_of_another_width_is_refused(pack, guard, weapons):
    space = weapons["l"]
    narrow = type(space)(space.concepts[:, :64], space.common[:, :64], space.probe[:64], space.retain[:, :64])
    with pytest.raises(pack.safree.SafreeError, match=r"width 64.*width 768.*Rebuild it"):
        guard("a cat", (dataclasses.replace(weapons, encoders={"l": narrow}),))


@pytest.mark.fault("NaN in the text encoder", "refused, the encoder is named")
def test_nan_weights_of_the_text_encoder_are_named(pack, guard, clip):
    weight = clip.cond_stage_model.clip_l.transformer.text_model.final_layer_norm.weight
    kept = weight.data[0].clone()
    try:
        weight.data[0] = torch.nan
        with pytest.raises(pack.safree.SafreeError, match=r"'l' returned NaN or infinity.*fp32-text-enc"):
            guard("a cat")
    finally:
        weight.data[0] = kept


@pytest.mark.fault("no CLIP, no subspace, white space, unknown mode", "refused with node, cause and fix")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": None}, "no CLIP is connected"),
        ({"subspaces": ()}, "no concept subspace is connected"),
        ({"text": " \n\t "}, "only white space"),
        ({"mode": "magic"}, "mode 'magic' is unknown.*adaptive, paper, reference"),
        ({"mode": None}, "mode None is unknown"),
        ({"self_validation": "never"}, "self_validation 'never' is unknown.*auto, whole schedule"),
    ],
)
def test_the_node_refuses_bad_input_by_name_cause_and_fix(pack, clip, weapons, changes, message):
    inputs = {
        "clip": clip,
        "subspaces": (weapons,),
        "text": "a cat",
        "mode": "adaptive",
        "strength": 1.0,
        "threshold": 0.0,
        "self_validation": "auto",
    }
    with pytest.raises(pack.safree.SafreeError, match=f"^SafreeConditioning: .*{message}"):
        pack.nodes.safree_conditioning.SafreeConditioning.execute(**{**inputs, **changes})


@pytest.mark.parametrize(
    "text", ["a wolf and a (water:0) pistol", "a wolf and a (water:0.4) pistol", "(water:0.9) (gun:1.9)"]
)
def test_a_word_of_little_weight_makes_no_harmless_compound(guard, text):
    """A water pistol is harmless; with the water taken out of the encoding it is a pistol."""
    assert {"pistol", "gun"} & {token["text"] for token in guard(text)[1]["tokens"] if token["flagged"]}


def test_a_compound_of_full_weight_stays_one(guard):
    flagged = [
        {token["text"] for token in guard(text)[1]["tokens"] if token["flagged"]}
        for text in ("a water pistol", "a (water pistol:1.3)")
    ]
    assert flagged[0] == flagged[1]
