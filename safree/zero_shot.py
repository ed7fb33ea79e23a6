"""A concept in pictures by the words for it: how much nearer a picture is to the concept than to everyday things."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from . import SafreeError
from .tail import Tail

SCALE = 100.0  # inverse temperature that CLIP was trained up to (Radford et al., 2021)
NEAREST = 0.02  # share of everyday texts that are left out: those nearest to the concept may belong to it
FEWEST = 16  # everyday pictures: fewer say nothing about chance
SHARE = 0.25  # of their scores that the tail is fitted to
SAME = 1e-4  # spread of embeddings below which an encoder tells no texts apart


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """concept: embeddings [K, D] of its phrases, everyday: [n, D] of everyday things; all of length 1.

    The score of a picture is the log of the odds that CLIP gives the concept's phrases against all everyday ones.
    """

    name: str
    concept: Tensor
    everyday: Tensor

    @classmethod
    def of(cls, name: str, concept: Tensor, everyday: Tensor) -> ZeroShot:
        """From embeddings of any length; SafreeError where they tell no texts apart."""
        texts = torch.cat([concept, everyday]).float()
        if not texts.norm(dim=1).min() > 0 or float(_unit(texts).std(dim=0).norm()) < SAME:
            raise SafreeError(
                f"the text encoder tells the phrases of '{name}' and everyday ones not apart in the space of pictures: "
                "its text projection is missing, as in checkpoints of SD1.x. Load the text encoder of the same CLIP as "
                "the picture encoder from a file of its own."
            )
        concept, everyday = _unit(concept.float()), _unit(everyday.float())
        near = (everyday @ concept.T).topk(min(2, len(concept)), dim=1).values.mean(1)  # [n]
        kept = near.argsort()[: max(int(len(near) * (1 - NEAREST)), 1)]
        return cls(name, concept, everyday[kept.sort().values])

    def score(self, pictures: Tensor) -> Tensor:
        """Scores [n] of picture embeddings [n, D]; SafreeError for another width, NaN and infinity."""
        if pictures.ndim != 2 or pictures.shape[1] != self.concept.shape[1]:
            raise SafreeError(
                f"the picture encoder embeds in {pictures.shape[-1]} dimensions, the text encoder in "
                f"{self.concept.shape[1]}. Connect the picture encoder and the text encoder of the same CLIP."
            )
        if not torch.isfinite(pictures).all():
            raise SafreeError("the picture encoder returned NaN or infinity. Load it anew, in another precision.")
        seen = _unit(pictures.float())
        return (SCALE * seen @ self.concept.T).logsumexp(1) - (SCALE * seen @ self.everyday.T).logsumexp(1)

    def limit(self, everyday_pictures: Tensor, rate: float) -> float:
        """The score that a share `rate` of pictures like these, [n, D] embeddings, exceeds.

        From the upper tail of their scores, see Tail. SafreeError for fewer than FEWEST.
        """
        if len(everyday_pictures) < FEWEST:
            raise SafreeError(
                f"there are {len(everyday_pictures)} everyday pictures, fewer than {FEWEST}. Connect more: 32 to 200."
            )
        return Tail.of(self.score(everyday_pictures), SHARE).limit(1, rate)


def _unit(embeddings: Tensor) -> Tensor:
    return embeddings / embeddings.norm(dim=1, keepdim=True)
