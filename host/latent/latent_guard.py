"""Latent guard on a UNet or a transformer: damps a concept in its features where it stands, while it shows.

Costs no further evaluation of the model: the probes of safree/presence.py read and change features that are there.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import comfy.patcher_extension

from ...safree import SafreeError
from ...safree.presence import ConceptPresence
from .. import compat
from ..features.model_features import Features
from ..features.unet_decoder import sigma
from .concept_track import ConceptTrack, TrackedRun, check_shapes
from .source_picture import clear_picture, starts_from_picture

WRAPPER = "safree_latent_guard"
MOST = 2.0  # of the node's strength
FULL = 1.5  # the strength at which a picture is sampled once more


@dataclasses.dataclass(frozen=True, eq=False)
class Guard:
    """The settings that a patched model and its clones carry. What a run sees goes to its caller, see `guarded_by`.

    always: damp from the first step on, whatever is measured
    clears: take what is found in the picture that a run starts from out of it
    """

    concepts: tuple[ConceptPresence, ...]
    strength: float
    features: Features
    always: bool = False
    clears: bool = True

    def at_full_strength(self) -> Guard:
        """The same, damping from the first step on, at the highest strength."""
        return dataclasses.replace(self, strength=max(self.strength, FULL), always=True)


def guard_of(model) -> Guard | None:
    """The latent guard that a model carries."""
    return model.attachments.get(WRAPPER)


def patch(model, concepts: tuple[ConceptPresence, ...], strength: float = 1.0):
    """A clone of `model` whose sampling runs are watched for `concepts` and damped where they show.

    A run that shows none is not changed, bit for bit. A later patch takes the place of an earlier one. Raises
    SafreeError for a model of a kind that is not read, or of another shape than the concepts were learned with.
    """
    if not 0 <= strength <= MOST:
        raise SafreeError(f"strength is {strength}, outside 0 to {MOST:g}. Choose a value in between.")
    if not concepts:
        raise SafreeError("no concept presence is connected. Connect a ConceptPresence.")
    features = check_shapes(model, concepts, "LatentGuardPatch")
    if strength == 0:
        return model.clone()
    return guarded_by(model, Guard(concepts, strength, features))


def guarded_by(
    model, guard: Guard, tell: Callable[[list[dict]], None] | None = None, carried: list[ConceptTrack] | None = None
):
    """A clone of `model` with `guard` in the place of its own.

    tell: called with what each run saw, when it ends: plain data of each concept and picture, see TrackedRun.report
    carried: the tracks of an earlier part of the same schedule, by another model, which the run goes on with and leaves
        its own in; for both models the same list, empty at first
    """
    kinds = comfy.patcher_extension.WrappersMP
    patched = model.clone()
    patched.set_attachments(WRAPPER, guard)
    for kind, wrapper in ((kinds.OUTER_SAMPLE, _outer_sample(guard, tell, carried)), (kinds.APPLY_MODEL, _apply_model)):
        patched.remove_wrappers_with_key(kind, WRAPPER)
        patched.add_wrapper_with_key(kind, WRAPPER, wrapper)
    return patched


def _outer_sample(guard: Guard, tell: Callable[[list[dict]], None] | None, carried: list[ConceptTrack] | None):
    def outer_sample(executor, noise, latent_image, *args, **kwargs):
        guider = executor.class_obj
        tracks = _tracks(guard, carried)
        if guard.clears and starts_from_picture(noise, latent_image):
            latent_image, shown = clear_picture(guider.model_patcher, guard.concepts, latent_image, guard.always)
            for track, given in zip(tracks, shown, strict=True):
                track.given = given
        run = TrackedRun(guard.features, tracks, guard.strength)
        options = guider.model_options.setdefault("transformer_options", {})  # the run's own copy
        options[WRAPPER] = run
        compat.run_wrapper_last(guider.model_options, WRAPPER, comfy.patcher_extension.WrappersMP.APPLY_MODEL)
        try:
            return executor(noise, latent_image, *args, **kwargs)
        finally:
            options.pop(WRAPPER, None)
            if carried is not None:
                carried[:] = run.tracks
            seen = run.report()
            if not seen:
                logging.warning("SAFREE: latent guard not active, no call of the model reached it.")
            if tell is not None:
                tell(seen)

    return outer_sample


def _tracks(guard: Guard, carried: list[ConceptTrack] | None) -> list[ConceptTrack]:
    """A track of each concept, the one that an earlier part of the schedule left where there is one."""
    left = {track.concept.name: track for track in carried or ()}
    return [
        left[concept.name].going_on(concept, guard.always)
        if concept.name in left
        else ConceptTrack(concept, guard.always)
        for concept in guard.concepts
    ]


def _apply_model(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    options = transformer_options or {}
    run = options.get(WRAPPER)
    if run is None:
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    run.begin_guided_call(options, len(x))
    result = run.features.call(executor, run.read_block, x, t, c_concat, c_crossattn, control, options, **kwargs)
    run.end_call(sigma(options))
    return result
