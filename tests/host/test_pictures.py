"""Prompts that are encoded together with pictures, against ComfyUI's own node, on a small random Qwen encoder."""

from __future__ import annotations

import importlib

import pytest
import tiny_models
import torch
from host_nodes import HostNodes
from tiny_families import FAMILIES

NODE = "TextEncodeQwenImageEditPlus"
NONE = dict.fromkeys(("vae", "image1", "image2", "image3", "clip_vision_output"))


@pytest.fixture(scope="module")
def built(comfy_nodes, pack, little_vocabulary):
    clip = FAMILIES["Qwen-Image"].text.clip()
    for encoder in pack.host.encoders.encoders(clip):
        tiny_models.plant_words(encoder)
    return clip, (pack.host.subspaces.build_subspace(clip, "weapon", ("pistol",)),)


@pytest.fixture
def guard(built, pack, comfy_nodes, monkeypatch):
    clip, subspaces = built
    kind = getattr(importlib.import_module("comfy_extras.nodes_qwen"), NODE)
    monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, NODE, kind)  # as the server does at its start

    def guard(text: str, pictures: dict = NONE, **settings):
        return pack.host.pictures.guard_with_pictures(
            clip, text, NODE, pictures, subspaces, pack.host.report.Settings(**settings)
        )

    return guard


def stock(clip, text: str) -> torch.Tensor:
    return HostNodes("nodes_qwen").TextEncodeQwenImageEditPlus(clip, text)[0][0][0]


@pytest.mark.parametrize(("text", "settings"), [("a cat on a chair", {}), ("a cat and a pistol", {"strength": 0.0})])
def test_with_nothing_to_do_it_is_the_stock_node_bit_for_bit(built, guard, text, settings):
    guarded, report = guard(text, **settings)
    assert report["state"] == ("inactive" if settings else "clear")
    assert torch.equal(guarded[0][0], stock(built[0], text))


def test_flagged_words_are_cut_out_of_the_text(built, guard, pack):
    guarded, report = guard("a cat and a pistol on a red chair")
    assert report["flagged"] == 1
    assert torch.equal(guarded[0][0], stock(built[0], "a cat and a on a red chair"))
    assert pack.host.marks.role(guarded[0][1]) == "filtered"


def test_the_pictures_reach_the_hosts_tokenizer_with_the_cleaned_text(built, guard, monkeypatch):
    clip, _ = built
    seen = []

    def tokenize(text, images=(), **more):
        if images:
            seen.append((text.rpartition(">")[2], images[0].shape))
        return type(clip).tokenize(clip, text)  # the small encoder has no eyes

    monkeypatch.setattr(clip, "tokenize", tokenize)
    guard("a cat and a pistol", {**NONE, "image1": torch.zeros(1, 64, 64, 3)})
    assert [text for text, _ in seen] == ["a cat and a pistol", "a cat and a"]
    assert seen[0][1] == seen[1][1]


def test_what_does_not_fit_is_refused(guard, pack):
    with pytest.raises(pack.safree.SafreeError, match="has no use for it"):
        guard("a cat", {**NONE, "clip_vision_output": object()})
    with pytest.raises(pack.safree.SafreeError, match="Choose adaptive"):
        guard("a cat", mode="paper")
