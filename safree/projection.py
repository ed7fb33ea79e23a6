"""Steering of flagged token embeddings, modes `paper` and `reference` (paper, section 3.2)."""

from __future__ import annotations

import torch

from .subspace import project, reject

ORDERS = ("paper", "reference")


def steer(tokens: torch.Tensor, concepts: torch.Tensor, inputs: torch.Tensor, order: str) -> torch.Tensor:
    """The steered embeddings of `tokens` [T, D], for orthonormal bases of span(C) [r, D] and of the input space [q, D].

    order 'paper': P_I (I - P_C) p, equation 5. order 'reference': (I - P_C) P_I p, what the release computes; the two
    projectors do not commute.
    """
    if order == "paper":
        return project(reject(tokens, concepts), inputs)
    if order == "reference":
        return reject(project(tokens, inputs), concepts)
    raise ValueError(f"order {order!r} is not one of {ORDERS}")
