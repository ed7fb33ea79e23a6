"""The latent guard with one part of it left out or another setting, for the table of what each adds."""

from __future__ import annotations

import dataclasses

STRENGTHS = (0.25, 0.5, 0.75, 1.5)  # of the latent guard, for the trade-off curve
LIMITS = (0.5, 1.1, 2.2)  # deviations from which a picture counts as showing the concept, likewise
STRENGTH, LIMIT = "strength", "limit"
ABLATIONS = (
    *("always on", "everywhere", "source kept"),
    *(f"{STRENGTH} {strength}" for strength in STRENGTHS),
    *(f"{LIMIT} {limit}" for limit in LIMITS),
)


def ablate(concept, name: str) -> tuple:
    """(presence, strength) of one of ABLATIONS; what 'always on' and 'source kept' leave out is not here."""
    what, _, value = name.partition(" ")
    if what == LIMIT:
        return limited(concept, float(value)), 1.0
    return everywhere(concept) if name == "everywhere" else concept, float(value) if what == STRENGTH else 1.0


def limited(concept, deviations: float):
    """The presence, with another limit from which on a picture counts as showing the concept."""

    class Limited(type(concept)):
        @property
        def threshold(self) -> float:
            return self.limit(deviations)

    return Limited(**vars(concept))


def everywhere(concept):
    """The presence, damping a picture as a whole by its strongest places, not where the concept stands."""
    probes = tuple({block: _everywhere(probe) for block, probe in probes.items()} for probes in concept.probes)
    return dataclasses.replace(concept, probes=probes)


def _everywhere(probe):
    class Everywhere(type(probe)):
        def damp(self, features, places, strength):
            top = places.flatten(1).topk(max(1, places[0].numel() // 10)).values.mean(1)
            return super().damp(features, top[:, None, None].expand_as(places), strength)

    return Everywhere(**vars(probe))
