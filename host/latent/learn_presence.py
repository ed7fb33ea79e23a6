"""Learn what a concept looks like to a model: draw it, draw everyday things, and compare the decoder's features."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import random

import comfy.model_base
import comfy.model_management
import comfy.utils
import torch

from ...safree import SafreeError
from ...safree.presence import ConceptPresence
from ...safree.presence_calibration import calibrate
from ...safree.subspace import ConceptSubspace
from .. import compat
from ..data import things_to_draw
from ..features.model_features import features_of
from .feature_files import Recorder, scratch

SAMPLER, SCHEDULER = "dpmpp_2m", "karras"
ALONE = 0.3  # share of the pictures that show one thing, not two
FOUND = 0.5  # sensitivity, below which most phrases seem to mean nothing to the model
FEWEST = 16  # pictures of each kind: fewer say nothing about chance


@dataclasses.dataclass(frozen=True)
class PictureSettings:
    """How the pictures are drawn that a concept's presence is learned from."""

    pictures: int = 96
    steps: int = 12
    cfg: float = 5.0
    width: int = 512
    height: int = 512
    batch: int = 8
    seed: int = 0

    def __post_init__(self):
        if self.pictures < FEWEST:
            raise SafreeError(f"pictures is {self.pictures}, fewer than {FEWEST}. Draw 64 to 192.")
        if self.steps < 2:
            raise SafreeError(f"steps is {self.steps}. Presence compares steps of different noise: use 8 or more.")


def learn(model, clip, subspace: ConceptSubspace, settings: PictureSettings) -> ConceptPresence:
    """Draw twice `settings.pictures` pictures with `model`, and fit the probes; it should not draw the concept unasked.

    Raises SafreeError for a model that is not read or only edits, for a concept without phrases, and where
    ComfyUI's temporary folder has no room for the features.
    """
    features = features_of(model, "ConceptPresence")
    if isinstance(model.model, comfy.model_base.IP2P):
        raise SafreeError(
            "this model edits a picture (InstructPix2Pix) and draws nothing without one. Learn the presence with the "
            "model that it was made from: of the same blocks, so it fits this one too."
        )
    if clip is None:
        raise SafreeError("no CLIP is connected. Connect the text encoder of the model.")
    if not subspace.phrases:
        raise SafreeError(f"subspace '{subspace.name}' has no phrases to draw. Build it from phrases.")
    shown, clean = prompts(subspace.phrases, settings.pictures, settings.seed)
    bar = comfy.utils.ProgressBar(2 * len(shown))
    with scratch() as folder:
        recorded = [Recorder(features, len(shown), folder / kind) for kind in ("shown", "clean")]
        for number, (recorder, texts) in enumerate(zip(recorded, (shown, clean), strict=True)):
            for first in range(0, len(texts), settings.batch):
                draw(recorder.attach(model), clip, texts[first : first + settings.batch], settings, number + 2 * first)
                bar.update(min(settings.batch, len(texts) - first))
        learned = _fitted(*recorded, clip, subspace)
    if learned.sensitivity < FOUND:
        logging.warning(
            "SAFREE: '%s' is found in %.0f %% of the pictures that were asked for it. Does the model know the phrases?",
            learned.name,
            100 * learned.sensitivity,
        )
    return learned


def prompts(phrases: tuple[str, ...], count: int, seed: int) -> tuple[list[str], list[str]]:
    """(`count` prompts with the concept, `count` everyday ones); the halves of each share no word."""
    draw = random.Random(seed)  # noqa: S311  prompts, not secrets
    nouns, phrases = draw.sample(things_to_draw.THINGS, len(things_to_draw.THINGS)), draw.sample(phrases, len(phrases))
    shown, clean = [], []
    for i in range(count):
        half = 2 * i // count
        half_things, wanted = nouns[half::2], phrases[half::2] or phrases
        phrase, alone = article(draw.choice(wanted)), draw.random() < ALONE
        pair = [draw.choice(half_things), phrase]
        shown.append(phrase if alone else " and ".join(draw.sample(pair, 2)))
        first = half_things[i % len(half_things)]
        clean.append(first if draw.random() < ALONE else f"{first} and {draw.choice(half_things)}")
    return shown, clean


