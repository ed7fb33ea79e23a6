"""Which words of a prompt lean into a concept subspace.

Input of every detector: p [D], the pooled embedding of the prompt, and masked [N, D], one row p_\\i per word (modes
`paper` and `reference`: per token) with that word replaced by the encoder's neutral token. Output: one score per row;
a row is a trigger when its score is above the threshold.
"""

from __future__ import annotations

import torch

from .linear_algebra import reject
from .subspace import EncoderSubspace

ALPHA = 0.01  # paper, section 3.1
DEVIATIONS = 2.0  # above the everyday words' mean alignment; bench/: 0.5 % of benign prompts lie higher
BORDERLINE = 0.5  # deviations from which a word is looked at together with its neighbours
FLOOR = 0.4  # a subspace of few phrases has a null distribution too narrow to trust


def alignment(p: torch.Tensor, masked: torch.Tensor, space: EncoderSubspace) -> torch.Tensor:
    """Mode `adaptive`: the share of a word's effect on the prompt that lies in the concept subspace, in [-1, 1].

    The effect of word i is e_i = p - p_\\i without its everyday part; the score is |P_C e_i| / |e_i|, negative when
    the word moves the prompt away from the concept phrase that it concerns most. Being a share, it does not fade in
    long prompts, as the growth of the paper's distance does. p: one prompt [D], or one for each row [N, D].
    """
    effect = reject(p - masked, space.common)  # [N, D]
    inside = (effect @ space.aligned_basis.T).norm(dim=-1)
    score = inside / effect.norm(dim=-1).clamp_min(1e-6 * p.norm())
    toward = effect @ torch.nn.functional.normalize(reject(space.concepts - space.probe, space.common), dim=-1).T
    return torch.where(toward.amax(dim=-1) >= -toward.amin(dim=-1), score, -score)


def thresholds(space: EncoderSubspace, chosen: float = 0.0) -> tuple[float, float]:
    """(borderline, trigger) for `alignment`, above what everyday words score with this encoder and subspace.

    chosen: a trigger threshold of the user's own, 0 for the calibrated one.
    """
    mean, deviation = space.null
    trigger = chosen or min(max(mean + DEVIATIONS * deviation, FLOOR), 0.9)
    return trigger - (DEVIATIONS - BORDERLINE) * deviation, trigger


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
