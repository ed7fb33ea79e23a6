"""Spans and projections of embeddings (paper, section 3.1)."""

from __future__ import annotations

import torch

RANK_TOLERANCE = 1e-2  # singular values below this share of the largest carry rounding and near-duplicate phrases


def span(vectors: torch.Tensor, tolerance: float = RANK_TOLERANCE, rank: int | None = None) -> torch.Tensor:
    """Orthonormal basis [r, D] (float32) of the span of `vectors` [K, D], strongest direction first.

    SVD with a rank tolerance: the pseudo-inverse of the Gram matrix, used by the paper's release, blows up on
    near-collinear phrases.

    vectors: any floating dtype and device; the result is on the same device
    tolerance: directions weaker than this share of the strongest one are left out
    rank: keep at most so many directions; None for all

    >>> nearly_the_same = torch.tensor([[3.0, 0.0, 0.0], [3.0, 0.001, 0.0]])
    >>> span(nearly_the_same).shape
    torch.Size([1, 3])
    """
    # float64: a Gram matrix of real phrases reaches a condition number of thousands
    _, singular, basis = torch.linalg.svd(vectors.double(), full_matrices=False)
    kept = int((singular > tolerance * singular[0]).sum()) if len(singular) else 0
    return basis[: min(kept, rank) if rank else kept].float()


def project(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """P x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]: the part of each row inside the span.

    >>> project(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([[3., 0.]])
    """
    return (vectors @ basis.T) @ basis


def reject(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """(I - P) x for rows x of `vectors` [..., D] and an orthonormal `basis` [r, D]: what is left outside the span.

    >>> reject(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([[0., 4.]])
    """
    return vectors - project(vectors, basis)


def shrunk_covariance(rows: torch.Tensor, shrinkage: float) -> torch.Tensor:
    """Covariance [D, D] of centred `rows` [n, D], by a share moved towards a multiple of the identity.

    With fewer rows than dimensions a covariance cannot be inverted; this one can (Ledoit and Wolf 2004).

    >>> shrunk_covariance(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), 0.5)
    tensor([[3., 0.],
            [0., 1.]])
    """
    covariance = rows.T @ rows / len(rows)
    size = (covariance.trace() / len(covariance)).clamp_min(torch.finfo(covariance.dtype).tiny)
    return (1 - shrinkage) * covariance + shrinkage * size * torch.eye(len(covariance)).to(covariance)
