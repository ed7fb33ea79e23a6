"""Where a model's features are read and changed while it samples: a UNet's decoder, or a transformer's blocks."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

from ...safree import SafreeError
from .. import compat
from .dit_blocks import DiTBlocks, Watcher, dit_blocks
from .unet_decoder import decoder_entry, deepest_blocks, network_of, read_blocks, with_patch


@dataclasses.dataclass(frozen=True)
class Features:
    """widths: channels of the blocks that are read, by number. damped: the blocks in which a concept is damped.

    blocks: a transformer's; None for a UNet
    """

    widths: dict[int, int]
    damped: tuple[int, ...]
    blocks: DiTBlocks | None = None

    def call(
        self, executor, watcher, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
    ):
        """What a wrapper APPLY_MODEL returns that lets `watcher` see the features of the call."""
        if kwargs.get("image_cond") is not None:  # beside the picture, in the rows of the latent itself
            raise SafreeError(
                "the latent guard does not read HiDream-E1 with a picture to edit. Remove LatentGuardPatch."
            )
        model = executor.class_obj
        options, network = transformer_options or {}, compat.compiled_from(model.diffusion_model)
        # Compiling may leave out what hangs on the options.
        with compat.uncompiled(model), self._watching(network, x.shape, watcher, options) as watched:
            return executor(x, t, c_concat, c_crossattn, control, watched, **kwargs)

    @contextlib.contextmanager
    def _watching(self, network: nn.Module, shape: tuple, watcher: Watcher, options: dict) -> Iterator[dict]:
        """A copy of transformer `options` in which `watcher` sees the features; earlier patches run before it."""
        if self.blocks is None:
            yield with_patch(options, "output_block_patch", self._decoder(watcher), first=False)
        else:
            with self.blocks.watching(network, shape, watcher, options) as watched:
                yield watched

    def _decoder(self, watcher: Watcher):
        def output_block(h: Tensor, skip: Tensor, options: dict) -> tuple[Tensor, Tensor]:
            block = options["block"][1]
            return (watcher(block, h, options) if block in self.widths else h), skip

        return output_block


def features_of(model, node: str) -> Features:
    """Where to read `model`. Raises SafreeError, which names `node`, for a model of a kind that is not read."""
    network = network_of(model)
    if isinstance(network, UNetModel):
        channels = decoder_entry(network)
        return Features({block: channels[block] for block in read_blocks(network)}, tuple(deepest_blocks(network)))
    blocks = dit_blocks(network, node)
    width = blocks.family.width(network)
    return Features(dict.fromkeys(blocks.chosen, width), tuple(blocks.chosen), blocks)
