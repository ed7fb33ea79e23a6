"""Concept subspaces as safetensors files: written whole or not at all, and checked when read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import SafreeError
from .subspace import ConceptSubspace, EncoderSubspace, defaults_fault

FORMAT = "safree-subspace-1"
SMALLEST = 1e-12  # norm of an embedding; its square and its inverse's are still float32 numbers
UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)  # data of another shape


def save(subspace: ConceptSubspace, path: Path, overwrite: bool = False) -> None:
    """Write one safetensors file, whole or not at all.

    Raises SafreeError if it exists and `overwrite` is False, or if the disk refuses.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "name": subspace.name,
        "phrases": json.dumps(subspace.phrases),
        "defaults": json.dumps(subspace.defaults),
        "null": json.dumps({key: list(space.null) for key, space in subspace.encoders.items()}),
    }
    tensors = {  # cloned: safetensors takes no shared memory
        f"{key}.{field}": getattr(space, field).clone(memory_format=torch.contiguous_format)
        for key, space in subspace.encoders.items()
        for field in ("concepts", "common", "probe")
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and not overwrite:
            raise SafreeError(f"subspace file {path.name!r} exists. Choose another name or turn on overwrite.")
        _write(tensors, header, path)
    except (OSError, SafetensorError) as error:
        raise SafreeError(
            f"subspace file {path.name!r} could not be written ({error}). Check the disk and the folder's permissions."
        ) from error


def _write(tensors: dict[str, torch.Tensor], header: dict[str, str], path: Path) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        save_file(tensors, partial, metadata=header)
        with open(partial, "r+b") as written:  # Windows syncs no file that is open for reading only
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def load(path: Path) -> ConceptSubspace:
    """Read a file written by `save`; raise SafreeError naming the file and what is wrong with it."""
    path = Path(path)
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise SafreeError(f"subspace file {path.name!r} has format {header.get('format')!r}, not {FORMAT!r}.")
            null = json.loads(header["null"])
            phrases = json.loads(header["phrases"])
            encoders = {
                key: EncoderSubspace(
                    *(file.get_tensor(f"{key}.{field}") for field in ("concepts", "common", "probe")),
                    (float(mean), float(deviation)),
                )
                for key, (mean, deviation) in null.items()
            }
            name = header["name"]
            defaults = json.loads(header.get("defaults", "{}"))
    except SafreeError:
        raise
    except (SafetensorError, OSError, *UNREADABLE) as error:
        raise SafreeError(f"subspace file {path.name!r} is damaged ({error}). Build and save it again.") from error
    _check_loaded(path.name, phrases, encoders, defaults)
    return ConceptSubspace(name, tuple(phrases), encoders, defaults=defaults)


def _check_loaded(name: str, phrases: object, encoders: dict[str, EncoderSubspace], defaults: object) -> None:
    problem = " ".join(defaults_fault(defaults) or ()) or None
    is_list = isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases)
    if not encoders or not phrases or not is_list:
        problem = "it names no phrases or no encoders"
    for key, space in encoders.items():
        if any(t.dtype != torch.float32 for t in (space.concepts, space.common, space.probe)):
            problem = f"tensors of encoder {key!r} are not float32"
        elif space.concepts.ndim != 2 or space.common.ndim != 2 or space.probe.ndim != 1:
            problem = f"tensors of encoder {key!r} have the wrong number of dimensions"
        elif not space.concepts.shape[1] == space.common.shape[1] == len(space.probe) > 0 or not len(space.concepts):
            problem = f"tensors of encoder {key!r} disagree in width"
        elif not all(torch.isfinite(t).all() for t in (space.concepts, space.common, space.probe)):
            problem = f"tensors of encoder {key!r} hold NaN or infinity"
        elif not _usable(space.concepts):
            problem = f"the concepts of encoder {key!r} are zero or too large"
        elif not torch.allclose(space.common @ space.common.T, torch.eye(len(space.common)), atol=1e-3):
            problem = f"the common directions of encoder {key!r} are not orthonormal"
        elif not all(0 <= value <= 1 for value in space.null):  # of shares; NaN is not among them
            problem = f"the calibration of encoder {key!r} is {space.null}, outside 0 to 1"
    if problem:
        raise SafreeError(f"subspace file {name!r} is damaged ({problem}). Build and save it again.")


def _usable(concepts: torch.Tensor) -> bool:
    """Whether every concept [K, D] has a direction that can be computed with."""
    norms = concepts.norm(dim=-1)
    return bool((norms > SMALLEST).all() and (norms < 1 / SMALLEST).all())
