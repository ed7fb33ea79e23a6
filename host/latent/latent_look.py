"""Look at a finished latent for a concept: one evaluation of the model at each of a few low noise levels."""

from __future__ import annotations

import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import torch

from ...safree import SafreeError
from ...safree.presence import ConceptPresence
from .concept_track import ConceptTrack, TrackedRun, check_shapes, rounded

SEED = 0  # of the noise that is added for looking


def levels(concept: ConceptPresence) -> list[int]:
    """The noise levels that are looked at: late in the schedule, where nothing of a picture is hidden."""
    count = len(concept.sigmas)
    return sorted({2 * count // 3, 5 * count // 6})


def look(model, concepts: tuple[ConceptPresence, ...], latent: dict, node: str = "LatentLook") -> list[dict]:
    """For each concept and picture of a LATENT: presence, threshold, whether it is found, and where. Plain data.

    Raises SafreeError for a latent that is not finite or has another number of channels than the model takes.
    """
    if not concepts:
        raise SafreeError("no concept presence is connected. Connect a ConceptPresence.")
    features = check_shapes(model, concepts, node)
    samples = _as_the_model_takes(latent["samples"], model)
    if not torch.isfinite(samples).all():
        raise SafreeError("the latent holds NaN or infinity. Check the model's precision, its LoRAs and the VAE.")
    return [finding for concept in concepts for finding in _look(model, features, concept, samples)]


def _as_the_model_takes(samples: torch.Tensor, model) -> torch.Tensor:
    """A latent [pictures, channels, height, width], of a video model [videos, channels, frames, height, width]."""
    latent_format = model.get_model_object("latent_format")
    channels, videos = latent_format.latent_channels, latent_format.latent_dimensions == 3
    if videos and samples.ndim == 4:
        samples = samples.unsqueeze(2)  # of one frame, as ComfyUI's samplers do
    if samples.ndim != 4 + videos or samples.shape[1] != channels:
        frames = "frames, " if videos else ""
        raise SafreeError(
            f"the latent has shape {list(samples.shape)}, this model takes [pictures, {channels}, {frames}height, "
            "width]. Connect a latent of this model."
        )
    return samples


def _look(model, features, concept: ConceptPresence, samples: torch.Tensor) -> list[dict]:
    chosen = levels(concept)
    empty = [[concept.empty, {"pooled_output": None, **concept.also}]]
    noise = comfy.sample.prepare_noise(samples, SEED)
    tracks = [_evaluate(model, features, concept, samples, noise, concept.sigmas[level], empty) for level in chosen]
    presence = torch.stack([track.history[-1] for track in tracks]).mean(0)  # [pictures]
    places = torch.stack([track.map for track in tracks]).mean(0)  # [pictures, h, w]
    threshold = concept.look_threshold(chosen)
    return [
        {
            "concept": concept.name,
            "picture": picture,
            "presence": round(float(presence[picture]), 2),
            "threshold": round(threshold, 2),
            "found": bool(presence[picture] > threshold),
            "map": rounded(places[picture]),
        }
        for picture in range(len(samples))
    ]


def _evaluate(model, features, concept, samples, noise, level: float, empty: list) -> ConceptTrack:
    """Run the model once on `samples` with noise of `level`; what it would draw is thrown away."""
    run = TrackedRun(features, [ConceptTrack(concept)])
    looking = model.clone()
    looking.wrappers = {}  # of a latent guard or a self-validation, and of caches that skip calls

    def apply_model(executor, x, *args, **kwargs):
        run.begin_call([[i] for i in range(len(x))], len(x))
        return features.call(executor, run.read_block, x, *args, **kwargs)

    looking.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "safree_look", apply_model)
    settings = (1.0, comfy.samplers.ksampler("euler"), torch.tensor([level, 0.0]), empty, empty, samples)
    comfy.sample.sample_custom(looking, noise, *settings, seed=SEED)
    run.end_call(level)
    return run.tracks[0]
