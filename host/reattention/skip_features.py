"""Latent re-attention on a UNet, with a reference branch that runs only the encoder half (paper, section 3.4)."""

from __future__ import annotations

import dataclasses
import logging

import comfy.patcher_extension
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...safree import SafreeError, check_share
from ...safree.fourier import re_attend
from .. import compat
from ..features.unet_decoder import decoder_entry, decoder_widths, network_of, with_patch
from .reference_branch import References, UNetCall, add, encode, rows_of, tell_copies_apart

WRAPPER = "safree_reattention"


@dataclasses.dataclass(frozen=True)
class Settings:
    """scales: s of each decoder stage, widest features first; radius: see safree.fourier.low_frequencies."""

    scales: tuple[float, ...]
    radius: float = 0.0

    def __post_init__(self):
        for scale in self.scales:
            check_share("scale", scale)
        check_share("radius", self.radius)

    @property
    def active(self) -> bool:
        return any(scale != 1.0 for scale in self.scales)


def patch(model, settings: Settings):
    """A clone of `model` that damps concept-related skip features of guarded conditioning while it is filtered.

    Raises SafreeError for a model without a UNet.
    """
    network = network_of(model)
    if not isinstance(network, UNetModel):
        raise SafreeError(
            "re-attention works on the skip features of a UNet (SD1.x, SD2.x, SDXL); this model is a "
            f"{type(network).__name__}. Remove this node; SafreeConditioning alone guards every model."
        )
    patched = model.clone()
    if settings.active:
        kinds = comfy.patcher_extension.WrappersMP
        patched.add_wrapper_with_key(kinds.OUTER_SAMPLE, WRAPPER, _outer_sample)
        patched.add_wrapper_with_key(kinds.SAMPLER_SAMPLE, WRAPPER, _sampler_sample)
        patched.add_wrapper_with_key(kinds.APPLY_MODEL, WRAPPER, _apply_model)
        patched.add_wrapper_with_key(kinds.DIFFUSION_MODEL, WRAPPER, _diffusion_model(settings))
    return patched


def _outer_sample(executor, *args, **kwargs):
    guider = executor.class_obj
    references = add(guider, WRAPPER)
    compat.run_wrapper_last(guider.model_options, WRAPPER, comfy.patcher_extension.WrappersMP.APPLY_MODEL)
    try:
        result = executor(*args, **kwargs)
    finally:
        guider.model_options.get("transformer_options", {}).pop(WRAPPER, None)
    if references is not None and not references.applied:
        logging.warning("SAFREE: re-attention not active, no call of the model was marked as a filtered prompt's.")
    return result


def _sampler_sample(executor, guider, *args, **kwargs):
    tell_copies_apart(guider, WRAPPER)
    return executor(guider, *args, **kwargs)


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    # Decided here: inside a compiled model nothing may hang on the options, which its guards may leave out.
    options = dict(transformer_options or {})
    references = options.pop(WRAPPER, None)
    if references is None or not references.filtered(options.get("uuids", ())):
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    with compat.uncompiled(executor.class_obj):
        return executor(x, t, c_concat, c_crossattn, control, {**options, WRAPPER: references}, **kwargs)


def _diffusion_model(settings: Settings):
    def diffusion_model(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
        references = transformer_options.get(WRAPPER)
        call = UNetCall(x, timesteps, context, y, control, transformer_options, kwargs)
        if references is not None:
            references.applied = True
            call = _damped(executor.original, _Stages.of(executor.class_obj, settings), call, references)
        return executor(x, timesteps, context, y, control, call.options, **kwargs)

    return diffusion_model


def _damped(forward, stages: _Stages, call: UNetCall, references: References) -> UNetCall:
    """`call` with the skip features of filtered prompts damped where they exceed those of the original prompts."""
    if not stages.needed:  # the UNet has no stage of those that are damped
        return call
    chunks = call.options["uuids"]
    filtered = references.filtered(chunks)
    rows = rows_of(filtered, len(call.x) // len(chunks))
    own = call.only(rows)
    skips = encode(forward, own, [references.reference(chunks[i]) for i in filtered], stages.needed)
    added = [] if own.control is None else own.control.get("output", [])
    patch = stages.damping(skips, rows, added)
    return dataclasses.replace(call, options=with_patch(call.options, "output_block_patch", patch, first=True))


@dataclasses.dataclass(frozen=True, eq=False)
class _Stages:
    """Which skip features of a UNet belong to which decoder stage.

    scales: s of each output block;  radius: see Settings;  blocks: how many input blocks there are
    """

    scales: tuple[float, ...]
    radius: float
    blocks: int

    @classmethod
    def of(cls, unet: UNetModel, settings: Settings) -> _Stages:
        by_width = dict(zip(decoder_widths(unet), settings.scales, strict=False))
        scales = tuple(by_width.get(width, 1.0) for width in decoder_entry(unet))
        return cls(scales, settings.radius, len(unet.input_blocks))

    def source(self, block: int) -> int:
        """The input block whose features are the skip features of an output block."""
        return self.blocks - 1 - block

    @property
    def needed(self) -> set[int]:
        """The input blocks whose features are damped."""
        return {self.source(block) for block, scale in enumerate(self.scales) if scale != 1.0}

    def damping(self, skips: dict[int, torch.Tensor], rows: list[int], added: list):
        """An output block patch that filters the skip features of `rows` against `skips`.

        added: what ControlNets add to them, the deepest last; None for nothing
        """

        def output_block(h, skip, options):
            block = options["block"][1]
            original = skips.get(self.source(block))
            if original is None:
                return h, skip
            original = original.to(skip.dtype)
            if block < len(added) and added[-1 - block] is not None:
                original = original + added[-1 - block].to(original)  # the host has added it to `skip`
            damped = re_attend(skip[rows], original, self.scales[block], self.radius)
            return h, skip.index_copy(0, torch.tensor(rows, device=skip.device), damped)

        return output_block
