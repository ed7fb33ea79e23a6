"""Keep the decoder's features of many sampling runs: gigabytes, so on disk, mapped into memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import comfy.patcher_extension
import folder_paths
import torch
from torch import Tensor

from ...safree import SafreeError
from ...safree.presence import on_grid
from ..features.model_features import Features
from ..features.unet_decoder import ASKED, sigma

Key = tuple[float, int, bool]  # sigma, block, and whether the prompt's


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in ComfyUI's temporary one, which goes with all that is in it."""
    Path(folder_paths.get_temp_directory()).mkdir(parents=True, exist_ok=True)
    # Windows keeps a mapped file until its last tensor is gone; ComfyUI empties the folder when it starts.
    settings = {"prefix": "safree_", "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(dir=folder_paths.get_temp_directory(), **settings) as folder:
        yield Path(folder)


class Recorder:
    """Keeps the features of every step of sampling runs of `pictures` pictures, on a grid, in half precision."""

    def __init__(self, features: Features, pictures: int, folder: Path):
        self.features, self.pictures, self.folder = features, pictures, folder
        self.rows: dict[Key, Tensor] = {}  # [pictures, D, h, w]
        self.filled: dict[Key, int] = {}  # how many of them are there
        folder.mkdir()

    def attach(self, model):
        """A clone of `model` that records."""
        recording = model.clone()
        wrapper = comfy.patcher_extension.WrappersMP.APPLY_MODEL

        def apply_model(executor, *args, **kwargs):
            return self.features.call(executor, self._record, *args, **kwargs)

        recording.add_wrapper_with_key(wrapper, "safree_record", apply_model)
        return recording

    def levels(self) -> list[float]:
        """Noise levels recorded, falling."""
        return sorted({level for level, _, _ in self.rows}, reverse=True)

    def at(self, level: float, device) -> dict[int, tuple[Tensor, Tensor]]:
        """Features of one noise level by block: with the prompt and with the empty one (the same without guidance)."""
        out = {}
        for block in self.features.widths:
            asked, empty = self.rows[level, block, True], self.rows.get((level, block, False))
            asked = asked.to(device, torch.float)
            out[block] = (asked, asked if empty is None else empty.to(device, torch.float))
        return out

    def _record(self, block: int, h: Tensor, options: dict) -> Tensor:
        kinds, level = options.get("cond_or_uncond") or [ASKED], sigma(options)
        for kind, part in zip(kinds, on_grid(h).half().cpu().chunk(len(kinds)), strict=True):
            key = (level, block, kind == ASKED)
            if key not in self.rows:
                self.rows[key] = self._mapped(part.shape[1:])
            first = self.filled.get(key, 0)
            self.filled[key] = first + len(part)
            self.rows[key][first : self.filled[key]] = part
        return h

    def _mapped(self, shape: torch.Size) -> Tensor:
        path, count = self.folder / f"{len(self.rows)}.bin", self.pictures * shape.numel()
        try:
            with open(path, "wb") as file:
                _reserve(file, 2 * count)
            return torch.from_file(str(path), shared=True, size=count, dtype=torch.half).view(self.pictures, *shape)
        except (OSError, RuntimeError) as error:
            raise SafreeError(
                f"no room for the features of {self.pictures} pictures in {self.folder.parent}: {error}. Free some, "
                "start ComfyUI with --temp-directory on a larger disk, or draw fewer pictures."
            ) from error


def _reserve(file, size: int) -> None:
    """Make an empty file `size` bytes long, all of them on the disk: of a hole, a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(bytes(size))
