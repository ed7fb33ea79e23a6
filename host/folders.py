"""The pack's model folders, and file names that stay inside them."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths

from ..safree import SafreeError

KIND = "safree_subspaces"
CALIBRATION = "safree_calibration"  # embeddings of everyday words, made anew when they are deleted
PRESENCES = "safree_presences"
NAMES = "safree_names"  # text files with a name a line
JUDGES = "safree_judges"  # a folder for each image classifier of transformers
WRITERS = {KIND: ("subspace", "SaveConceptSubspace"), PRESENCES: ("presence", "SaveConceptPresence")}
ENDINGS = {**dict.fromkeys((*WRITERS, CALIBRATION), ".safetensors"), NAMES: ".txt"}
DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)  # on Windows, whatever the ending
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")


def register() -> None:
    for kind, ending in ENDINGS.items():
        folder_paths.add_model_folder_path(kind, str(Path(folder_paths.models_dir) / kind))
        folder_paths.folder_names_and_paths[kind][1].add(ending)
    folder_paths.add_model_folder_path(JUDGES, str(Path(folder_paths.models_dir) / JUDGES))


def calibration() -> Path:
    """Where calibrations of text encoders are kept."""
    return Path(folder_paths.get_folder_paths(CALIBRATION)[0])


def names(kind: str = KIND) -> list[str]:
    return folder_paths.get_filename_list(kind)


def judges() -> dict[str, Path]:
    """The folders of image classifiers in models/safree_judges, by name."""
    parents = [Path(folder) for folder in folder_paths.get_folder_paths(JUDGES)]
    return {path.parent.name: path.parent for parent in parents for path in sorted(parent.glob("*/config.json"))}


def judge(name: str) -> Path:
    """The folder of the image classifier called `name`; SafreeError if there is none."""
    found = judges()
    if name not in found:
        raise SafreeError(
            f"there is no judge {name!r} in models/{JUDGES}. Available: {', '.join(found) or 'none'}. See "
            "docs/judges.md."
        )
    return found[name]


def to_save(name: str, kind: str = KIND) -> Path:
    """Where a file of `kind` called `name` is saved; SafreeError for a name that is no plain file name."""
    stem = name.removesuffix(".safetensors")
    if not NAME.fullmatch(stem) or stem.endswith((" ", ".")) or DEVICES.fullmatch(stem):
        raise SafreeError(
            f"file name {name!r} is not usable. Use letters, digits, space, '.', '_' and '-', at most 100, no folders."
        )
    return Path(folder_paths.get_folder_paths(kind)[0]) / f"{stem}.safetensors"


def to_load(name: str, kind: str = KIND) -> Path:
    """The file of `kind` called `name`; SafreeError if there is none."""
    path = folder_paths.get_full_path(kind, name) if name in names(kind) else None
    if path is None:
        what, writer = WRITERS.get(kind, ("names", ""))
        advice = f"Save one with {writer}." if writer else "Put one there, a name a line."
        raise SafreeError(f"there is no {what} file {name!r} in models/{kind}. {advice}")
    return Path(path)
