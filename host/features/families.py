"""Where ComfyUI's transformers hold the picture's tokens: one table, by class; a class without a row is refused."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable

from torch import nn

from ...safree import SafreeError

# (tokens in the sequence, tokens of the picture, streams, network) -> number of the picture's first token.
# streams: tokens of 'img' and 'txt' on entry to the first joint block, and where 'img' begins once they are joined, as
# 'begin', where this ComfyUI tells.
Start = Callable[[int, int, dict[str, int], nn.Module], int]


def first(_length: int, _picture: int, _streams: dict, _network) -> int:
    """The picture, then reference pictures or text."""
    return 0


def last(length: int, picture: int, _streams: dict, _network) -> int:
    """Reference pictures or text, then the picture."""
    return length - picture


def after_text(length: int, picture: int, streams: dict, _network) -> int:
    """Text, the picture, then reference pictures (Kontext, FLUX.2)."""
    return streams.get("begin", streams.get("txt", length - picture))


def behind_references(_length: int, picture: int, streams: dict, _network) -> int:
    """Reference pictures, the picture, then text; text comes first in newer versions of ComfyUI, which tell so."""
    return streams.get("begin", 0) + streams.get("img", picture) - picture


def padded(length: int, picture: int, _streams: dict, network) -> int:
    """Text, then the picture, which padding may follow (Z-Image)."""
    multiple = getattr(network, "pad_tokens_multiple", None) or 1
    return length - -(-picture // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Blocks of one kind.

    name: attribute of the network that lists them
    hook: their name in ComfyUI's patches_replace; '' where it asks no patch, and torch's hook reads what they return
    axes: 'tokens' for [B, tokens, D], or the order of the axes of what they return
    """

    name: str
    hook: str = ""
    start: Start = first
    axes: str = "tokens"


@dataclasses.dataclass(frozen=True)
class Family:
    """The blocks of a transformer in the order that they run, channels D of its tokens, and its patches.

    patch: latent pixels of a token in time, height and width; one number for height and width alone
    """

    blocks: tuple[Blocks, ...]
    width: Callable[[nn.Module], int]
    patch: Callable[[nn.Module], int | tuple[int, ...]] = operator.attrgetter("patch_size")


JOINT, SINGLE = "double_block", "single_block"
_hidden, _inner = operator.attrgetter("hidden_size"), operator.attrgetter("inner_dim")
_channels = operator.attrgetter("model_channels")
_cosmos_patch = operator.attrgetter("patch_temporal", "patch_spatial", "patch_spatial")
_flux = Family((Blocks("double_blocks", JOINT), Blocks("single_blocks", SINGLE, after_text)), _hidden)
_wan_before = Family((Blocks("blocks", JOINT, last),), operator.attrgetter("dim"))
_wan_behind = Family((Blocks("blocks", JOINT),), operator.attrgetter("dim"))

# By the class's place in comfy.ldm; a class derived from one of these is read like it.
FAMILIES = {
    "modules.diffusionmodules.mmdit.MMDiT": Family((Blocks("joint_blocks", JOINT),), _hidden),  # SD3
    "flux.model.Flux": _flux,
    "chroma.model.Chroma": _flux,
    "qwen_image.model.QwenImageTransformer2DModel": Family((Blocks("transformer_blocks", JOINT),), _inner),
    "lumina.model.NextDiT": Family((Blocks("layers", start=padded),), operator.attrgetter("dim")),  # and Z-Image
    "hunyuan_video.model.HunyuanVideo": Family(
        (Blocks("double_blocks", JOINT, last), Blocks("single_blocks", SINGLE, behind_references)), _hidden
    ),
    "aura.mmdit.MMDiT": Family(
        (Blocks("double_layers", JOINT), Blocks("single_layers", SINGLE, after_text)),
        operator.attrgetter("cond_seq_linear.out_features"),
    ),
    "wan.model.WanModel": _wan_before,
    "wan.model.WanModel_S2V": _wan_behind,
    "wan.model.HumoWanModel": _wan_behind,
    "lightricks.model.LTXVModel": Family((Blocks("transformer_blocks", JOINT),), _inner, lambda _: 1),
    "cosmos.predict2.MiniTrainDIT": Family((Blocks("blocks", axes="b t h w d"),), _channels, _cosmos_patch),
    "cosmos.model.GeneralDIT": Family((Blocks("blocks", axes="t h w b d"),), _channels, _cosmos_patch),
    "pixart.pixartms.PixArtMS": Family((Blocks("blocks"),), _hidden),
    "genmo.joint_model.asymm_models_joint.AsymmDiTJoint": Family(
        (Blocks("blocks", JOINT),), operator.attrgetter("hidden_size_x")
    ),
    "hydit.models.HunYuanDiT": Family((Blocks("blocks", JOINT),), _hidden),
    "omnigen.omnigen2.OmniGen2Transformer2DModel": Family((Blocks("layers", start=last),), _hidden),
    "hidream.model.HiDreamImageTransformer2DModel": Family(
        (Blocks("double_stream_blocks"), Blocks("single_stream_blocks")), _inner
    ),
    "kandinsky5.model.Kandinsky5": Family(
        (Blocks("visual_transformer_blocks"),),
        operator.attrgetter("model_dim"),  # its JOINT hook fails in 0.33
    ),
}

PIXELS = "draws pixels and no latent, and was not tried"
SOUND = "makes sound"
STAGES = "draws in stages of convolutions that nothing was tried on"
REFUSED = {
    "cascade.stage_c.StageC": STAGES,
    "cascade.stage_b.StageB": STAGES,
    "lightricks.av_model.LTXAVModel": "makes picture and sound in blocks of two streams, which were not tried",
    "chroma_radiance.model.ChromaRadiance": PIXELS,
    "lumina.model.NextDiTPixelSpace": PIXELS,
    "audio.dit.AudioDiffusionTransformer": SOUND,
    "ace.model.ACEStepTransformer2DModel": SOUND,
    "hunyuan3d.model.Hunyuan3Dv2": "makes shapes",
    "hunyuan3dv2_1.hunyuandit.HunYuanDiTPlain": "makes shapes",
}


def family_of(network: nn.Module, node: str) -> Family:
    """The row of a network's class. Raises SafreeError, which names `node`, the class and why it is not read."""
    reason = "ComfyUI has this kind of model since the table was made, or it is none of ComfyUI's"
    for kind in type(network).__mro__:
        place = f"{kind.__module__.rpartition('comfy.ldm.')[2]}.{kind.__name__}"
        if place in FAMILIES:
            return FAMILIES[place]
        if place in REFUSED:
            reason = REFUSED[place]
            break
    raise SafreeError(
        f"{node} does not read a {type(network).__name__}: {reason}. It reads UNets (SD1.x, SD2.x, SDXL) and the "
        "transformers named in docs/compatibility.md. Remove this node; SafreeConditioning guards every model's prompt."
    )
