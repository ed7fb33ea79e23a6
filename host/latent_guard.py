"""Latent guard on a UNet: damps a concept in the decoder's features where it stands, while the picture shows it.

Costs no further evaluation of the model: the probes of safree/presence.py read and change features that are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator

import comfy.patcher_extension
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..safree import SafreeError
from ..safree.presence import ConceptPresence, presence, recent
from . import compat
from .decoder import asked_rows, deepest_blocks, read_blocks, sigma, width, with_patch

WRAPPER = "safree_latent_guard"
STRENGTH = 6.0  # of Probe.damp at the node's strength 1
MOST = 2.0  # of the node's strength
FULL = 1.5  # the strength at which a picture is sampled once more


@dataclasses.dataclass
class Watch:
    """One concept in one sampling run: what was measured, and whether each picture is damped."""

    concept: ConceptPresence
    always: bool = False
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
            self.on = torch.full((pictures,), self.always)
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
                "damped": _damped(self.since[picture], len(steps), self.always),
                "map": [[round(value, 1) for value in row] for row in self.places[picture].tolist()],
            }
            for picture in range(steps.shape[1])
        ]


def _damped(since: int | None, steps: int, always: bool) -> int:
    """How many of `steps` were damped: those after the one at which the concept was found."""
    return steps if always else 0 if since is None else steps - since


class Guard:
    """What a patched model carries: the concepts, the strength, and the report of the last run.

    always: damp from the first step on, whatever is measured
    """

    def __init__(self, concepts: tuple[ConceptPresence, ...], strength: float, blocks: tuple[int, ...]):
        self.concepts, self.strength, self.blocks, self.always = concepts, strength, blocks, False
        self.last: list[dict] = []

    @contextlib.contextmanager
    def at_full_strength(self) -> Iterator[None]:
        """Inside, sampling runs are damped from the first step on, at the highest strength."""
        kept, self.strength, self.always = self.strength, max(self.strength, FULL), True
        try:
            yield
        finally:
            self.strength, self.always = kept, False


@dataclasses.dataclass
class _Run:
    """State of one sampling run; lives in the run's own copy of the model options and goes with it."""

    guard: Guard
    watches: list[Watch]
    damped: tuple[int, ...] = ()  # output blocks whose features are changed
    rows: list[list[int]] = dataclasses.field(default_factory=list)

    def begin(self, options: dict, rows: int) -> None:
        self.rows = asked_rows(options, rows)
        for watch in self.watches:
            watch.begin(rows // max(len(options.get("cond_or_uncond", [0])), 1))

    def output_block(self, h: Tensor, skip: Tensor, options: dict) -> tuple[Tensor, Tensor]:
        """An output block patch: measures, and damps what is on."""
        block, level = options["block"][1], sigma(options)
        for watch in self.watches:
            probe = watch.concept.probes[watch.concept.at(level)].get(block)
            if probe is None:
                continue
            places = probe.places(h)
            if self.rows:
                watch.see(places, probe.picture(places), self.rows)
            if watch.on.any() and block in self.damped:
                strength = STRENGTH * self.guard.strength * watch.on.to(h.device).float()
                h = probe.damp(h, places, strength.repeat(len(h) // len(strength)))
        return h, skip

    def end(self, options: dict) -> None:
        for watch in self.watches:
            watch.end(sigma(options))


def guard_of(model) -> Guard | None:
    """The latent guard that a model carries."""
    return model.attachments.get(WRAPPER)


def patch(model, concepts: tuple[ConceptPresence, ...], strength: float = 1.0):
    """A clone of `model` whose sampling runs are watched for `concepts` and damped where they show.

    A run that shows none is not changed, bit for bit. A later patch takes the place of an earlier one. Raises
    SafreeError for a model without a UNet or of another shape than the concepts were learned with.
    """
    if not 0 <= strength <= MOST:
        raise SafreeError(f"strength is {strength}, outside 0 to {MOST:g}. Choose a value in between.")
    if not concepts:
        raise SafreeError("no concept presence is connected. Connect a ConceptPresence.")
    check(model, concepts, "LatentGuardPatch")
    patched = model.clone()
    if strength == 0:
        return patched
    guard = Guard(concepts, strength, tuple(deepest_blocks(model, "LatentGuardPatch")))
    patched.set_attachments(WRAPPER, guard)
    kinds = comfy.patcher_extension.WrappersMP
    wrappers = {
        kinds.OUTER_SAMPLE: _outer_sample(guard),
        kinds.APPLY_MODEL: _apply_model,
        kinds.DIFFUSION_MODEL: _diffusion_model,
    }
    for kind, wrapper in wrappers.items():
        patched.remove_wrappers_with_key(kind, WRAPPER)
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def check(model, concepts: tuple[ConceptPresence, ...], node: str) -> None:
    """Raise SafreeError unless `concepts` were learned with a model of this shape."""
    blocks = read_blocks(model, node)
    for concept in concepts:
        learned = {block: len(probe.weight) for block, probe in concept.probes[0].items()}
        here = {block: width(model, block) for block in blocks}
        if learned.items() - here.items():
            raise SafreeError(
                f"presence '{concept.name}' was learned with another kind of model (channels by block {learned}, here "
                f"{here}). Learn it with this one."
            )


def _outer_sample(guard: Guard):
    def outer_sample(executor, *args, **kwargs):
        options = executor.class_obj.model_options.setdefault("transformer_options", {})
        run = _Run(guard, [Watch(concept, guard.always) for concept in guard.concepts], guard.blocks)
        guard.last, options[WRAPPER] = [], run
        compat.run_wrapper_last(
            executor.class_obj.model_options, WRAPPER, comfy.patcher_extension.WrappersMP.APPLY_MODEL
        )
        try:
            return executor(*args, **kwargs)
        finally:
            options.pop(WRAPPER, None)
            guard.last = [part for watch in run.watches for part in watch.report()]
            if not guard.last:
                logging.warning("SAFREE: latent guard not active, no call of the model reached it.")

    return outer_sample


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    with compat.uncompiled(executor.class_obj):  # what is measured hangs on the options, which compiling may leave out
        return executor(x, t, c_concat, c_crossattn, control, transformer_options or {}, **kwargs)


def _diffusion_model(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
    run = transformer_options.get(WRAPPER)
    if run is None:
        return executor(x, timesteps, context, y, control, transformer_options, **kwargs)
    options = with_patch(transformer_options, "output_block_patch", run.output_block, first=False)
    run.begin(transformer_options, len(x))
    result = executor(x, timesteps, context, y, control, options, **kwargs)
    run.end(transformer_options)
    return result
