"""Prompts with a text for each text encoder, against ComfyUI's own nodes for them, on small random encoders."""

from __future__ import annotations

import dataclasses

import pytest
import tiny_models
import torch
from host_nodes import HostNodes
from tiny_families import FAMILIES

SIZES = dict.fromkeys(("width", "height", "crop_w", "crop_h", "target_width", "target_height"), 1024)
LONG = "an apple and the moon, " * 16  # more than 75 tokens
FAMILY_TEXTS = {
    "SDXL": {"l": "a cat", "g": "a red chair"},
    "SD3, SD3.5": {"l": "a cat", "g": "a red chair", "t5xxl": "a dog on the moon"},
    "Flux": {"l": "a cat", "t5xxl": "a red chair"},
}


@dataclasses.dataclass
class Built:
    pack: object
    clip: object
    subspaces: tuple
    family: str

    def guard(self, texts: dict, **settings):
        return self.pack.host.guard.guard_texts(
            self.clip, texts, self.subspaces, self.pack.host.report.Settings(**settings)
        )

    def stock(self, texts: dict) -> list:
        """CONDITIONING of ComfyUI's node for a text per encoder."""
        if self.family == "SDXL":
            return HostNodes("nodes_clip_sdxl").CLIPTextEncodeSDXL(
                self.clip, *SIZES.values(), text_g=texts["g"], text_l=texts["l"]
            )[0]
        if self.family == "Flux":
            return HostNodes("nodes_flux").CLIPTextEncodeFlux(self.clip, texts["l"], texts["t5xxl"], 3.5)[0]
        return HostNodes("nodes_sd3").CLIPTextEncodeSD3(self.clip, *texts.values(), "empty_prompt")[0]


@pytest.fixture(scope="module", params=list(FAMILY_TEXTS))
def built(request, comfy_nodes, pack, little_vocabulary) -> Built:
    clip = FAMILIES[request.param].text.clip()
    for encoder in pack.host.encoders.encoders(clip):
        tiny_models.plant_words(encoder)
    return Built(pack, clip, (pack.host.subspaces.build_subspace(clip, "weapon", ("pistol",)),), request.param)


def assert_same(one: list, other: list) -> None:
    assert torch.equal(one[0][0], other[0][0])
    pooled, others = (entry[0][1].get("pooled_output") for entry in (one, other))
    assert (pooled is None and others is None) or torch.equal(pooled, others)


@pytest.mark.parametrize("more", ["", LONG], ids=["short", "one text longer"])
def test_with_nothing_flagged_it_is_the_stock_node_bit_for_bit(built, more):
    texts = FAMILY_TEXTS[built.family] | {"l": "a cat " + more}
    guarded, report = built.guard(texts)
    assert report["flagged"] == 0
    assert_same(guarded, built.stock(texts))


def test_with_strength_0_it_is_the_stock_node_bit_for_bit(built):
    texts = FAMILY_TEXTS[built.family] | {"l": "a pistol"}
    assert_same(built.guard(texts, strength=0.0)[0], built.stock(texts))


@pytest.mark.parametrize("key", ["l", "g", "t5xxl"])
def test_a_word_flagged_in_one_text_is_gone_from_it(built, key):
    texts = dict(FAMILY_TEXTS[built.family])
    if key not in texts:
        pytest.skip(f"{built.family} has no {key}")
    texts[key] += " and a pistol"
    guarded, report = built.guard(texts)
    assert report["flagged"] == 1
    with pytest.raises(AssertionError):
        assert_same(guarded, built.stock(texts))
    tokens = built.pack.host.texts.tokenize_each(built.clip, texts)
    encoder = next(e for e in built.pack.host.encoders.encoders(built.clip) if e.key == key)
    places = [word.places for word in encoder.words(tokens[key]) if word.text == "pistol"]
    cleaned = tokens | {key: encoder.neutralise(tokens[key], [place for word in places for place in word])}
    assert_same(guarded, built.clip.encode_from_tokens_scheduled(cleaned))


def test_a_text_that_no_encoder_reads_is_refused(built):
    texts = {"l": "a cat", "g": "a cat", "t5xxl": "a cat"}
    unread = texts.keys() - FAMILY_TEXTS[built.family].keys()
    if not unread:
        pytest.skip("it reads all three")
    with pytest.raises(built.pack.safree.SafreeError, match=f"text_{unread.pop()} is for a text encoder"):
        built.guard(texts)
