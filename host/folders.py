"""The model folder `safree_subspaces`, and file names that stay inside it."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths

from ..safree import SafreeError

KIND = "safree_subspaces"
CALIBRATION = "safree_calibration"  # embeddings of everyday words, made anew when they are deleted
DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)  # on Windows, whatever the ending
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")


def register() -> None:
    folder_paths.add_model_folder_path(KIND, str(Path(folder_paths.models_dir) / KIND))
    folder_paths.add_model_folder_path(CALIBRATION, str(Path(folder_paths.models_dir) / CALIBRATION))
    for kind in (KIND, CALIBRATION):
        folder_paths.folder_names_and_paths[kind][1].add(".safetensors")


def calibration() -> Path:
    """Where calibrations of text encoders are kept."""
    return Path(folder_paths.get_folder_paths(CALIBRATION)[0])


def names() -> list[str]:
    return folder_paths.get_filename_list(KIND)


def to_save(name: str) -> Path:
    """Where a subspace called `name` is saved; SafreeError for a name that is no plain file name."""
    stem = name.removesuffix(".safetensors")
    if not NAME.fullmatch(stem) or stem.endswith((" ", ".")) or DEVICES.fullmatch(stem):
        raise SafreeError(
            f"file name {name!r} is not usable. Use letters, digits, space, '.', '_' and '-', at most 100, no folders."
        )
    return Path(folder_paths.get_folder_paths(KIND)[0]) / f"{stem}.safetensors"


def to_load(name: str) -> Path:
    """The file of the subspace called `name`; SafreeError if there is none."""
    path = folder_paths.get_full_path(KIND, name) if name in names() else None
    if path is None:
        raise SafreeError(f"there is no subspace file {name!r} in models/{KIND}. Save one with SaveConceptSubspace.")
    return Path(path)
