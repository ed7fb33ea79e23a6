"""Learned presences as safetensors files: written whole or not at all, and checked when read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from . import SafreeError
from .presence import ConceptPresence, Probe
from .storage import UNREADABLE, save_tensors

FORMAT = "safree-presence-1"
ALSO = "empty."  # before the names of what the empty prompt's conditioning holds beside its states
NUMBERS = ("offset", "mean", "deviation")


def save(concept: ConceptPresence, path: Path, overwrite: bool = False) -> None:
    """Write one file. Raises SafreeError if it exists and `overwrite` is False, or if the disk refuses."""
    header = {"format": FORMAT, "name": concept.name, "phrases": json.dumps(concept.phrases)}
    tensors = {"sigmas": torch.tensor(concept.sigmas, dtype=torch.float64), "clean": concept.clean}
    tensors["empty"], tensors["shown"] = concept.empty, concept.shown
    tensors |= {f"{ALSO}{name}": tensor for name, tensor in concept.also.items()}
    for step, probes in enumerate(concept.probes):
        for block, probe in probes.items():
            stem = f"{step}.{block}"
            tensors[f"{stem}.weight"], tensors[f"{stem}.direction"] = probe.weight, probe.direction
            numbers = [getattr(probe, name) for name in NUMBERS]
            tensors[f"{stem}.numbers"] = torch.tensor(numbers, dtype=torch.float64)
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    save_tensors(tensors, header, path, "presence", overwrite)


def load(path: Path) -> ConceptPresence:
    """Read a file written by `save`; raise SafreeError naming the file and what is wrong with it."""
    path = Path(path)
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise SafreeError(f"presence file {path.name!r} has format {header.get('format')!r}, not {FORMAT!r}.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
            phrases, name = json.loads(header["phrases"]), header["name"]
        concept = ConceptPresence(
            *(name, tuple(phrases), tuple(tensors["sigmas"].tolist()), _probes(tensors)),
            *(tensors["clean"], tensors["shown"], tensors["empty"], _also(tensors)),
        )
    except SafreeError:
        raise
    except (SafetensorError, OSError, IndexError, *UNREADABLE) as error:
        raise SafreeError(f"presence file {path.name!r} is damaged ({error}). Learn and save it again.") from error
    if problem := _fault(concept, tensors):
        raise SafreeError(f"presence file {path.name!r} is damaged ({problem}). Learn and save it again.")
    return concept


def _also(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    also = {name.removeprefix(ALSO): tensor for name, tensor in tensors.items() if name.startswith(ALSO)}
    return also | {"pooled_output": tensors["pooled"]} if "pooled" in tensors else also  # of 0.2.0


def _probes(tensors: dict[str, torch.Tensor]) -> tuple[dict[int, Probe], ...]:
    probes: list[dict[int, Probe]] = [{} for _ in tensors["sigmas"].tolist()]
    for key in (name.removesuffix(".weight") for name in tensors if name.endswith(".weight")):
        step, block = map(int, key.split("."))
        numbers = dict(zip(NUMBERS, tensors[f"{key}.numbers"].tolist(), strict=True))
        probes[step][block] = Probe(tensors[f"{key}.weight"], direction=tensors[f"{key}.direction"], **numbers)
    return tuple(probes)


def _fault(concept: ConceptPresence, tensors: dict[str, torch.Tensor]) -> str:
    """What is wrong with a file's content; '' if it is fine."""
    steps = len(concept.sigmas)
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        return "its numbers are not finite"
    if steps < 2 or list(concept.sigmas) != sorted(concept.sigmas, reverse=True) or concept.sigmas[-1] <= 0:
        return f"its noise levels are {concept.sigmas}"
    for measured in (concept.clean, concept.shown):
        if measured.ndim != 3 or measured.shape[:2] != (2, steps) or measured.shape[2] < 2:
            return f"its calibration has shape {list(measured.shape)}"
    shape = {block: len(probe.weight) for block, probe in concept.probes[0].items()}
    for probes in concept.probes:
        if not shape or {block: len(probe.weight) for block, probe in probes.items()} != shape:
            return "its probes differ from step to step"
        if any(probe.direction.shape != probe.weight.shape or probe.weight.ndim != 1 for probe in probes.values()):
            return "its probes have the wrong shape"
        if any(probe.deviation <= 0 for probe in probes.values()):
            return "a deviation is not positive"
    if concept.empty.ndim != 3:
        return f"the empty prompt has shape {list(concept.empty.shape)}"
    return ""
