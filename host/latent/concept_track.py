"""Follow concepts through a sampling run: read what the picture shows at each step, decide, and damp what is found."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...safree import SafreeError
from ...safree.presence import ConceptPresence, by_frame, presence, recent
from ..features.model_features import Features, features_of
from ..features.unet_decoder import asked_rows, sigma

STRENGTH = 6.0  # of Probe.damp at the node's strength 1


@dataclasses.dataclass
class ConceptTrack:
    """One concept in one sampling run: what was measured so far, and which pictures are damped.

    always: every picture is damped from the first step on, whatever is measured
    given: [pictures] whether the picture that the run starts from shows the concept; empty where it starts from none
    history: presence [pictures] of each step;  level: noise level of the last of them
    damped: [pictures] whether the concept is damped from now on
    found_at: the step at which it was found in each picture, None where it was not
    peak: [pictures] largest presence so far;  map: [pictures, h, w] where the concept stood then, in deviations, of a
        video in any frame;  frames: [pictures, frames] how much of it each frame of a video showed then
    scores, maps: what each block of the call in progress says
    """

    concept: ConceptPresence
    always: bool = False
    given: list[bool] = dataclasses.field(default_factory=list)
    history: list[Tensor] = dataclasses.field(default_factory=list)
    level: float = -1.0
    damped: Tensor | None = None
    found_at: list[int | None] = dataclasses.field(default_factory=list)
    peak: Tensor | None = None
    map: Tensor | None = None
    frames: Tensor | None = None
    scores: list[Tensor] = dataclasses.field(default_factory=list)
    maps: list[Tensor] = dataclasses.field(default_factory=list)

    def going_on(self, concept: ConceptPresence, always: bool) -> ConceptTrack:
        """This track in the part of the schedule that another model draws, to which the concept looks like that."""
        return dataclasses.replace(
            self, concept=concept, always=always, history=list(self.history), found_at=list(self.found_at), level=-1.0
        )

    def begin_call(self, pictures: int) -> None:
        """A call of the model for so many pictures begins."""
        self.scores, self.maps = [], []
        if self.damped is None or len(self.damped) != pictures:
            self.damped = torch.tensor(self._given(pictures)) | self.always
            self.found_at, self.history, self.peak, self.map = [None] * pictures, [], None, None
            self.frames = None

    def add_block(self, places: Tensor, scores: Tensor, rows: list[list[int]]) -> None:
        """Take down one block's places [rows, ..., h, w] and scores [rows]; of a picture's rows the largest counts."""
        self.scores.append(torch.stack([scores[own].max() for own in rows]).cpu())
        self.maps.append(torch.stack([places[own].amax(0) for own in rows]).cpu())

    def end_call(self, level: float) -> None:
        """The call at noise level `level` ended: decide whether the next ones are damped."""
        if not self.scores:
            return
        now = presence(self.scores)
        self._take_down(now, level)
        self._keep_highest(now)
        showing = recent(torch.stack(self.history)) > self.concept.threshold
        for picture in (showing & ~self.damped).nonzero().flatten().tolist():
            self.found_at[picture] = len(self.history)
        self.damped = self.damped | showing

    def _take_down(self, now: Tensor, level: float) -> None:
        if level == self.level and self.history:  # split into several calls, or several evaluations in a step
            self.history[-1] = torch.maximum(self.history[-1], now)
        else:
            self.history.append(now)
        self.level = level

    def _keep_highest(self, now: Tensor) -> None:
        flat = [one.amax(1) if one.ndim == 4 else one for one in self.maps]  # [pictures, h, w]
        size = max(one.shape[-2:] for one in flat)  # the deepest blocks of a small picture are smaller
        new = torch.cat([interpolate(one[:, None], size=size) for one in flat], 1).mean(1)
        if self.peak is None:
            self.peak = now
        higher = now > self.peak
        self.peak = torch.maximum(now, self.peak)
        self.map = _kept(self.map, new, higher)
        if self.maps[0].ndim == 4:
            self.frames = _kept(self.frames, torch.stack([by_frame(one) for one in self.maps]).mean(0), higher)

    def _given(self, pictures: int) -> list[bool]:
        return [*self.given, *[False] * pictures][:pictures]

    def report(self) -> list[dict]:
        """For each picture, as plain data: presence by step, the step it was found at, and where (deviations)."""
        if not self.history:
            return []
        steps = torch.stack(self.history)  # [steps, pictures]
        return [self._picture(i, given, steps[:, i].tolist()) for i, given in enumerate(self._given(steps.shape[1]))]

    def _picture(self, picture: int, given: bool, steps: list[float]) -> dict:
        found_at = self.found_at[picture]
        if self.always or given:
            damped = len(steps)
        elif found_at is None:
            damped = 0
        else:
            damped = len(steps) - found_at
        return {
            "concept": self.concept.name,
            "picture": picture,
            "steps": [round(value, 2) for value in steps],
            "threshold": round(self.concept.threshold, 2),
            "found_at": found_at,
            "given": given,
            "damped": damped,
            "map": rounded(self.map[picture]),
            **({} if self.frames is None else {"frames": [round(one, 1) for one in self.frames[picture].tolist()]}),
        }


def _kept(before: Tensor | None, new: Tensor, higher: Tensor) -> Tensor:
    """Of each picture `new` where it shows more than before."""
    if before is None or before.shape != new.shape:
        return new
    return torch.where(higher.view(-1, *[1] * (new.ndim - 1)), new, before)


def rounded(places: Tensor) -> list[list[float]]:
    """A map [h, w] as plain data."""
    return [[round(value, 1) for value in row] for row in places.tolist()]


@dataclasses.dataclass
class TrackedRun:
    """The concepts followed in one sampling run; lives in the run's own copy of the model options and goes with it.

    strength: the node's; 0 to measure alone
    rows: for each picture of the call in progress, its rows in the batch
    skipped: calls that a cache (EasyCache) answered in the model's place
    """

    features: Features
    tracks: list[ConceptTrack]
    strength: float = 0.0
    rows: list[list[int]] = dataclasses.field(default_factory=list)
    skipped: int = 0

    def begin_call(self, rows: list[list[int]], pictures: int) -> None:
        """A call of the model for so many pictures begins; `rows` of each say what to draw, none if none does."""
        self.rows = rows
        for track in self.tracks:
            track.begin_call(pictures)

    def begin_guided_call(self, options: dict, size: int) -> None:
        """The same for a call of `size` rows, some of them of negative prompts."""
        self.begin_call(asked_rows(options, size), size // max(len(options.get("cond_or_uncond", [0])), 1))

    def read_block(self, block: int, h: Tensor, options: dict) -> Tensor:
        """Measure the features `h` [rows, D, H, W] of one block; the same, or damped where a concept was found."""
        level = sigma(options)
        for track in self.tracks:
            probe = track.concept.probes[track.concept.at(level)][block]
            places = probe.places(h)
            if self.rows:
                track.add_block(places, probe.picture(places), self.rows)
            if self.strength > 0 and track.damped.any() and block in self.features.damped:
                strength = STRENGTH * self.strength * track.damped.to(h.device).float()
                h = probe.damp(h, places, strength.repeat(len(h) // len(strength)))
        return h

    def end_call(self, level: float) -> None:
        self.skipped += bool(self.rows) and not any(track.scores for track in self.tracks)
        for track in self.tracks:
            track.end_call(level)

    def report(self) -> list[dict]:
        """What was seen, of each concept and picture; empty where no call of the model came through."""
        skipped = {"skipped": self.skipped} if self.skipped else {}
        return [part | skipped for track in self.tracks for part in track.report()]


def check_shapes(model, concepts: tuple[ConceptPresence, ...], node: str) -> Features:
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
