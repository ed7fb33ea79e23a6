"""Prompts with a text for each text encoder, against ComfyUI's own nodes for them, on small random encoders."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import pytest
import tiny_models
import torch
from host_nodes import HostNodes
from tiny_encoders import STEERED
from tiny_families import FAMILIES
from tracing import outputs

SIZES = dict.fromkeys(("width", "height", "crop_w", "crop_h", "target_width", "target_height"), 1024)
LONG = "an apple and the moon, " * 16  # more than 75 tokens
FAMILY_TEXTS = {
    "SDXL": {"l": "a cat", "g": "a red chair"},
    "SD3, SD3.5": {"l": "a cat", "g": "a red chair", "t5xxl": "a dog on the moon"},
    "Flux": {"l": "a cat", "t5xxl": "a red chair"},
    "HiDream": {"l": "a cat", "g": "a banana", "t5xxl": "a dog on the moon", "llm": "cat"},
    "HunyuanDiT": {"bert": "a cat", "t5xxl": "a red chair"},
    "Kandinsky 5 video": {"l": "a cat", "llm": "a red chair"},
    "Kandinsky 5 image": {"l": "a cat", "llm": "a red chair"},
}


@dataclasses.dataclass
class Built:
    pack: object
    clip: object
    subspaces: tuple
    family: str

    def guard(self, texts: dict, **settings):
        return outputs(
            self.pack.host.prompt.guard.guard_texts(
                self.clip, texts, self.subspaces, self.pack.host.prompt.findings.Settings(**settings)
            )
        )

    def stock(self, texts: dict) -> list:
        """CONDITIONING of ComfyUI's node for a text per encoder."""
        if self.family == "SDXL":
            return HostNodes("nodes_clip_sdxl").CLIPTextEncodeSDXL(
                self.clip, *SIZES.values(), text_g=texts["g"], text_l=texts["l"]
            )[0]
        if self.family == "Flux":
            return HostNodes("nodes_flux").CLIPTextEncodeFlux(self.clip, texts["l"], texts["t5xxl"], 3.5)[0]
        if self.family == "HiDream":
            return HostNodes("nodes_hidream").CLIPTextEncodeHiDream(self.clip, *texts.values())[0]
        if self.family == "HunyuanDiT":
            return HostNodes("nodes_hunyuan").CLIPTextEncodeHunyuanDiT(self.clip, texts["bert"], texts["t5xxl"])[0]
        if self.family.startswith("Kandinsky 5"):
            return HostNodes("nodes_kandinsky5").CLIPTextEncodeKandinsky5(self.clip, texts["l"], texts["llm"])[0]
        return HostNodes("nodes_sd3").CLIPTextEncodeSD3(self.clip, *texts.values(), "empty_prompt")[0]


