"""Latent guard on a UNet or an MMDiT: damps a concept in its features where it stands, while it shows.

Costs no further evaluation of the model: the probes of safree/presence.py read and change features that are there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import comfy.patcher_extension

from ...safree import SafreeError
from ...safree.presence import ConceptPresence
from .. import compat
from ..features.model_features import Features
from .concept_track import Run, Watch, check
from .source_picture import clear, given

WRAPPER = "safree_latent_guard"
MOST = 2.0  # of the node's strength
FULL = 1.5  # the strength at which a picture is sampled once more


class Guard:
    """What a patched model carries: the concepts, the strength, and the report of the last run.

    always: damp from the first step on, whatever is measured
    clears: take what is found in the picture that a run starts from out of it
    """

    def __init__(self, concepts: tuple[ConceptPresence, ...], strength: float, features: Features):
        self.concepts, self.strength, self.features = concepts, strength, features
        self.always, self.clears = False, True
        self.last: list[dict] = []

    @contextlib.contextmanager
    def at_full_strength(self) -> Iterator[None]:
        """Inside, sampling runs are damped from the first step on, at the highest strength."""
        kept, self.strength, self.always = self.strength, max(self.strength, FULL), True
        try:
            yield
        finally:
            self.strength, self.always = kept, False


def guard_of(model) -> Guard | None:
    """The latent guard that a model carries."""
    return model.attachments.get(WRAPPER)


def patch(model, concepts: tuple[ConceptPresence, ...], strength: float = 1.0):
    """A clone of `model` whose sampling runs are watched for `concepts` and damped where they show.

    A run that shows none is not changed, bit for bit. A later patch takes the place of an earlier one. Raises
    SafreeError for a model that is neither UNet nor MMDiT, or of another shape than the concepts were learned with.
    """
    if not 0 <= strength <= MOST:
        raise SafreeError(f"strength is {strength}, outside 0 to {MOST:g}. Choose a value in between.")
    if not concepts:
        raise SafreeError("no concept presence is connected. Connect a ConceptPresence.")
    features = check(model, concepts, "LatentGuardPatch")
    patched = model.clone()
    if strength == 0:
        return patched
    guard = Guard(concepts, strength, features)
    patched.set_attachments(WRAPPER, guard)
    kinds = comfy.patcher_extension.WrappersMP
    wrappers = {
        kinds.OUTER_SAMPLE: _outer_sample(guard),
        kinds.APPLY_MODEL: _apply_model,
    }
    for kind, wrapper in wrappers.items():
        patched.remove_wrappers_with_key(kind, WRAPPER)
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def _outer_sample(guard: Guard):
    def outer_sample(executor, noise, latent_image, *args, **kwargs):
        options = executor.class_obj.model_options.setdefault("transformer_options", {})
        run = Run(guard.features, [Watch(concept, guard.always) for concept in guard.concepts], guard.strength)
        if guard.clears and given(noise, latent_image):
            latent_image, seen = clear(executor.class_obj.model_patcher, guard.concepts, latent_image, guard.always)
            run.given(seen)
        guard.last, options[WRAPPER] = [], run
        compat.run_wrapper_last(
            executor.class_obj.model_options, WRAPPER, comfy.patcher_extension.WrappersMP.APPLY_MODEL
        )
        try:
            return executor(noise, latent_image, *args, **kwargs)
        finally:
            options.pop(WRAPPER, None)
            guard.last = [part for watch in run.watches for part in watch.report()]
            if not guard.last:
                logging.warning("SAFREE: latent guard not active, no call of the model reached it.")

    return outer_sample


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    options = transformer_options or {}
    run = options.get(WRAPPER)
    if run is None:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    run.begin(options, len(x))
    result = run.features.call(executor, run.watch, x, t, c_concat, c_crossattn, control, options, **kwargs)
    run.end(options)
    return result
