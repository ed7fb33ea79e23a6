"""Concept subspaces: an orthonormal basis of the span of the concept embeddings (paper, section 3.1)."""

from __future__ import annotations

import dataclasses
import functools

import torch

from . import SafreeError, check_share
from .linear_algebra import span

COMMON_RANK = 1  # the direction that everyday words share: "there is one more thing"
MAX_STRENGTH = 2  # above 1: past the filtered prompt
MODES = ("adaptive", "paper", "reference")
DEFAULTS = {"threshold": 1, "strength": MAX_STRENGTH}  # what a concept set may name for each mode, and the most of it
PROBE_SIMILARITY = 0.98  # a LoRA or another dtype stays above, another encoder or layer falls below


@dataclasses.dataclass(frozen=True)
class EncoderSubspace:
    """The subspace in the output space of one text encoder (width D). All tensors float32 on the CPU.

    concepts: [K, D] pooled embeddings of the concept phrases, the rows of C
    common:   [c, D] orthonormal directions that every everyday word has (`COMMON_RANK` of them)
    probe:    [D] pooled embedding of a fixed phrase; recognises the encoder
    retain:   [R, D] pooled embeddings of phrases to leave alone
    """

    concepts: torch.Tensor
    common: torch.Tensor
    probe: torch.Tensor
    retain: torch.Tensor

    @functools.cached_property
    def basis(self) -> torch.Tensor:
        """[r, D] orthonormal basis of span(C): the paper's P_C."""
        return span(self.concepts)

    @functools.cached_property
    def explained(self) -> list[float]:
        """Share of the concepts' energy in each direction of `basis`."""
        energy = torch.linalg.svdvals(self.concepts.double()) ** 2
        return (energy / energy.sum()).tolist()[: len(self.basis)]


@dataclasses.dataclass(frozen=True)
class ConceptSubspace:
    """A named concept with one `EncoderSubspace` per text encoder key ('l', 'g', 't5xxl', ...).

    It has phrases, or else names: those are found by their spelling (safree/names.py), and span nothing.

    >>> ConceptSubspace("weapons", ("pistol", "sword"), {}, strength=3.0)
    Traceback (most recent call last):
    safree.SafreeError: strength is 3.0, outside 0 to 2. Choose a value in between.
    """

    name: str
    phrases: tuple[str, ...]
    encoders: dict[str, EncoderSubspace]
    strength: float = 1.0
    threshold: float = 0.0  # in force, see `tuned`; 0 for the mode's own
    defaults: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)  # by mode, see DEFAULTS
    retained: tuple[str, ...] = ()  # phrases to leave alone
    kin: dict[str, float] = dataclasses.field(default_factory=dict)  # words of its kind, see safree.kinds.members
    names: tuple[str, ...] = ()

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
            **({"names": len(self.names)} if self.names else {}),
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
