"""Read and change the picture's tokens in a transformer's blocks: by ComfyUI's block patches, or torch's hooks."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator

import comfy.patcher_extension
from torch import Tensor, nn

from ...safree import SafreeError
from .families import JOINT, SINGLE, Blocks, Family, family_of

READ = 4  # blocks that are read, spread over the middle third
WRAPPER = "safree_features"
AXES = {"b t h w d": (0, 4, 1, 2, 3), "t h w b d": (3, 4, 0, 1, 2)}  # to [B, D, frames, height, width]

# (number of the block, features [B, D, H, W], of a video [B, D, frames, H, W], options) -> features, the same object
# where unchanged
Watcher = Callable[[int, Tensor, dict], Tensor]


@dataclasses.dataclass(frozen=True)
class DiTBlocks:
    """The blocks of one class of network that are read.

    chosen: by number over all blocks, the kind of block and its number within it
    """

    family: Family
    chosen: dict[int, tuple[Blocks, int]]

    @contextlib.contextmanager
    def watching(self, network: nn.Module, shape: tuple[int, ...], watcher: Watcher, options: dict) -> Iterator[dict]:
        """Transformer options for one call with a latent of `shape`, in which `watcher` sees each chosen block.

        Patches that are there already run before it. Raises SafreeError where the network ran and a block did not.
        """
        call = _Call(self.family, network, _grid(self.family.patch(network), shape), watcher, options)
        replaced = {**options.get("patches_replace", {})}
        own = replaced["dit"] = {**replaced.get("dit", {})}
        hooks = []
        for number, (blocks, index) in self.chosen.items():
            if blocks.hook:
                key = (blocks.hook, index)
                own[key] = call.replacement(number, blocks, own.get(key))
            else:
                block = list_of(network, blocks)[index]
                hooks.append(block.register_forward_hook(call.hook(number, blocks)))
        if self.family.blocks[0].hook == JOINT:
            own[JOINT, 0] = call.measuring(own.get((JOINT, 0)))
        try:
            yield {**options, "patches_replace": replaced, "wrappers": call.wrappers()}
        finally:
            for hook in hooks:
                hook.remove()
        call.check(self.chosen)


@dataclasses.dataclass
class _Call:
    """One call of the network. streams: see families.Start; seen: blocks that ran."""

    family: Family
    network: nn.Module
    grid: tuple[int, ...]
    watcher: Watcher
    options: dict
    streams: dict[str, int] = dataclasses.field(default_factory=dict)
    seen: set[int] = dataclasses.field(default_factory=set)
    ran: bool = False

    def replacement(self, number: int, blocks: Blocks, earlier):
        """What ComfyUI calls in place of a block, around an `earlier` replacement."""

        def replaced(arguments: dict, extra: dict) -> dict:
            out = earlier(arguments, extra) if earlier else extra["original_block"](arguments)
            if blocks.hook == SINGLE and "img_slice" in arguments.get("transformer_options", {}):
                self.streams["begin"] = arguments["transformer_options"]["img_slice"][0]
            stream = out["img"]
            changed = self._watched(number, blocks, stream)
            return out if changed is stream else {**out, "img": changed}

        return replaced

    def hook(self, number: int, blocks: Blocks):
        """torch's forward hook of a block, which may answer with a tuple of the picture's stream and the text's."""

        def hook(_module, _arguments, out):
            stream = out[0] if isinstance(out, tuple) else out
            changed = self._watched(number, blocks, stream)
            if changed is stream:
                return None
            return (changed, *out[1:]) if isinstance(out, tuple) else changed

        return hook

    def measuring(self, earlier):
        """The first joint block, around an `earlier` replacement, which tells how many tokens each stream has."""

        def replaced(arguments: dict, extra: dict) -> dict:
            streams = {name: arguments[name] for name in ("img", "txt") if name in arguments}
            self.streams = {name: stream.shape[1] for name, stream in streams.items()}
            return earlier(arguments, extra) if earlier else extra["original_block"](arguments)

        return replaced

    def wrappers(self) -> dict:
        """The options' wrappers and a last one, which tells that no cache answered in the network's place."""

        def ran(executor, *args, **kwargs):
            self.ran = True
            return executor(*args, **kwargs)

        kind, wrappers = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, self.options.get("wrappers", {})
        return {**wrappers, kind: {**wrappers.get(kind, {}), WRAPPER: [ran]}}

    def check(self, chosen: dict[int, tuple[Blocks, int]]) -> None:
        wrapped = hasattr(self.network, "_forward")  # ComfyUI's sign of a forward that wrappers run around
        if (self.ran or not wrapped) and (missed := chosen.keys() - self.seen):
            raise SafreeError(
                f"block {min(missed)} of {type(self.network).__name__} was not read: this ComfyUI calls its blocks in "
                "another way, or a node leaves them out. Remove that node, or update SAFREE."
            )

    def _watched(self, number: int, blocks: Blocks, stream: Tensor) -> Tensor:
        """The stream that `watcher` leaves; the same object where it changes nothing."""
        self.seen.add(number)
        if blocks.axes == "tokens":
            return self._watched_tokens(number, blocks, stream)
        order = AXES[blocks.axes]
        features = stream.permute(order)
        if features.shape[2] == 1:  # a picture
            features = features[:, :, 0]
        changed = self.watcher(number, features, self.options)
        if changed is features:
            return stream
        whole = changed if changed.ndim == 5 else changed[:, :, None]
        return whole.permute([order.index(axis) for axis in range(5)])

    def _watched_tokens(self, number: int, blocks: Blocks, tokens: Tensor) -> Tensor:
        count = math.prod(self.grid)
        start = blocks.start(tokens.shape[1], count, self.streams, self.network)
        if start < 0 or start + count > tokens.shape[1]:
            raise SafreeError(
                f"block {number} of {type(self.network).__name__} holds {tokens.shape[1]} tokens, in which the "
                f"picture's {count} are not found: this ComfyUI or a node lays them out in another way. Remove that "
                "node, or update SAFREE."
            )
        features = tokens[:, start : start + count].transpose(1, 2).unflatten(2, self.grid)
        changed = self.watcher(number, features, self.options)
        if changed is features:
            return tokens
        out = tokens.clone()
        out[:, start : start + count] = changed.flatten(2).transpose(1, 2)
        return out


