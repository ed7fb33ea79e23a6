"""Self-validating filtering: for how many denoising steps the filtered embedding is used (paper, section 3.3)."""

from __future__ import annotations

import math

import torch

GAMMA = 10.0  # paper: t' = gamma * sigmoid(1 - cos)
RELEASE_STEPS = 50  # the schedule that the paper's absolute step counts belong to
SLOPE, OFFSET = 2.5, 5.333  # the release's k and c for nudity; 3.5 and 5.5 for artist styles


def difference(original: torch.Tensor, filtered: torch.Tensor) -> float:
    """1 - cos between original and filtered token embeddings [T, D], mean over the prompt's real tokens."""
    return 1 - torch.cosine_similarity(original.double(), filtered.double(), dim=-1).mean().item()


def paper_steps(beta: float) -> float:
    """t' = gamma * sigmoid(beta) as printed in the paper; never below gamma / 2."""
    return GAMMA / (1 + math.exp(-beta))


def reference_steps(beta: float) -> float:
    """t' of the release: gamma * sigmoid(2k(10 beta - c)), 0 up to beta = .45, gamma from .60."""
    return GAMMA / (1 + math.exp(-min(max(2 * SLOPE * (10 * beta - OFFSET), -700.0), 700.0)))


def share(steps: float) -> float:
    """The share of a schedule that `steps` of the release's 50 stand for."""
    return min(max(steps / RELEASE_STEPS, 0.0), 1.0)


def filtered_steps(steps: int, total: int, in_share: float | None = None) -> int:
    """How many of `total` steps are filtered: round(in_share * total) if a share is given, otherwise `steps`."""
    wanted = round(in_share * total) if in_share is not None else steps
    return min(max(wanted, 0), total)
