"""Prompts that are encoded together with pictures, against ComfyUI's own nodes, on small random encoders of theirs."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util

import pytest
import tiny_models
import torch
from host_nodes import HostNodes
from tiny_encoders import STEERED
from tiny_families import FAMILIES
from tracing import outputs

NAMES = ("vae", "image1", "image2", "image3", "clip_vision_output", "image_encoder")
NONE = dict.fromkeys(NAMES) | {"image_interleave": 2, "auto_resize_images": True, "width": 0, "height": 0}
SIZE = (1, 64, 64, 3)
# (module of the host's node, models whose encoder it is for)
NODES = {
    "TextEncodeQwenImageEditPlus": ("nodes_qwen", "Qwen-Image"),
    "TextEncodeQwenImageEdit": ("nodes_qwen", "Qwen-Image"),
    "TextEncodeZImageOmni": ("nodes_zimage", "Z-Image"),
    "TextEncodeBooguEdit": ("nodes_boogu", "Boogu-Image"),
    "TextEncodeJoyImageEdit": ("nodes_joyimage", "JoyImage"),
    "TextEncodeMageFlowEdit": ("nodes_mage", "Mage-Flow"),
}


class Vae:
    """Remembers what it encodes."""

    def __init__(self):
        self.seen = []

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(pixels.shape))
        return torch.full((1, 16, 8, 8), float(pixels.mean()))


@dataclasses.dataclass
class Built:
    pack: object
    node: str
    clip: object
    subspaces: tuple

    def guard(self, text: str, pictures: dict = NONE, **settings):
        settings = self.pack.host.prompt.findings.Settings(**settings)
        return outputs(
            self.pack.host.prompt.pictures.guard_with_pictures(
                self.clip, text, self.node, pictures, self.subspaces, settings
            )
        )

    def stock(self, text: str, **inputs) -> list:
        """CONDITIONING of ComfyUI's node."""
        if self.node == "TextEncodeBooguEdit":
            inputs |= {"negative_prompt": ""}
        return getattr(HostNodes(NODES[self.node][0]), self.node)(clip=self.clip, prompt=text, **inputs)[0]


@pytest.fixture(scope="module", params=list(NODES))
def built(request, comfy_nodes, pack, little_vocabulary) -> Built:
    module, models = NODES[request.param]
    if not importlib.util.find_spec(f"comfy_extras.{module}"):
        pytest.skip(f"this ComfyUI has no {request.param}")
    clip = (STEERED | FAMILIES)[models].text.clip()
    for encoder in pack.host.text.encoders.encoders(clip):
        tiny_models.plant_words(encoder)
    subspaces = (pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",)),)
    kind = getattr(importlib.import_module(f"comfy_extras.{module}"), request.param)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, request.param, kind)  # as the server does at its start
        yield Built(pack, request.param, clip, subspaces)


@pytest.fixture
def blind(built, monkeypatch) -> list:
    """The small encoders have no eyes: their tokenizer gets no pictures; what it would have got is listed here."""
    seen, tokenize = [], type(built.clip).tokenize

    def without_pictures(text, images=(), **more):
        if images:
            seen.append((text.rpartition(">")[2], [tuple(image.shape) for image in images]))
        return tokenize(built.clip, text, **({"llama_template": more["llama_template"]} if more else {}))

    monkeypatch.setattr(built.clip, "tokenize", without_pictures)
    return seen


@pytest.mark.parametrize(("text", "settings"), [("a cat on a chair", {}), ("a cat and a pistol", {"strength": 0.0})])
def test_with_nothing_to_do_it_is_the_stock_node_bit_for_bit(built, text, settings):
    guarded, report = built.guard(text, **settings)
    assert report["state"] == ("inactive" if settings else "clear")
    assert torch.equal(guarded[0][0], built.stock(text)[0][0])


def test_flagged_words_are_cut_out_of_the_text(built):
    guarded, report = built.guard("a cat and a pistol on a red chair")
    assert report["flagged"] == 1
    assert torch.equal(guarded[0][0], built.stock("a cat and a on a red chair")[0][0])
    assert built.pack.host.conditioning.marks.role(guarded[0][1]) == "filtered"


def test_the_pictures_reach_the_hosts_node_with_the_cleaned_text(built, blind):
    picture, vae = torch.zeros(SIZE), Vae()
    names = ("image1",) if built.node == "TextEncodeQwenImageEdit" else ("image1", "image3")
    guarded, report = built.guard("a cat and a pistol", {**NONE, "vae": vae, **dict.fromkeys(names, picture)})
    assert report["flagged"] == 1
    if built.node == "TextEncodeZImageOmni":
        assert blind == []  # its encoder is told where the pictures stand, and gets none of them
        assert len(guarded[0][1]["reference_latents_text_embeds"]) == len(names) + 1
    else:
        seen = [entry for entry in blind if entry[0] != " "]  # Mage-Flow's negative prompt
        assert [text for text, _ in seen] == ["a cat and a pistol", "a cat and a"]
        assert seen[0][1] == seen[1][1]
        assert len(seen[0][1]) == len(names)
    assert len(guarded[0][1]["reference_latents"]) == len(names)
    assert len(vae.seen) == 2 * len(names)


def test_what_else_its_node_takes_is_passed_on(built, blind):
    given = {**NONE, "vae": Vae(), "image1": torch.zeros(SIZE)}
    if built.node == "TextEncodeMageFlowEdit":
        built.guard("a cat", {**given, "width": 32, "height": 48})
        assert given["vae"].seen == [(1, 48, 32, 3)]
    elif built.node == "TextEncodeZImageOmni":
        seer = type("Seer", (), {"encode_image": lambda self, image: ("seen", tuple(image.shape))})()
        guarded, _ = built.guard("a cat", {**given, "image_encoder": seer, "auto_resize_images": False})
        assert given["vae"].seen == [SIZE]
        assert guarded[0][1]["clip_vision_outputs"] == [("seen", SIZE)]
    else:
        for name in ("width", "height"):
            with pytest.raises(built.pack.safree.SafreeError, match=f"{name} is given, .* Set it to 0"):
                built.guard("a cat", {**given, name: 64})


def test_what_does_not_fit_is_refused(built):
    with pytest.raises(built.pack.safree.SafreeError, match="has no use for it"):
        built.guard("a cat", {**NONE, "clip_vision_output": object()})
    with pytest.raises(built.pack.safree.SafreeError, match="Choose adaptive"):
        built.guard("a cat", mode="paper")


def test_the_node_hands_its_inputs_on(built, blind):
    picture = torch.zeros(SIZE)
    settings = {"mode": "adaptive", "strength": 1.0, "threshold": 0.0, "self_validation": "auto"}
    widgets = {"image_interleave": 2, "auto_resize_images": True, "width": 0, "height": 0}
    conditioning, _, flagged = built.pack.SafreePictureConditioning.execute(
        built.clip, built.subspaces, "a pistol", built.node, *settings.values(), image1=picture, **widgets
    ).args
    assert flagged == 1
    assert torch.isfinite(conditioning[0][0]).all()