@pytest.fixture(scope="module", params=list(FAMILY_TEXTS))
def built(request, comfy_nodes, pack, little_vocabulary) -> Built:
    clip = (STEERED | FAMILIES)[request.param].text.clip()
    for encoder in pack.host.text.encoders.encoders(clip):
        tiny_models.plant_words(encoder)
    return Built(pack, clip, (pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",)),), request.param)


def assert_same(one: list, other: list) -> None:
    assert torch.equal(one[0][0], other[0][0])
    values, others = ({k: v for k, v in c[0][1].items() if torch.is_tensor(v)} for c in (one, other))
    assert values.keys() == others.keys()
    assert all(torch.equal(value, others[key]) for key, value in values.items())


@pytest.mark.parametrize("more", ["", LONG], ids=["short", "one text longer"])
def test_with_nothing_flagged_it_is_the_stock_node_bit_for_bit(built, more):
    texts = dict(FAMILY_TEXTS[built.family])
    texts[next(iter(texts))] += " " + more
    guarded, report = built.guard(texts, threshold=0.99)  # a random encoder reads some word as near to any concept
    assert report["flagged"] == 0
    assert_same(guarded, built.stock(texts))


def test_with_strength_0_it_is_the_stock_node_bit_for_bit(built):
    texts = dict.fromkeys(FAMILY_TEXTS[built.family], "a pistol")
    assert_same(built.guard(texts, strength=0.0)[0], built.stock(texts))


@pytest.mark.parametrize("name", ["l", "g", "t5xxl", "llm", "bert"])
def test_a_word_flagged_in_one_text_is_gone_from_it(built, name):
    texts = dict(FAMILY_TEXTS[built.family])
    if name not in texts:
        pytest.skip(f"{built.family} has no {name}")
    texts[name] += " and a pistol"
    if name == "llm" and built.family == "HiDream" and version("transformers") >= "5":
        with pytest.raises(built.pack.safree.SafreeError, match="'llama' loses the spaces between words"):
            built.guard(texts)
        return
    guarded, report = built.guard(texts)
    assert report["flagged"] == 1
    with pytest.raises(AssertionError):
        assert_same(guarded, built.stock(texts))
    by_key = built.pack.host.text.multi_text.check_texts(built.clip, texts)
    tokens = built.pack.host.text.multi_text.tokenize_each(built.clip, by_key)
    readers = built.pack.host.text.multi_text.READERS[name]
    encoder = next(e for e in built.pack.host.text.encoders.encoders(built.clip, by_key) if e.key in readers)
    key = encoder.key
    places = [word.places for word in encoder.words(tokens[key]) if word.text == "pistol"]
    cleaned = tokens | {key: encoder.neutralise(tokens[key], [place for word in places for place in word])}
    assert_same(guarded, built.clip.encode_from_tokens_scheduled(cleaned))


def test_of_one_text_the_report_says_which_encoder_cannot_tell_its_words_apart(built):
    settings = built.pack.host.prompt.findings.Settings()
    _, report = outputs(
        built.pack.host.prompt.guard.guard_prompt(built.clip, "a cat and a pistol", built.subspaces, settings)
    )
    assert report["flagged"] == 1
    joined = built.family == "HiDream" and version("transformers") >= "5"
    assert [note.split("'")[1] for note in report["notes"] if "loses the spaces" in note] == ["llama"] * joined


def test_a_prompt_whose_words_no_encoder_can_tell_apart_is_refused(built, monkeypatch):
    found = built.pack.host.text.encoders.encoders(built.clip)
    monkeypatch.setattr(type(found[0]), "words", lambda self, chunks: [])
    with pytest.raises(built.pack.safree.SafreeError, match="loses the spaces between words; install transformers"):
        built.pack.host.text.multi_text.check_spaces(built.clip, found, "a cat")
    assert built.pack.host.text.multi_text.check_spaces(built.clip, found, "cat") == []


def test_a_text_that_no_encoder_reads_is_refused(built):
    for name in built.pack.host.text.multi_text.READERS.keys() - FAMILY_TEXTS[built.family].keys():
        with pytest.raises(built.pack.safree.SafreeError, match=f"text_{name} is for a text encoder"):
            built.guard(FAMILY_TEXTS[built.family] | {name: "a cat"})


def test_a_language_models_empty_text_is_the_stock_nodes(built):
    texts = FAMILY_TEXTS[built.family] | {"llm": ""}
    if "llm" not in FAMILY_TEXTS[built.family]:
        pytest.skip(f"{built.family} has no language model")
    guarded, report = built.guard(texts)
    assert "".join(token["text"] for token in report["tokens"] if token["encoder"] in ("llama", "qwen25_7b")) == ""
    assert_same(guarded, built.stock(texts))


def test_the_node_gives_each_encoder_its_text(built):
    texts = FAMILY_TEXTS[built.family]
    given = {f"text_{name}": texts.get(name, "") for name in ("l", "g", "t5xxl")}
    more = {f"text_{name}": text for name, text in texts.items() if f"text_{name}" not in given}
    node = built.pack.SafreeMultiTextConditioning
    settings = {"mode": "adaptive", "strength": 1.0, "threshold": 0.0, "self_validation": "auto"}
    conditioning, _, flagged = node.execute(built.clip, built.subspaces, **given, **settings, **more).args
    assert flagged == 0
    assert_same(conditioning, built.stock(texts))
