"""How much nearer a text is to the phrases of a concept than to the everyday language around it.

A kind reaches further than its phrases: 'revolver' is near 'pistol' and 'rifle', and in few encoders as near as the two
are to each other. How near is near differs from place to place: common words lie in a crowd, and their cosine to
anything is high. So the cosine to the phrases is compared with the cosine to the everyday texts around the same text
(cross-domain similarity local scaling, Conneau et al., ICLR 2018). Nothing is fitted, so three phrases are enough.
"""

from __future__ import annotations

import dataclasses

import torch

from .discriminant import Everyday

NEAREST = 2  # phrases that a text is compared with: one alone may be an odd one
TINY = 1e-3  # least distance between everyday language and a concept's own phrases


@dataclasses.dataclass(frozen=True)
class Nearness:
    """A concept by the directions of its phrases, see Everyday.standardize. All tensors float32.

    phrases: [K, D]. opposed: [m, D] texts that do not belong to the concept, however near they are: those to retain,
    and words inside its phrases that mean something else by themselves ('car' of 'car crash')
    usual, own: what is the middle of everyday language, and what the phrases have themselves, before scaling
    """

    everyday: Everyday
    phrases: torch.Tensor
    opposed: torch.Tensor
    usual: float = 0.0
    own: float = 1.0

    @classmethod
    def of(cls, everyday: Everyday, phrases: torch.Tensor, opposed: torch.Tensor, ordinary: torch.Tensor) -> Nearness:
        """Scaled by everyday texts of the rows `ordinary` [n], and by the phrases [K, D] themselves."""
        raw = cls(everyday, phrases, opposed)
        usual = float(raw._raw(everyday.standard, everyday.crowd)[ordinary].median())
        own = float(raw._raw(phrases, everyday.crowd_around(phrases)).mean())
        return dataclasses.replace(raw, usual=usual, own=max(own, usual + TINY))

    def lean(self, embeddings: torch.Tensor) -> torch.Tensor:
        """[N] of embeddings [N, D]: -1 as everyday language is or further off, 1 as the concept's own phrases are."""
        directions = self.everyday.standardize(embeddings)
        return self._scaled(self._raw(directions, self.everyday.crowd_around(directions)))

    def lean_everyday(self) -> torch.Tensor:
        """[n] the same of the everyday texts, each as if it were not among them."""
        return self._scaled(self._raw(self.everyday.standard, self.everyday.crowd))

    def lean_phrases(self) -> torch.Tensor:
        """[K] the same of the concept's phrases, each as if it were not among them; -1 of a phrase that is alone."""
        if len(self.phrases) == 1:
            return torch.full((1,), -1.0)
        cosines = self.phrases @ self.phrases.T
        others = cosines[~torch.eye(len(cosines), dtype=torch.bool)].view(len(cosines), -1)
        return self._scaled(self._nearer(others, self.phrases, self.everyday.crowd_around(self.phrases)))

    def _raw(self, directions: torch.Tensor, crowd: torch.Tensor) -> torch.Tensor:
        return self._nearer(directions @ self.phrases.T, directions, crowd)

    def _nearer(self, cosines: torch.Tensor, directions: torch.Tensor, crowd: torch.Tensor) -> torch.Tensor:
        """[N] by cosines [N, K] of `directions` [N, D] to phrases."""
        near = cosines.topk(min(NEAREST, cosines.shape[1]), dim=-1).values.mean(-1)
        if len(self.opposed):
            crowd = torch.maximum(crowd, (directions @ self.opposed.T).amax(dim=-1))
        return near - crowd

    def _scaled(self, raw: torch.Tensor) -> torch.Tensor:
        return (2 * (raw - self.usual) / (self.own - self.usual) - 1).clamp(-1, 1)
