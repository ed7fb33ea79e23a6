"""CLIP zero-shot: CLIP_VISION and the text encoder of the same CLIP judge pictures by a concept's phrases."""

from __future__ import annotations

import torch
from torch import Tensor

from ....safree import SafreeError
from ....safree.plan import Matcher, pieces
from ....safree.subspace import ConceptSubspace
from ....safree.zero_shot import ZeroShot
from ...data import things_to_draw, vocabulary
from ...latent.learn_presence import article
from ...text.encoders import Encoder, encoders, tokenize
from ...text.encoding import encode_projected
from .judge import Finding

RATE = 0.01  # stated share of everyday pictures that are taken for the concept
EVERY = 12  # of the everyday phrases, one in so many is encoded
CLIPS = ("l", "g", "h")  # text encoders that share a space with pictures
PICTURES = 8  # encoded at once


class ZeroShotJudge:
    """vision: CLIP_VISION. clip: its text encoder. everyday: IMAGE of everyday pictures."""

    name = "CLIP"

    def __init__(self, vision, clip, subspaces: tuple[ConceptSubspace, ...], everyday: Tensor, rate: float = RATE):
        if vision is None:
            raise SafreeError("no CLIP_VISION is connected. Load one with CLIPVisionLoader.")
        if not subspaces:
            raise SafreeError("no concept subspace is connected. Connect a ConceptSubspace.")
        if lists := [one.name for one in subspaces if one.names]:
            raise SafreeError(f"'{lists[0]}' is a list of names, which says nothing of pictures. Connect phrases.")
        if not 0 < rate <= 0.5:
            raise SafreeError(
                f"rate is {rate}. Choose a share of everyday pictures above 0 and up to 0.5, such as 0.01."
            )
        self.vision = vision
        usual = self._embed(everyday)
        encoder = _encoder(clip, usual.shape[1])
        self.concepts = [_zero_shot(encoder, subspace) for subspace in subspaces]
        self.limits = [concept.limit(usual, rate) for concept in self.concepts]

    def judge(self, images: Tensor) -> list[Finding]:
        seen, found = self._embed(images), []
        for concept, limit in zip(self.concepts, self.limits, strict=True):
            scores = concept.score(seen).tolist()
            found += [Finding(concept.name, n, score, limit) for n, score in enumerate(scores)]
        return found

    def _embed(self, images: Tensor) -> Tensor:
        """[n, D] of pictures [n, H, W, C]."""
        parts = images[..., :3].split(PICTURES)
        return torch.cat([self.vision.encode_image(part)["image_embeds"].float().cpu() for part in parts])


def _encoder(clip, width: int) -> Encoder:
    """The text encoder of `clip` that shares a space `width` wide with pictures."""
    found = [encoder for encoder in encoders(clip) if encoder.key in CLIPS]
    fitting = [encoder for encoder in found if encoder.width == width]
    if not fitting:
        own = ", ".join(f"{encoder.key!r} ({encoder.width})" for encoder in found) or "no text encoder of a CLIP"
        raise SafreeError(
            f"the picture encoder embeds in {width} dimensions, this CLIP has {own}. Connect the picture encoder and "
            "the text encoder of the same CLIP."
        )
    return fitting[0]


def _zero_shot(encoder: Encoder, subspace: ConceptSubspace) -> ZeroShot:
    named = Matcher(subspace.phrases)
    everyday = [*things_to_draw.THINGS, *vocabulary.load().phrases[::EVERY]]
    everyday = [text for text in everyday if not named.find(pieces(text))]
    embedded = [_texts(encoder, texts) for texts in (subspace.phrases, everyday)]
    return ZeroShot.of(subspace.name, *embedded)


def _texts(encoder: Encoder, texts) -> Tensor:
    """[n, D] of phrases, each as the name of a photo; those without a word that the encoder knows are left out."""
    named = [f"a photo of {article(text)}" for text in texts]
    read = [encoder.words(tokenize(encoder.clip, text)[encoder.key]) for text in named]
    rows = [encoder.row(words) for words in read if words]
    return encode_projected(encoder, rows)
