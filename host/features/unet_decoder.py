"""The shape of a UNet's decoder, and what is read and patched on entry to its output blocks."""

from __future__ import annotations

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel, Upsample

from ...safree import SafreeError
from .. import compat

ASKED = 0  # in the host's list cond_or_uncond


def network_of(model) -> torch.nn.Module:
    """The diffusion model of a MODEL, as it was before torch.compile; SafreeError where no MODEL is connected."""
    if model is None:
        raise SafreeError("no MODEL is connected. Load one with a checkpoint or diffusion model loader.")
    return compat.compiled_from(model.get_model_object("diffusion_model"))


def deepest_blocks(unet: UNetModel) -> list[int]:
    """Numbers of the output blocks from the middle block's output to the first upsampled features."""
    ends = (i for i, block in enumerate(unet.output_blocks) if any(isinstance(part, Upsample) for part in block))
    return list(range(min(next(ends, 0) + 2, len(unet.output_blocks))))


def read_blocks(unet: UNetModel) -> list[int]:
    """`deepest_blocks` and the one after them, which reads finer features."""
    return list(range(min(len(deepest_blocks(unet)) + 1, len(unet.output_blocks))))


def decoder_entry(unet: UNetModel) -> list[int]:
    """Channels of the decoder's features on entry to each output block."""
    widths = []
    for block, skip_block in zip(unet.output_blocks, reversed(unet.input_blocks), strict=True):
        joined = block[0].in_layers[0].num_channels  # of the concatenated features
        widths.append(joined - out_channels(skip_block))
    return widths


def out_channels(block: torch.nn.Module) -> int:
    """Output channels of an input block: a convolution, a residual block with or without attention, a downsampler."""
    for layer in reversed(list(block)):
        if hasattr(layer, "out_channels"):
            return layer.out_channels
    raise SafreeError("this UNet's input blocks have no residual or convolution layer; re-attention cannot read it.")


def decoder_widths(unet: UNetModel) -> list[int]:
    """The decoder's feature widths, widest first: stage 0, 1, ... ('1280-channel stage', '640-channel stage', ...)."""
    return sorted(set(decoder_entry(unet)), reverse=True)


def asked_rows(options: dict, rows: int) -> list[list[int]]:
    """For each picture of a call with `rows` rows, the rows that say what to draw, not the negative ones.

    Empty where the call holds negative rows alone.
    """
    kinds = options.get("cond_or_uncond") or [ASKED]
    size = rows // len(kinds)  # pictures
    asked = [i for i, kind in enumerate(kinds) if kind == ASKED]
    return [[chunk * size + picture for chunk in asked] for picture in range(size)] if asked else []


def sigma(options: dict) -> float:
    """Noise level of a call of the model."""
    return float(torch.as_tensor(options["sigmas"]).flatten()[0])


def with_patch(transformer_options: dict, name: str, function, first: bool) -> dict:
    """A copy of `transformer_options` with one more patch, before or after the others."""
    patches = dict(transformer_options.get("patches", {}))
    others = list(patches.get(name, []))
    patches[name] = [function, *others] if first else [*others, function]
    return {**transformer_options, "patches": patches}
