"""Latent re-attention on a UNet, with a reference branch that runs only the encoder half (paper, section 3.4)."""

from __future__ import annotations

import dataclasses
import logging

import comfy.patcher_extension
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...safree import check_share
from ...safree.fourier import re_attend
from .. import compat
from ..features.unet_decoder import check_unet, decoder_entry, decoder_widths, with_patch
from .reference_branch import add, encode, rows_of, tell_copies_apart

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
    check_unet(model, "re-attention works on the skip features")
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
    if references and not references.applied:
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
        run = transformer_options.get(WRAPPER)
        if run is None:
            return executor(x, timesteps, context, y, control, transformer_options, **kwargs)
        run.applied = True
        chunks = transformer_options["uuids"]
        filtered = run.filtered(chunks)
        rows = rows_of(filtered, len(x) // len(chunks))
        stages = _Stages(executor.class_obj, settings)
        references = [run.reference(chunks[i]) for i in filtered]
        skips = encode(
            executor, stages, references, rows, x, timesteps, context, y, control, transformer_options, kwargs
        )
        patched_options = with_patch(transformer_options, "output_block_patch", stages.damp(skips, rows), first=True)
        return executor(x, timesteps, context, y, control, patched_options, **kwargs)

    return diffusion_model


class _Stages:
    """Which skip features of a UNet belong to which decoder stage."""

    def __init__(self, unet: UNetModel, settings: Settings):
        self.settings = settings
        self.blocks = len(unet.input_blocks)
        self.scales = dict(zip(decoder_widths(unet), settings.scales, strict=False))
        self.entry = decoder_entry(unet)
        self.needed = {
            self.blocks - 1 - block for block, width in enumerate(self.entry) if self.scales.get(width, 1.0) != 1.0
        }
        self.last = max(self.needed, default=-1)
        self.control: list = []

    def damp(self, skips: dict[int, torch.Tensor], rows: list[int]):
        """An output block patch that filters the skip features of `rows` against `skips`."""

        def output_block(h, skip, options):
            block = options["block"][1]
            source = self.blocks - 1 - block
            if source not in skips:
                return h, skip
            original = skips[source].to(skip.dtype)
            if block < len(self.control) and self.control[-1 - block] is not None:
                original = original + self.control[-1 - block].to(original)  # the host has added it to `skip`
            scale = self.scales[self.entry[block]]
            skip = skip.index_copy(
                0, torch.tensor(rows, device=skip.device), re_attend(skip[rows], original, scale, self.settings.radius)
            )
            return h, skip

        return output_block
