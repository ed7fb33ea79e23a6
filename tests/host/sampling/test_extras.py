"""What other nodes put on conditioning, in real sampling runs: areas, ControlNets, sizes, guidance, pictures.

Each node is compared with itself. On a guarded prompt, with the filter on for every step, it must give what it gives
on the cleaned prompt; with the filter on for no step, what it gives on the whole prompt; bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable

import pytest
import tiny_models
import torch
from host_nodes import HostNodes
from tiny_families import FAMILIES, VARIANTS

PROMPT = "a cat and a pistol on a red chair"
STEPS, CFG, SEED = 2, 3.0, 5
RULES = ("whole schedule", "paper")  # one conditioning entry, and two that share the schedule


@dataclasses.dataclass
class Built:
    """One model, and PROMPT in its encoder. parts: guarded CONDITIONING by rule; cleaned: as plain CONDITIONING."""

    pack: object
    nodes: object
    latent: tuple[int, ...]
    clip: object
    model: object
    subspaces: tuple
    stock: list
    cleaned: list
    benign: list
    negative: list
    parts: dict[str, list]

    def sample(self, positive, negative=None, filtered: int | None = None) -> torch.Tensor:
        """The latent of a stock run, or of one with the filter on for `filtered` steps."""
        # warn: some of the nodes mix in conditioning that is not guarded
        switch, model = self.pack.host.sampling.switching.Switch(fixed=filtered, on_problem="warn"), self.model
        if filtered is not None:
            model = self.pack.host.sampling.run.self_validating(model, switch)
        settings = (SEED, STEPS, CFG, "euler", "simple")
        latent = {"samples": torch.zeros(self.latent)}
        (out,) = self.nodes.common_ksampler(model, *settings, positive, negative or self.negative, latent)
        assert torch.isfinite(out["samples"]).all()
        return out["samples"]


@pytest.fixture(scope="module")
def build(comfy_nodes, pack, little_vocabulary):
    """Function of a name in FAMILIES or VARIANTS; builds each once."""

    @functools.cache
    def build(name: str) -> Built:
        family = {**FAMILIES, **VARIANTS}[name]
        clip = family.text.clip()
        for encoder in pack.host.text.encoders.encoders(clip):
            tiny_models.plant_words(encoder)
        subspaces = pack.ConceptSubspace.execute(clip, "(phrases only)", "pistol", 1.0)[0]
        stock, benign, negative = (
            comfy_nodes.CLIPTextEncode().encode(clip, text)[0] for text in (PROMPT, "the moon", "")
        )
        parts = {
            rule: pack.SafreeConditioning.execute(clip, subspaces, PROMPT, "adaptive", 1.0, 0.0, rule)[0]
            for rule in RULES
        }
        assert [len(entries) for entries in parts.values()] == [1, 2]
        ((tensor, options),) = parts["whole schedule"]
        cleaned = [[tensor, {key: value for key, value in options.items() if key != "safree"}]]
        model = family.diffusion_model()
        return Built(
            *(pack, comfy_nodes, family.latent, clip, model, subspaces, stock, cleaned, benign, negative, parts)
        )

    return build


def half_mask() -> torch.Tensor:
    mask = torch.zeros(1, 64, 64)
    mask[:, :, :32] = 1
    return mask


def control_net(built: Built):
    """A ControlNet of the host's own classes, of the shape of the model's UNet, with random weights."""
    controlnet, cldm = importlib.import_module("comfy.controlnet"), importlib.import_module("comfy.cldm.cldm")
    config = {key: value for key, value in built.model.model.model_config.unet_config.items() if key != "out_channels"}
    net = cldm.ControlNet(**config, hint_channels=3)
    tiny_models.randomise(net)
    return controlnet.ControlNet(net, load_device=torch.device("cpu"))


def picture() -> torch.Tensor:
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2))


def combine(built, conditioning):
    return built.nodes.ConditioningCombine().combine(conditioning, built.benign)[0]


def concat(built, conditioning):
    return built.nodes.ConditioningConcat().concat(conditioning, built.benign)[0]


def average(built, conditioning):
    return built.nodes.ConditioningAverage().addWeighted(conditioning, built.benign, 0.7)[0]


def area(built, conditioning):
    placed = built.nodes.ConditioningSetArea().append(conditioning, 32, 64, 0, 0, 0.8)[0]
    return combine(built, placed)


def mask(built, conditioning):
    masked = built.nodes.ConditioningSetMask().append(conditioning, half_mask(), "default", 0.8)[0]
    return combine(built, masked)


def default(built, conditioning):
    masked = built.nodes.ConditioningSetMask().append(conditioning, half_mask(), "default", 1.0)[0]
    return HostNodes("nodes_hooks").ConditioningSetDefaultAndCombine(masked, built.benign)[0]


def timestep_range(built, conditioning):
    set_range = built.nodes.ConditioningSetTimestepRange().set_range
    return [*set_range(conditioning, 0.0, 0.4)[0], *set_range(built.benign, 0.4001, 1.0)[0]]


def control(built, conditioning):
    return built.nodes.ControlNetApply().apply_controlnet(conditioning, control_net(built), picture(), 0.5)[0]


def control_advanced(built, conditioning):
    apply = built.nodes.ControlNetApplyAdvanced().apply_controlnet
    return apply(conditioning, built.negative, control_net(built), picture(), 0.5, 0.0, 0.4)


def unclip(built, conditioning):
    seen = importlib.import_module("comfy.clip_vision").Output()
    seen["image_embeds"] = torch.randn(1, 768, generator=torch.Generator().manual_seed(3))
    return built.nodes.unCLIPConditioning().apply_adm(conditioning, seen, 1.0, 0.1)[0]


def inpaint(vae, built, conditioning):
    encode = built.nodes.InpaintModelConditioning().encode
    return encode(conditioning, built.negative, picture(), vae, half_mask())[:2]


def sizes(built, conditioning):
    """As CLIPTextEncodeSDXL writes them, which takes no conditioning."""
    helpers = importlib.import_module("node_helpers")
    return helpers.conditioning_set_values(conditioning, {"width": 512, "height": 256, "crop_w": 32, "crop_h": 64})


def flux_guidance(built, conditioning):
    return HostNodes("nodes_flux").FluxGuidance(conditioning, 9.0)[0]


def frame_rate(built, conditioning):
    return HostNodes("nodes_lt").LTXVConditioning(conditioning, built.negative, 5.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """A node on a model. edits: it makes a new tensor, so that the original prompt cannot be told from it."""

    name: str
    apply: Callable
    edits: bool = False


CASES = {
    "ConditioningCombine": Case("SD1.x", combine),
    "ConditioningConcat": Case("SD1.x", concat, edits=True),
    "ConditioningAverage": Case("SD1.x", average, edits=True),
    "ConditioningSetArea": Case("SD1.x", area),
    "ConditioningSetMask": Case("SD1.x", mask),
    "ConditioningSetDefaultCombine": Case("SD1.x", default),
    "ConditioningSetTimestepRange": Case("SD1.x", timestep_range),
    "ControlNetApply": Case("SD1.x", control),
    "ControlNetApplyAdvanced": Case("SD1.x", control_advanced),
    "InpaintModelConditioning": Case("SD1.x inpainting", inpaint),
    "unCLIPConditioning": Case("SD2.1 unCLIP", unclip),
    "SDXL sizes": Case("SDXL", sizes),
    "FluxGuidance": Case("Flux", flux_guidance),
    "LTXVConditioning": Case("LTXV", frame_rate),
}


@pytest.fixture
def case(request, build, tiny):
    """(model, the node as a function from CONDITIONING to arguments of Built.sample, whether it edits tensors)."""
    case = CASES[request.param]
    built = build(case.name)
    node = functools.partial(case.apply, tiny[2]) if case.apply is inpaint else case.apply

    def apply(conditioning) -> tuple:
        made = node(built, conditioning)
        return made if isinstance(made, tuple) else (made,)

    return built, apply, case.edits


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_a_node_does_to_a_guarded_prompt_what_it_does_to_a_plain_one(pack, case):
    built, apply, edits = case
    cleaned, whole = built.sample(*apply(built.cleaned)), built.sample(*apply(built.stock))
    assert not torch.equal(cleaned, whole)  # the model reads the prompt
    assert not torch.equal(cleaned, built.sample(built.cleaned))  # and what the node adds
    assert torch.equal(built.sample(*apply(built.parts["whole schedule"])), cleaned)  # without any node of ours
    if edits:
        with pytest.raises(pack.safree.SafreeError, match="edited after SafreeConditioning"):
            built.sample(*apply(built.parts["whole schedule"]), filtered=0)
    else:
        assert torch.equal(built.sample(*apply(built.parts["whole schedule"]), filtered=0), whole)
    both = apply(built.parts["paper"])
    assert torch.equal(built.sample(*both, filtered=STEPS), cleaned)
    assert torch.equal(built.sample(*both, filtered=0), whole)
    assert not torch.equal(built.sample(*both, filtered=1), whole)


@pytest.mark.parametrize("case", ["SDXL sizes", "FluxGuidance", "ControlNetApplyAdvanced"], indirect=True)
def test_conditioning_that_is_filtered_without_its_prompt_keeps_what_other_nodes_added(pack, case):
    built, apply, _ = case
    filter_ = functools.partial(
        pack.SafreeFilterConditioning.execute, subspaces=built.subspaces, strength=1.0, threshold=0.05
    )  # the encoders are random: some token is as near as that
    before, *negative = apply(built.stock)
    filtered, _, flagged = filter_(before)
    assert flagged > 0
    assert torch.equal(built.sample(filtered, *negative), built.sample(*apply(filter_(built.stock)[0])))
    assert not torch.equal(built.sample(filtered, *negative), built.sample(before, *negative))


def test_a_guarded_prompt_takes_over_the_sizes_of_the_node_that_it_replaces(pack, build):
    built = build("SDXL")
    numbers = {"width": 512, "height": 256, "crop_w": 32, "crop_h": 64, "target_width": 640, "target_height": 320}

    def stock(text: str):
        encode = HostNodes("nodes_clip_sdxl").CLIPTextEncodeSDXL
        return encode(built.clip, text_g=text, text_l=text, **numbers)[0]

    def ours(text: str, rule: str = "auto"):
        arguments = (text, "adaptive", 1.0, 0.0, rule, stock("a prompt that is not used"))
        return pack.SafreeConditioning.execute(built.clip, built.subspaces, *arguments)[0]

    assert torch.equal(built.sample(ours("the moon")), built.sample(stock("the moon")))
    assert not torch.equal(built.sample(stock("the moon")), built.sample(built.benign))  # the model reads the sizes
    for rule in RULES:
        for _, options in ours(PROMPT, rule):
            assert numbers.items() <= options.items()
    assert torch.equal(built.sample(ours(PROMPT, "paper"), filtered=0), built.sample(stock(PROMPT)))
