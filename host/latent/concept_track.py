"""Watch a sampling run for concepts: read what the picture shows at each step, decide, and damp what is on."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...safree import SafreeError
from ...safree.presence import ConceptPresence, presence, recent
from ..features.model_features import Features, features_of
from ..features.unet_decoder import asked_rows, sigma

STRENGTH = 6.0  # of Probe.damp at the node's strength 1


@dataclasses.dataclass
class Watch:
    """One concept in one sampling run: what was measured, and whether each picture is damped."""

    concept: ConceptPresence
    always: bool = False
    given: list[bool] = dataclasses.field(
        default_factory=list
    )  # whether each picture that the run starts from shows it
    history: list[Tensor] = dataclasses.field(default_factory=list)  # presence [pictures] of each step
    level: float = -1.0  # noise level of the last entry
    on: Tensor | None = None  # [pictures]
    since: list[int | None] = dataclasses.field(default_factory=list)
    peak: Tensor | None = None  # [pictures], largest presence so far
    places: Tensor | None = None  # [pictures, h, w], where it was found then
    scores: list[Tensor] = dataclasses.field(default_factory=list)  # of the call in progress
    found: list[Tensor] = dataclasses.field(default_factory=list)

    def begin(self, pictures: int) -> None:
        """A call of the model for so many pictures begins."""
        self.scores, self.found = [], []
        if self.on is None or len(self.on) != pictures:
            given = [*self.given, *[False] * pictures][:pictures]
            self.on = torch.tensor(given) | self.always
            self.since, self.history, self.peak, self.places = [None] * pictures, [], None, None

    def see(self, places: Tensor, scores: Tensor, rows: list[list[int]]) -> None:
        """Take down one block's places [rows, h, w] and scores [rows]; of a picture's rows the largest counts."""
        self.scores.append(torch.stack([scores[own].max() for own in rows]).cpu())
        self.found.append(torch.stack([places[own].amax(0) for own in rows]).cpu())

    def end(self, level: float) -> None:
        """The call at noise level `level` ended: decide whether the next ones are damped."""
        if not self.scores:
            return
        now = presence(self.scores)
        if level == self.level and self.history:  # split into several calls, or several evaluations in a step
            self.history[-1] = torch.maximum(self.history[-1], now)
        else:
            self.history.append(now)
        self.level = level
        size = max(found.shape[-2:] for found in self.found)  # the deepest blocks of a small picture are smaller
        places = torch.cat([interpolate(found[:, None], size=size) for found in self.found], 1).mean(1)
        higher = torch.ones_like(now, dtype=torch.bool) if self.peak is None else now > self.peak
        self.peak = now if self.peak is None else torch.maximum(now, self.peak)
        if self.places is None or self.places.shape[-2:] != places.shape[-2:]:
            self.places = places
        self.places = torch.where(higher[:, None, None], places, self.places)
        showing = recent(torch.stack(self.history)) > self.concept.threshold
        for picture in (showing & ~self.on).nonzero().flatten().tolist():
            self.since[picture] = len(self.history)
        self.on = self.on | showing

    def report(self) -> list[dict]:
        """For each picture, as plain data: presence by step, the step it was found at, and where (deviations)."""
        steps = torch.stack(self.history) if self.history else torch.zeros(0, 0)
        return [
            {
                "concept": self.concept.name,
                "picture": picture,
                "steps": [round(value, 2) for value in steps[:, picture].tolist()],
                "threshold": round(self.concept.threshold, 2),
                "found_at": self.since[picture],
                "given": given,
                "damped": _damped(self.since[picture], len(steps), self.always or given),
                "map": [[round(value, 1) for value in row] for row in self.places[picture].tolist()],
            }
            for picture, given in enumerate([*self.given, *[False] * steps.shape[1]][: steps.shape[1]])
        ]


def _damped(since: int | None, steps: int, always: bool) -> int:
    """How many of `steps` were damped: those after the one at which the concept was found."""
    return steps if always else 0 if since is None else steps - since


@dataclasses.dataclass
class Run:
    """State of one sampling run; lives in the run's own copy of the model options and goes with it.

    strength: the node's; 0 to measure alone
    """

    features: Features
    watches: list[Watch]
    strength: float = 0.0
    rows: list[list[int]] = dataclasses.field(default_factory=list)

    def given(self, findings: list[dict]) -> None:
        """What `look` found in the pictures that the run starts from."""
        count = len(findings) // len(self.watches)  # pictures
        for i, watch in enumerate(self.watches):
            watch.given = [part["found"] for part in findings[i * count : (i + 1) * count]]

    def begin(self, options: dict, rows: int) -> None:
        self.rows = asked_rows(options, rows)
        for watch in self.watches:
            watch.begin(rows // max(len(options.get("cond_or_uncond", [0])), 1))

    def watch(self, block: int, h: Tensor, options: dict) -> Tensor:
        """Measure the features `h` [rows, D, H, W] of one block; the same, or damped where a concept is on."""
        level = sigma(options)
        for watch in self.watches:
            probe = watch.concept.probes[watch.concept.at(level)][block]
            places = probe.places(h)
            if self.rows:
                watch.see(places, probe.picture(places), self.rows)
            if self.strength and watch.on.any() and block in self.features.damped:
                strength = STRENGTH * self.strength * watch.on.to(h.device).float()
                h = probe.damp(h, places, strength.repeat(len(h) // len(strength)))
        return h

    def end(self, options: dict) -> None:
        for watch in self.watches:
            watch.end(sigma(options))


def check(model, concepts: tuple[ConceptPresence, ...], node: str) -> Features:
    """Where to read `model`; SafreeError unless `concepts` were learned with a model of this shape."""
    features = features_of(model, node)
    for concept in concepts:
        learned = {block: len(probe.weight) for block, probe in concept.probes[0].items()}
        if learned != features.widths:
            raise SafreeError(
                f"presence '{concept.name}' was learned with another kind of model (channels by block {learned}, here "
                f"{features.widths}). Learn it with this one."
            )
    return features
