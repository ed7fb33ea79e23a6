"""Where a model's features are read and changed while it samples: a UNet's decoder, or the blocks of an MMDiT (SD3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ...safree import SafreeError
from .. import compat
from .unet_decoder import decoder_entry, deepest_blocks, network_of, read_blocks, with_patch

READ = 4  # blocks of an MMDiT that are read, spread over its middle third

# (number of the block, features [B, D, H, W], transformer options) -> features, the same object where unchanged
Watcher = Callable[[int, Tensor, dict], Tensor]


@dataclasses.dataclass(frozen=True)
class Features:
    """widths: channels of the blocks that are read, by number. damped: the blocks in which a concept is damped.

    patch: pixels of the latent along each side of a token; 0 for a UNet
    """

    widths: dict[int, int]
    damped: tuple[int, ...]
    patch: int = 0

    def watched(self, options: dict, size: tuple[int, int], watcher: Watcher) -> dict:
        """A copy of transformer `options` in which `watcher` sees the features of a latent of `size`, height and width.

        Patches that are there already run before it.
        """
        if not self.patch:
            return with_patch(options, "output_block_patch", self._decoder(watcher), first=False)
        grid = tuple(-(-side // self.patch) for side in size)
        replaced = {**options.get("patches_replace", {})}
        own = replaced["dit"] = {**replaced.get("dit", {})}
        for block in self.widths:
            key = ("double_block", block)
            own[key] = _joint(block, grid, own.get(key), watcher, options)
        return {**options, "patches_replace": replaced}

    def call(
        self, executor, watcher, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
    ):
        """What a wrapper APPLY_MODEL returns that lets `watcher` see the features of the call."""
        options = self.watched(transformer_options or {}, tuple(x.shape[-2:]), watcher)
        with compat.uncompiled(executor.class_obj):  # compiling may leave out what hangs on the options
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def _decoder(self, watcher: Watcher):
        def output_block(h: Tensor, skip: Tensor, options: dict) -> tuple[Tensor, Tensor]:
            block = options["block"][1]
            return (watcher(block, h, options) if block in self.widths else h), skip

        return output_block


def features_of(model, node: str) -> Features:
    """Where to read `model`. Raises SafreeError, which names `node`, for a model that is neither UNet nor MMDiT."""
    network = network_of(model)
    if isinstance(network, MMDiT):
        depth = len(network.joint_blocks)
        first, last = depth // 3, max(2 * depth // 3, depth // 3 + 1)
        blocks = sorted({first + i * (last - first) // READ for i in range(READ)})
        return Features(dict.fromkeys(blocks, network.hidden_size), tuple(blocks), network.patch_size)
    if not isinstance(network, UNetModel):
        raise SafreeError(
            f"{node} reads a UNet (SD1.x, SD2.x, SDXL) or an MMDiT (SD3, SD3.5); this model is a "
            f"{type(network).__name__}. Remove this node; SafreeConditioning alone guards every model."
        )
    channels = decoder_entry(network)
    return Features({block: channels[block] for block in read_blocks(network)}, tuple(deepest_blocks(network)))


def _joint(block: int, grid: tuple[int, int], earlier, watcher: Watcher, options: dict):
    """A replacement of one joint block, around an `earlier` one, whose picture tokens [B, H W, D] are watched."""

    def replaced(arguments: dict, extra: dict) -> dict:
        out = earlier(arguments, extra) if earlier else extra["original_block"](arguments)
        tokens = out["img"]
        features = tokens.transpose(1, 2).unflatten(2, grid)
        changed = watcher(block, features, options)
        return out if changed is features else {**out, "img": changed.flatten(2).transpose(1, 2)}

    return replaced
