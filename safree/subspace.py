"""Concept subspaces: an orthonormal basis of the span of the concept embeddings (paper, section 3.1)."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import SafreeError

FORMAT = "safree-subspace-1"
RANK_TOLERANCE = 1e-2  # singular values below this share of the largest carry rounding and near-duplicate phrases
COMMON_RANK = 1  # the direction that everyday words share: "there is one more thing"
SMALLEST = 1e-12  # norm of an embedding; its square and its inverse's are still float32 numbers
UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)  # data of another shape
MAX_STRENGTH = 2  # above 1: past the filtered prompt
MODES = ("adaptive", "paper", "reference")
DEFAULTS = {"threshold": 1, "strength": MAX_STRENGTH}  # what a concept set may name for each mode, and the most of it
PROBE_SIMILARITY = 0.98  # a LoRA or another dtype stays above, another encoder or layer falls below


def check_share(name: str, value: float, most: int = 1) -> None:
    """SafreeError unless `value` lies in [0, most]; NaN, which JSON can carry past a widget's bounds, does not."""
    if not 0 <= value <= most:
        raise SafreeError(f"{name} is {value}, outside 0 to {most}. Choose a value in between.")


def span(vectors: torch.Tensor, tolerance: float = RANK_TOLERANCE, rank: int | None = None) -> torch.Tensor:
    """Orthonormal basis [r, D] (float32) of the span of `vectors` [K, D], strongest direction first.

    SVD with a rank tolerance: the pseudo-inverse of the Gram matrix, used by the paper's release, blows up on
    near-collinear phrases.
    """
    # float64: a Gram matrix of real phrases reaches a condition number of thousands
    _, singular, basis = torch.linalg.svd(vectors.double(), full_matrices=False)
    kept = int((singular > tolerance * singular[0]).sum()) if len(singular) else 0
    return basis[: min(kept, rank) if rank else kept].float()


def project(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """P x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]."""
    return (vectors @ basis.T) @ basis


def reject(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """(I - P) x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]."""
    return vectors - project(vectors, basis)


@dataclasses.dataclass(frozen=True)
class EncoderSubspace:
    """The subspace in the output space of one text encoder (width D). All tensors float32 on the CPU.

    concepts: [K, D] pooled embeddings of the concept phrases, the rows of C
    common:   [c, D] orthonormal directions that every everyday word has (`COMMON_RANK` of them)
    probe:    [D] pooled embedding of a fixed phrase; recognises the encoder
    null:     (mean, standard deviation) of the alignment of everyday words with this subspace
    """

    concepts: torch.Tensor
    common: torch.Tensor
    probe: torch.Tensor
    null: tuple[float, float]

    @property
    def basis(self) -> torch.Tensor:
        """[r, D] orthonormal basis of span(C): the paper's P_C."""
        return span(self.concepts)

    @property
    def aligned_basis(self) -> torch.Tensor:
        """[r, D] orthonormal basis of span((I - P_common) C), used by alignment detection."""
        rest = reject(self.concepts, self.common)
        meaningful = rest.norm(dim=-1) > RANK_TOLERANCE * self.concepts.norm(dim=-1)  # or span would amplify rounding
        return span(rest[meaningful])

    @property
    def explained(self) -> list[float]:
        """Share of the concepts' energy in each direction of `basis`."""
        energy = torch.linalg.svdvals(self.concepts.double()) ** 2
        return (energy / energy.sum()).tolist()[: len(self.basis)]


@dataclasses.dataclass(frozen=True)
class ConceptSubspace:
    """A named concept with one `EncoderSubspace` per text encoder key ('l', 'g', 't5xxl', ...)."""

    name: str
    phrases: tuple[str, ...]
    encoders: dict[str, EncoderSubspace]
    strength: float = 1.0
    threshold: float = 0.0  # in force, see `tuned`; 0 for the mode's own
    defaults: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)  # by mode, see DEFAULTS

    def __post_init__(self):
        check_share("strength", self.strength, MAX_STRENGTH)

    def tuned(self, mode: str, threshold: float) -> ConceptSubspace:
        """This subspace for `mode`: its strength times the default one, and `threshold` or else the default one."""
        own = self.defaults.get(mode, {})
        strength = min(self.strength * own.get("strength", 1.0), MAX_STRENGTH)
        return dataclasses.replace(self, strength=strength, threshold=threshold or own.get("threshold", 0.0))

    def __getitem__(self, key: str) -> EncoderSubspace:
        return self.encoders[key]

    def summary(self) -> dict:
        """Plain data for reports: name, phrases, and per encoder its width, rank and explained variance."""
        return {
            "name": self.name,
            "phrases": list(self.phrases),
            "strength": self.strength,
            "encoders": {
                key: {
                    "width": space.concepts.shape[1],
                    "rank": len(space.basis),
                    "explained": [round(share, 4) for share in space.explained],
                }
                for key, space in self.encoders.items()
            },
        }

    def check_encoder(self, key: str, probe: torch.Tensor) -> None:
        """Raise SafreeError unless `probe` [D] comes from the encoder and layer that this subspace was built with."""
        if key not in self.encoders:
            raise SafreeError(
                f"subspace '{self.name}' was built for encoder {', '.join(map(repr, self.encoders))}, this CLIP has "
                f"{key!r}. Rebuild it with this CLIP."
            )
        own = self[key].probe
        if own.shape != probe.shape:
            raise SafreeError(
                f"subspace '{self.name}' was built with encoder {key!r} of width {len(own)}, this CLIP's {key!r} has "
                f"width {len(probe)}. Rebuild it with this CLIP."
            )
        similarity = torch.cosine_similarity(own, probe.float().cpu(), dim=0).item()
        if not similarity > PROBE_SIMILARITY:  # also catches NaN
            raise SafreeError(
                f"subspace '{self.name}' was built with another encoder {key!r}, or another clip skip (similarity "
                f"{similarity:.3f}, needed {PROBE_SIMILARITY}). Rebuild it with this CLIP."
            )


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


def defaults_fault(defaults: object) -> tuple[str, str] | None:
    """(field, what is wrong with it) of what a concept set or a subspace file names as defaults; None if it is fine."""
    if not isinstance(defaults, dict):
        return "defaults", "is not an object"
    for mode, values in defaults.items():
        if mode not in MODES or not isinstance(values, dict):
            return f"defaults.{mode}", f"is not an object under one of {', '.join(MODES)}"
        for key, value in values.items():
            if key not in DEFAULTS or isinstance(value, bool) or not isinstance(value, (int, float)):
                return f"defaults.{mode}.{key}", f"is not a number under one of {', '.join(DEFAULTS)}"
            if not 0 <= value <= DEFAULTS[key]:
                return f"defaults.{mode}.{key}", f"is {value}, outside 0 to {DEFAULTS[key]}"
    return None


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
