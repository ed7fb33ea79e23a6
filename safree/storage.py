"""Concept subspaces as safetensors files: written whole or not at all, and checked when read."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import SafreeError
from .subspace import COMMON_RANK, ConceptSubspace, EncoderSubspace, defaults_fault

FORMAT = "safree-subspace-2"
FIRST = "safree-subspace-1"  # of version 0.1.0: with a calibration of its own, and what to retain inside `common`
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
        "encoders": json.dumps(list(subspace.encoders)),
        "retained": json.dumps(subspace.retained),
        "kin": json.dumps(subspace.kin),
        **({"names": json.dumps(subspace.names)} if subspace.names else {}),
    }
    tensors = {  # cloned: safetensors takes no shared memory
        f"{key}.{field}": getattr(space, field).clone(memory_format=torch.contiguous_format)
        for key, space in subspace.encoders.items()
        for field in ("concepts", "common", "probe", "retain")
    }
    save_tensors(tensors, header, path, "subspace", overwrite)


def save_tensors(tensors: dict[str, torch.Tensor], header: dict[str, str], path: Path, what: str, overwrite: bool):
    """`write`, with SafreeErrors that name a `what` file: it exists and `overwrite` is False, or the disk refuses."""
    try:
        if os.path.lexists(path) and not overwrite:
            raise SafreeError(f"{what} file {path.name!r} exists. Choose another name or turn on overwrite.")
        write(tensors, header, path)
    except (OSError, SafetensorError) as error:
        raise SafreeError(
            f"{what} file {path.name!r} could not be written ({error}). Check the disk and the folder's permissions."
        ) from error


def write(tensors: dict[str, torch.Tensor], header: dict[str, str], path: Path) -> None:
    """One safetensors file, whole or not at all; its folder is made. Raises OSError or SafetensorError."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
            if header.get("format") not in (FORMAT, FIRST):
                raise SafreeError(f"subspace file {path.name!r} has format {header.get('format')!r}, not {FORMAT!r}.")
            first = header["format"] == FIRST
            keys = list(json.loads(header["null" if first else "encoders"]))
            phrases = json.loads(header["phrases"])
            retained, names = (json.loads(header.get(field, "[]")) for field in ("retained", "names"))
            encoders = {key: _read(file, key, first) for key in keys}
            name = header["name"]
            defaults, kin = (json.loads(header.get(field, "{}")) for field in ("defaults", "kin"))
    except SafreeError:
        raise
    except (SafetensorError, OSError, *UNREADABLE) as error:
        raise SafreeError(f"subspace file {path.name!r} is damaged ({error}). Build and save it again.") from error
    _check_loaded(path.name, (phrases, retained, names), encoders, defaults, kin)
    if first and any(len(space.common) > COMMON_RANK for space in encoders.values()):
        logging.warning(
            "SAFREE: subspace file %r is of version 0.1.0, which did not name the phrases to retain: they are lost. "
            "Build and save it again to have them back.",
            path.name,
        )
    texts = {"retained": tuple(retained), "names": tuple(names)}
    return ConceptSubspace(name, tuple(phrases), encoders, defaults=defaults, kin=kin, **texts)


def _read(file, key: str, first: bool) -> EncoderSubspace:
    concepts, common, probe = (file.get_tensor(f"{key}.{field}") for field in ("concepts", "common", "probe"))
    return EncoderSubspace(concepts, common, probe, concepts[:0] if first else file.get_tensor(f"{key}.retain"))


def _check_loaded(name: str, texts: tuple, encoders: dict[str, EncoderSubspace], defaults, kin) -> None:
    """texts: (phrases, retained, names), as they were read."""
    phrases, retained, names = texts
    problem = " ".join(defaults_fault(defaults) or ()) or None
    are_lists = all(isinstance(part, list) and all(isinstance(p, str) for p in part) for part in texts)
    if not encoders or not (phrases or names) or not are_lists:
        problem = "it names no phrases or no encoders"
    elif phrases and names:
        problem = "it holds phrases and names at once"
    else:
        faults = (_tensor_fault(key, space, bool(names)) for key, space in encoders.items())
        problem = problem or next(filter(None, faults), None)
    if not problem and any(len(space.retain) not in (0, len(retained)) for space in encoders.values()):
        problem = "it holds another number of phrases to retain than it names"
    if not problem and not _is_kin(kin):
        problem = "its words of one kind have no probabilities"
    if problem:
        raise SafreeError(f"subspace file {name!r} is damaged ({problem}). Build and save it again.")


def _is_kin(kin) -> bool:
    if not isinstance(kin, dict):
        return False
    return all(isinstance(value, float | int) and value is not True and 0 < value <= 1 for value in kin.values())


def _tensor_fault(key: str, space: EncoderSubspace, of_names: bool) -> str | None:
    """What is wrong with the tensors of an encoder; those of a list of names hold no concepts."""
    tensors = (space.concepts, space.common, space.probe, space.retain)
    if any(t.dtype != torch.float32 for t in tensors):
        return f"tensors of encoder {key!r} are not float32"
    if [t.ndim for t in tensors] != [2, 2, 1, 2]:
        return f"tensors of encoder {key!r} have the wrong number of dimensions"
    if len({space.concepts.shape[1], space.common.shape[1], len(space.probe), space.retain.shape[1]}) > 1:
        return f"tensors of encoder {key!r} disagree in width"
    if not len(space.probe) or bool(len(space.concepts)) == of_names:
        return f"tensors of encoder {key!r} are empty"
    if not all(torch.isfinite(t).all() for t in tensors):
        return f"tensors of encoder {key!r} hold NaN or infinity"
    if not _usable(space.concepts) or not _usable(space.retain):
        return f"the concepts of encoder {key!r} are zero or too large"
    if not torch.allclose(space.common @ space.common.T, torch.eye(len(space.common)), atol=1e-3):
        return f"the common directions of encoder {key!r} are not orthonormal"
    return None


def _usable(concepts: torch.Tensor) -> bool:
    """Whether every concept [K, D] has a direction that can be computed with."""
    norms = concepts.norm(dim=-1)
    return bool((norms > SMALLEST).all() and (norms < 1 / SMALLEST).all())
