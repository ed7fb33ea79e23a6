"""Steering of flagged token embeddings, modes `paper` and `reference` (paper, section 3.2)."""

from __future__ import annotations

import torch

from .linear_algebra import project, reject
from .subspace import EncoderSubspace

ORDERS = ("paper", "reference")


def steer(tokens: torch.Tensor, concepts: torch.Tensor, inputs: torch.Tensor, order: str) -> torch.Tensor:
    """The steered embeddings of `tokens` [T, D], for orthonormal bases of span(C) [r, D] and of the input space [q, D].

    order 'paper': P_I (I - P_C) p, equation 5. order 'reference': (I - P_C) P_I p, what the release computes; the two
    projectors do not commute. Raises ValueError for any other order.

    >>> token, everything = torch.tensor([[2.0, 5.0]]), torch.eye(2)
    >>> steer(token, torch.tensor([[1.0, 0.0]]), everything, "paper")  # without its part along the concept
    tensor([[0., 5.]])
    """
    if order == "paper":
        return project(reject(tokens, concepts), inputs)
    if order == "reference":
        return reject(project(tokens, inputs), concepts)
    raise ValueError(f"order {order!r} is not one of {ORDERS}")


def resemblance(tokens: torch.Tensor, space: EncoderSubspace) -> torch.Tensor:
    """Cosine of each token state of `tokens` [T, D] with each concept phrase: [T, K].

    Both are taken from the probe and without their everyday part. For conditioning whose prompt is not known.
    """
    states, phrases = (reject(v - space.probe, space.common) for v in (tokens, space.concepts))
    return torch.nn.functional.normalize(states, dim=-1) @ torch.nn.functional.normalize(phrases, dim=-1).T


def remove_nearest(tokens: torch.Tensor, space: EncoderSubspace) -> torch.Tensor:
    """`tokens` [T, D], each without its component along the concept phrase that it resembles most.

    Only this one direction: taking out the whole subspace takes other objects of the prompt along.
    """
    nearest = reject(space.concepts - space.probe, space.common)[resemblance(tokens, space).argmax(dim=-1)]
    direction = torch.nn.functional.normalize(nearest, dim=-1)
    amount = (reject(tokens - space.probe, space.common) * direction).sum(-1, keepdim=True).clamp_min(0)
    return tokens - amount * direction
