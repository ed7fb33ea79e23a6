"""Latent re-attention on a UNet, with a reference branch that runs only the encoder half (paper, section 3.4)."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import uuid

import comfy.patcher_extension
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..safree import SafreeError, check_share
from ..safree.fourier import re_attend
from . import compat
from .marks import KEY, Mark, read, role

WRAPPER = "safree_reattention"
REFERENCES = "safree_reference"  # key of the original prompts among a run's conds


class _EncoderDone(Exception):
    """Ends the reference branch once the last skip feature that is needed is there."""


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


@dataclasses.dataclass
class _Run:
    """State of one sampling run; lives in the run's own copy of the model options and goes with it."""

    guider: object
    reference_of: dict  # uuid of a filtered cond -> uuid of its reference
    branch_of: dict  # uuid of a filtered cond -> 'positive', 'negative', ...
    applied: bool = False

    def filtered(self, chunks) -> list[int]:
        """Which of the conds named `chunks`, by their place in a batch, are filtered prompts'."""
        return [i for i, key in enumerate(chunks) if key in self.reference_of]

    def reference(self, filtered: uuid.UUID) -> dict:
        wanted = self.reference_of[filtered]
        return next(cond for cond in self.guider.conds[REFERENCES] if cond["uuid"] == wanted)


def patch(model, settings: Settings):
    """A clone of `model` that damps concept-related skip features of guarded conditioning while it is filtered.

    Raises SafreeError for a model without a UNet.
    """
    if model is None:
        raise SafreeError("no MODEL is connected. Load one with a checkpoint or diffusion model loader.")
    unet = compat.compiled_from(model.get_model_object("diffusion_model"))
    if not isinstance(unet, UNetModel):
        raise SafreeError(
            f"re-attention works on the skip features of a UNet (SD1.x, SD2.x, SDXL); this model is a "
            f"{type(unet).__name__}. Remove this node; SafreeConditioning alone guards every model."
        )
    patched = model.clone()
    if not settings.active:
        return patched

    def outer_sample(executor, *args, **kwargs):
        guider = executor.class_obj
        run = _add_references(guider)
        compat.run_wrapper_last(guider.model_options, WRAPPER, wrappers.APPLY_MODEL)
        try:
            result = executor(*args, **kwargs)
        finally:
            guider.model_options.get("transformer_options", {}).pop(WRAPPER, None)
        if run and not run.applied:
            logging.warning("SAFREE: re-attention not active, no call of the model was marked as a filtered prompt's.")
        return result

    def sampler_sample(executor, guider, *args, **kwargs):
        _tell_copies_apart(guider)
        return executor(guider, *args, **kwargs)

    def apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        # Decided here: inside a compiled model nothing may hang on the options, which its guards may leave out.
        options = dict(transformer_options or {})
        run = options.pop(WRAPPER, None)
        if run is None or not run.filtered(options.get("uuids", ())):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
        with compat.uncompiled(executor.class_obj):
            return executor(x, t, c_concat, c_crossattn, control, {**options, WRAPPER: run}, **kwargs)

    def diffusion_model(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
        run = transformer_options.get(WRAPPER)
        if run is None:
            return executor(x, timesteps, context, y, control, transformer_options, **kwargs)
        run.applied = True
        chunks = transformer_options["uuids"]
        filtered = run.filtered(chunks)
        rows = _rows(filtered, len(x) // len(chunks))
        stages = _Stages(executor.class_obj, settings)
        references = [run.reference(chunks[i]) for i in filtered]
        skips = _encode(
            executor, stages, references, rows, x, timesteps, context, y, control, transformer_options, kwargs
        )
        patched_options = _with_patch(transformer_options, "output_block_patch", stages.damp(skips, rows), first=True)
        return executor(x, timesteps, context, y, control, patched_options, **kwargs)

    wrappers = comfy.patcher_extension.WrappersMP
    patched.add_wrapper_with_key(wrappers.OUTER_SAMPLE, WRAPPER, outer_sample)
    patched.add_wrapper_with_key(wrappers.SAMPLER_SAMPLE, WRAPPER, sampler_sample)
    patched.add_wrapper_with_key(wrappers.APPLY_MODEL, WRAPPER, apply_model)
    patched.add_wrapper_with_key(wrappers.DIFFUSION_MODEL, WRAPPER, diffusion_model)
    return patched


def _add_references(guider) -> _Run | None:
    """Put the original prompt of every filtered cond beside the run's conds, for the host to prepare like them.

    None where no cond is filtered.
    """
    references, reference_of, branch_of, roles = [], {}, {}, set()
    for branch, cond in ((branch, cond) for branch, conds in guider.conds.items() for cond in conds):
        roles.add(role(cond))
        if role(cond) != "filtered":
            continue
        tensor, pooled = read(cond).original
        reference = {**cond, "cross_attn": tensor, "uuid": uuid.uuid4(), KEY: Mark("reference").stored()}
        # or the host takes the name of REFERENCES for it, and the SDXL refiner's aesthetic score from that
        reference.setdefault("prompt_type", branch)
        if pooled is not None:
            reference["pooled_output"] = pooled
        reference_of[cond["uuid"]], branch_of[cond["uuid"]] = reference["uuid"], branch
        references.append(reference)
    if roles <= {None}:
        logging.warning("SAFREE: re-attention not active, no guarded conditioning reached this sampler.")
    if not references:
        return None
    guider.conds = {**guider.conds, REFERENCES: references}
    run = _Run(guider, reference_of, branch_of)
    guider.model_options["transformer_options"][WRAPPER] = run
    return run


def _tell_copies_apart(guider) -> None:
    """New uuids for what the host made of a filtered cond with an area in other branches: a copy, uuid included."""
    run = guider.model_options["transformer_options"].get(WRAPPER)
    for branch, conds in guider.conds.items() if run else ():
        copied = [run.branch_of.get(cond["uuid"], branch) != branch for cond in conds]
        guider.conds[branch] = [
            {**cond, "uuid": uuid.uuid4()} if is_copy else cond for cond, is_copy in zip(conds, copied, strict=True)
        ]


def _rows(chunks: list[int], size: int) -> list[int]:
    """Row numbers in the batch of the given chunks of `size` rows."""
    return [row for chunk in chunks for row in range(chunk * size, (chunk + 1) * size)]


def _encode(executor, stages, references, rows, x, timesteps, context, y, control, transformer_options, kwargs):
    """Skip features {input block: [rows, C, H, W]} of the reference prompts for `rows` of the batch.

    Runs the UNet's own forward up to the last input block that is needed: patches of other nodes apply, wrappers
    (which may cache or skip whole calls) do not.
    """
    count, skips = len(rows) // len(references), {}

    def keep(h, options):
        block = options["block"][1]
        if block in stages.needed:
            skips[block] = h
        if block == stages.last:
            raise _EncoderDone
        return h

    def prepared(name: str, like: torch.Tensor) -> torch.Tensor:
        first, *others = (cond["model_conds"][name].process_cond(batch_size=count, area=None) for cond in references)
        return first.concat(others).to(device=like.device, dtype=like.dtype)

    def select(value):
        return value[rows] if torch.is_tensor(value) and value.shape[:1] == x.shape[:1] else value

    options = _with_patch(transformer_options, "input_block_patch", keep, first=False)
    options["uuids"] = [cond["uuid"] for cond in references]
    options["cond_or_uncond"] = [0] * len(references)
    own = {name: [select(value) for value in values] for name, values in control.items()} if control else None
    with contextlib.suppress(_EncoderDone):
        executor.original(
            x[rows],
            timesteps[rows],
            prepared("c_crossattn", context),
            None if y is None else prepared("y", y),
            own,
            options,
            **{name: select(value) for name, value in kwargs.items()},
        )
    stages.control = own.get("output", []) if own else []  # the encoder half takes none of these
    return skips


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


def _with_patch(transformer_options: dict, name: str, function, first: bool) -> dict:
    """A copy of `transformer_options` with one more patch, before or after the others."""
    patches = dict(transformer_options.get("patches", {}))
    others = list(patches.get(name, []))
    patches[name] = [function, *others] if first else [*others, function]
    return {**transformer_options, "patches": patches}
