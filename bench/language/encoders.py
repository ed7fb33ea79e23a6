"""The text encoders that `bench language` measures, as plain data: what to load, and how."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dev import setup_host, text_encoders

from ..world.studio import skip_identity_layers

NAMES = ("lang-clip", "minilm", "e5", "smollm2", "tiny")


@dataclasses.dataclass(frozen=True)
class Encoder:
    """name: one of NAMES, or anything with `files`: a checkpoint, or encoder files of the family `kind`.

    folder: of lang-clip. share: of the everyday vocabulary that it is calibrated on; None: as in use
    """

    name: str
    files: tuple[Path, ...] = ()
    kind: str = ""
    folder: Path | None = None
    share: float | None = None

    @property
    def label(self) -> str:
        """How reports name it."""
        return self.name if self.share is None else f"{self.name} ({self.share:g} of the vocabulary)"

    def load(self):
        """ComfyUI's CLIP. OSError or ValueError says what is amiss with the files."""
        if self.files:
            return text_encoders.from_files(list(self.files), self.kind)
        if self.name == "tiny":
            return tiny()
        if self.name == "lang-clip":
            return text_encoders.lang_clip(self.folder)
        return {"minilm": text_encoders.minilm, "e5": text_encoders.e5, "smollm2": text_encoders.smollm2}[self.name]()


def tiny():
    """The text encoder of the tiny checkpoint, without its layers that do nothing."""
    clip = text_encoders.from_files([setup_host.base() / "models" / "checkpoints" / setup_host.CHECKPOINT])
    skip_identity_layers(clip)
    return clip
