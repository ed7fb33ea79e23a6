"""Spans and projections of embeddings (paper, section 3.1)."""

from __future__ import annotations

import torch

RANK_TOLERANCE = 1e-2  # singular values below this share of the largest carry rounding and near-duplicate phrases


def span(vectors: torch.Tensor, tolerance: float = RANK_TOLERANCE, rank: int | None = None) -> torch.Tensor:
    """Orthonormal basis [r, D] (float32) of the span of `vectors` [K, D], strongest direction first.

    SVD with a rank tolerance: the pseudo-inverse of the Gram matrix, used by the paper's release, blows up on
    near-collinear phrases.
    """
    # float64: a Gram matrix of real phrases reaches a condition number of thousands
    _, singular, basis = torch.linalg.svd(vectors.double(), full_matrices=False)
    kept = int((singular > tolerance * singular[0]).sum()) if len(singular) else 0
    return basis[: min(kept, rank) if rank else kept].float()


def project(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """P x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]."""
    return (vectors @ basis.T) @ basis


def reject(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """(I - P) x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]."""
    return vectors - project(vectors, basis)