def _grid(patch: int | tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Tokens of a latent of `shape` in height and width, before them in time where it has several frames."""
    sides = shape[2:] if len(shape) == 5 else (1, *shape[2:])
    sizes = (patch, patch) if isinstance(patch, int) else tuple(patch)
    frames, *grid = (-(-side // size) for side, size in zip(sides, (1,) * (3 - len(sizes)) + sizes, strict=True))
    return tuple(grid) if frames == 1 else (frames, *grid)


def list_of(network: nn.Module, blocks: Blocks) -> list[nn.Module]:
    """The blocks of one kind, in order."""
    found = getattr(network, blocks.name)
    return list(found.values()) if isinstance(found, nn.ModuleDict) else list(found)


def dit_blocks(network: nn.Module, node: str) -> DiTBlocks:
    """The blocks to read of a transformer; SafreeError for a class that is not read, or whose blocks are not there."""
    family = family_of(network, node)
    for blocks in family.blocks:
        if not hasattr(network, blocks.name):
            raise SafreeError(
                f"{node} does not find the blocks '{blocks.name}' of this {type(network).__name__}, which this ComfyUI "
                "names in another way. Update SAFREE, or remove this node."
            )
    every = [(blocks, index) for blocks in family.blocks for index in range(len(list_of(network, blocks)))]
    begin, end = len(every) // 3, max(2 * len(every) // 3, len(every) // 3 + 1)
    numbers = sorted({begin + i * (end - begin) // READ for i in range(READ)})
    return DiTBlocks(family, {number: every[number] for number in numbers})
