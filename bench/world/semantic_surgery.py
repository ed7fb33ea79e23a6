"""Semantic Surgery (arXiv 2510.22851), for comparison: takes a concept's vector off a prompt as far as it is there.

Written from the paper's equations with the values of its authors' release. Its second look at the finished picture,
which needs a detector and a second run, is left out.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


@dataclasses.dataclass(frozen=True)
class Settings:
    """steepness: gamma. presence: minus beta, the likeness from which a concept is there. limit: tau, of alpha."""

    steepness: float = 0.02
    presence: float = 0.06
    limit: float = 0.5


def presence(prompt: Tensor, concept: Tensor, neutral: Tensor, settings: Settings) -> float:
    """alpha = sigmoid((mean cosine(e_c - e_0, e_p) - presence) / steepness), of states [1, tokens, D]."""
    likeness = cosine_similarity(concept - neutral, prompt, dim=-1).mean()
    return torch.sigmoid((likeness - settings.presence) / settings.steepness).item()


def semantic_surgery(encode, prompt: str, phrases: tuple[str, ...], settings: Settings | None = None) -> list:
    """CONDITIONING of a prompt without the phrases that are in it; with none in it, that of the prompt itself.

    encode: CONDITIONING of a text. Phrases that are there are encoded together, as a text (co-occurrence encoding).
    """
    settings, conditioning = settings or Settings(), encode(prompt)
    states = conditioning[0][0]
    neutral = _as_long(encode("")[0][0], states)
    alphas = {phrase: presence(states, _as_long(encode(phrase)[0][0], states), neutral, settings) for phrase in phrases}
    there = [phrase for phrase, alpha in alphas.items() if alpha > settings.limit]
    if not there:
        return conditioning
    together = _as_long(encode(", ".join(there))[0][0], states)
    alpha = max(alphas[phrase] for phrase in there)
    return [[states - alpha * (together - neutral), *conditioning[0][1:]], *conditioning[1:]]


def _as_long(states: Tensor, like: Tensor) -> Tensor:
    """The first chunk of states [1, tokens, D], as often as the prompt has chunks."""
    chunk = states[:, : min(states.shape[1], like.shape[1])]
    return chunk.repeat(1, -(-like.shape[1] // chunk.shape[1]), 1)[:, : like.shape[1]]
