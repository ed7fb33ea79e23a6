"""LatentLook as a judge: the picture goes back into the model's latent space and is looked at there."""

from __future__ import annotations

import torch
from torch import Tensor

from ....safree import SafreeError
from ....safree.presence import ConceptPresence
from ...latent.latent_look import look
from .judge import Finding


class LatentLookJudge:
    """model, vae: those that the presences were learned with."""

    name = "LatentLook"

    def __init__(self, model, vae, concepts: tuple[ConceptPresence, ...]):
        if not concepts:
            raise SafreeError("no concept presence is connected. Connect a ConceptPresence or LoadConceptPresence.")
        self.model, self.vae, self.concepts = model, vae, concepts

    def judge(self, images: Tensor) -> list[Finding]:
        samples = torch.cat([self.vae.encode(image[None]) for image in images])
        found = look(self.model, self.concepts, {"samples": samples}, "LatentLookJudge")
        return [Finding(one["concept"], one["picture"], one["presence"], one["threshold"]) for one in found]
