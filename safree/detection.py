"""Modes `paper` and `reference`: which tokens of a prompt lean into a concept subspace (paper, section 3.1).

Input: p [D], the pooled embedding of the prompt, and masked [N, D], one row p_\\i per token with that token replaced
by the encoder's neutral token. Output: one score per row; a row is a trigger when its score is above the threshold.
Mode `adaptive` detects by safree.calibration.
"""

from __future__ import annotations

import torch

from .linear_algebra import reject

ALPHA = 0.01  # paper, section 3.1


def distances(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """d = |(I - P_C) v| for rows of `vectors` [N, D] (paper, equation 3)."""
    return reject(vectors, basis).norm(dim=-1)


def distance_ratio(p: torch.Tensor, masked: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Modes `paper` and `reference`: d_i / mean_{j != i} d_j - 1, to be compared with alpha (paper, equation 4).

    A one-token prompt has no other tokens, where the release divides by nothing and flags always; here it is
    compared with the unmasked prompt.
    """
    d = distances(masked, basis)
    others = (d.sum() - d) / (len(d) - 1) if len(d) > 1 else distances(p[None], basis)
    return d / others.clamp_min(1e-6 * p.norm()) - 1
