"""Self-validating filtering: for how many denoising steps the filtered embedding is used (paper, section 3.3)."""

from __future__ import annotations

import math

import torch

GAMMA = 10.0  # paper: t' = gamma * sigmoid(1 - cos)
RELEASE_STEPS = 50  # the schedule that the paper's absolute step counts belong to
SLOPE, OFFSET = 2.5, 5.333  # the release's k and c for nudity; 3.5 and 5.5 for artist styles


def difference(original: torch.Tensor, filtered: torch.Tensor) -> float:
    """1 - cos between original and filtered token embeddings [T, D], mean over the prompt's real tokens; 0 to 2.

    >>> difference(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    1.0
    """
    return 1 - torch.cosine_similarity(original.double(), filtered.double(), dim=-1).mean().item()


def paper_steps(beta: float) -> float:
    """t' = gamma * sigmoid(beta) as printed in the paper, in steps of its 50; never below gamma / 2.

    >>> paper_steps(0.0)
    5.0
    """
    return GAMMA / (1 + math.exp(-beta))


def reference_steps(beta: float) -> float:
    """t' of the release in steps of its 50: gamma * sigmoid(2k(10 beta - c)), 0 up to beta = .45, gamma from .60.

    >>> round(reference_steps(0.4)), round(reference_steps(0.7))
    (0, 10)
    """
    return GAMMA / (1 + math.exp(-min(max(2 * SLOPE * (10 * beta - OFFSET), -700.0), 700.0)))


def share(steps: float) -> float:
    """The share of a schedule, 0 to 1, that `steps` of the release's 50 stand for.

    >>> share(10)
    0.2
    """
    return min(max(steps / RELEASE_STEPS, 0.0), 1.0)


def filtered_steps(steps: int, total: int, in_share: float | None = None) -> int:
    """How many of `total` steps are filtered: round(in_share * total) if a share is given, otherwise `steps`.

    >>> filtered_steps(10, total=8), filtered_steps(0, total=20, in_share=0.2)
    (8, 4)
    """
    wanted = round(in_share * total) if in_share is not None else steps
    return min(max(wanted, 0), total)