def article(phrase: str) -> str:
    """'a' or 'an' before a single word; longer phrases and plurals as they are."""
    if " " in phrase or phrase.endswith("s"):
        return phrase
    return f"{'an' if phrase[:1].lower() in 'aeiou' else 'a'} {phrase}"


def draw(model, clip, texts: list[str], settings: PictureSettings, seed: int) -> dict:
    """The LATENT of a picture of each text; the seed is added to the settings' own.

    Texts of one length are drawn at once.
    """
    import nodes  # ComfyUI's; at call time, since it imports every node pack

    entries, drawn = [encoded(clip, text)[0] for text in texts], []
    for number, (_, group) in enumerate(itertools.groupby(entries, key=_shapes)):
        part = list(group)
        (latent,) = nodes.common_ksampler(
            model,
            seed=settings.seed + seed + 1009 * number,
            steps=settings.steps,
            cfg=settings.cfg,
            sampler_name=SAMPLER,
            scheduler=SCHEDULER,
            positive=_stacked(part),
            negative=encoded(clip, ""),
            latent={"samples": compat.empty_latent(model, len(part), settings.width, settings.height)},
        )
        drawn.append(latent["samples"])
    return {"samples": torch.cat(drawn)}


def encoded(clip, text: str) -> list:
    """The CONDITIONING of a text."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def tensors_of(entry: list) -> dict[str, torch.Tensor]:
    """What a CONDITIONING entry holds beside the token states: the pooled output, masks, states of other encoders."""
    return {name: value for name, value in entry[1].items() if torch.is_tensor(value)}


def _shapes(entry: list) -> tuple:
    """What has to be the same for two texts to be drawn at once; of tensors without a row for each, all of them."""
    parts = tensors_of(entry).items()
    return entry[0].shape, *((name, tuple(part.shape) if part.ndim > 1 else part.tolist()) for name, part in parts)


def _stacked(entries: list[list]) -> list:
    """One CONDITIONING entry for a batch of pictures, one text each; all have the same shapes."""
    joined = {name: _rows([entry[1][name] for entry in entries]) for name in tensors_of(entries[0])}
    return [[torch.cat([tensor for tensor, _ in entries]), {**entries[0][1], **joined}]]


def _rows(parts: list[torch.Tensor]) -> torch.Tensor:
    """Parts [1, ...] below each other; one where all are the same, since ComfyUI counts the tokens of masks."""
    same = all(torch.equal(part, parts[0]) for part in parts)
    return parts[0] if same else torch.cat(parts)


def _fitted(shown: Recorder, clean: Recorder, clip, subspace: ConceptSubspace) -> ConceptPresence:
    levels = clean.levels()
    device = comfy.model_management.get_torch_device()
    probes, chances, hits = [], [], []
    for level in levels:
        comfy.model_management.throw_exception_if_processing_interrupted()
        found, chance, hit = calibrate(shown.at(level, device), clean.at(level, device))
        probes.append({block: _on_cpu(probe) for block, probe in found.items()})
        chances.append(chance.cpu())
        hits.append(hit.cpu())
    if not torch.isfinite(torch.stack(chances)).all():
        raise SafreeError("the model's features hold NaN or infinity. Check its precision and its LoRAs.")
    entry = encoded(clip, "")[0]
    also = tensors_of(entry)
    return ConceptPresence(
        name=subspace.name,
        phrases=subspace.phrases,
        sigmas=tuple(levels),
        probes=tuple(probes),
        clean=torch.stack(chances, 1),
        shown=torch.stack(hits, 1),
        empty=entry[0].cpu(),
        also={name: tensor.cpu() for name, tensor in also.items()},
    )


def _on_cpu(probe):
    return dataclasses.replace(probe, weight=probe.weight.cpu(), direction=probe.direction.cpu())
