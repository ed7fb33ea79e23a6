"""The subspace that tells a concept from everyday language, and where in it a text lies.

The paper's span(C) holds ordinary directions too: 'erotic art' holds art. Here the directions are those in which the
concept phrases differ from everyday language (Fisher's discriminants), and inside the subspace that they span a smooth
rule, fitted in closed form, says on which side a text lies. Nothing is trained by steps, no encoder is named.
"""

from __future__ import annotations

import dataclasses
import functools

import torch

from .linear_algebra import shrunk_covariance

RANK = 32  # most discriminant directions of one concept
SHRINKAGE = 0.1  # of the everyday covariance towards a multiple of the identity, so that it can be inverted
WIDTH = 2.0  # of the kernel: exp(-WIDTH d^2), d in units of the typical distance of a phrase to everyday language
RIDGE = 0.3  # least-squares penalty; figures hardly change between 0.1 and 1
LANDMARKS = 400  # everyday texts that the rule is written in, beside the concept's own phrases
CROWD = 7  # everyday texts that make up the surroundings of a text,
EVERY = 2  # of every so manieth: more of them tell no more
ITSELF = 0.999  # cosine above which an everyday text is the text itself
ROWS = 1024  # texts whose surroundings are looked at together, so that the cosines stay small in memory
SMALLEST = 1e-6  # share of a dimension's spread, below which it says nothing


@dataclasses.dataclass(frozen=True)
class Everyday:
    """Everyday language as one text encoder reads it: pooled embeddings [n, D], float32.

    phrases: so many of the first are of phrases, which others are compared with; the rest comes from harmless prompts,
    and is to be like what a new prompt brings. 0: all of them
    """

    embeddings: torch.Tensor
    phrases: int = 0

    @functools.cached_property
    def mean(self) -> torch.Tensor:
        return self.embeddings.mean(0)

    @functools.cached_property
    def deviation(self) -> torch.Tensor:
        """[D] spread of each dimension; encoders have a few that are many times larger than the others."""
        spread = (self.embeddings - self.mean).std(0)
        return spread.clamp_min(SMALLEST * spread.max().clamp_min(torch.finfo(torch.float32).tiny))

    def standardize(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings [..., D] as directions from the everyday mean, every dimension in its own unit of spread."""
        return torch.nn.functional.normalize((embeddings - self.mean) / self.deviation, dim=-1)

    @functools.cached_property
    def standard(self) -> torch.Tensor:
        return self.standardize(self.embeddings)

    @functools.cached_property
    def crowd(self) -> torch.Tensor:
        """[n] `crowd_around` of the everyday texts themselves."""
        return self.crowd_around(self.standard)

    def crowd_around(self, directions: torch.Tensor) -> torch.Tensor:
        """[N] mean cosine of each of `directions` [N, D] to the CROWD everyday texts around it, itself left out."""
        found = []
        others = self.standard[: self.phrases or None][::EVERY]
        for part in directions.split(ROWS):
            cosines = part @ others.T
            cosines[cosines > ITSELF] = -1
            found.append(cosines.topk(min(CROWD, len(others)), dim=-1).values.mean(-1))
        return torch.cat(found) if found else directions.new_zeros(0)

    @functools.cached_property
    def factor(self) -> torch.Tensor:
        """Cholesky factor [D, D] of the shrunk covariance of `standard`."""
        centred = self.standard - self.standard.mean(0)
        return torch.linalg.cholesky(shrunk_covariance(centred, SHRINKAGE))


@dataclasses.dataclass(frozen=True)
class Discriminant:
    """A concept against everyday language. All tensors float32.

    basis: [r, D] orthonormal directions in which the concept differs, strongest first
    scale: typical distance of a concept phrase to everyday language, inside the subspace
    landmarks: [m, r], weights: [m]: the rule, sum of weights * exp(-WIDTH |z - landmark|^2)
    left_out: [n] what the rule gives each everyday text when fitted without it (leave-one-out): the null distribution
    phrases_left_out: [K] what it gives each concept phrase when fitted without it
    """

    everyday: Everyday
    basis: torch.Tensor
    scale: float
    landmarks: torch.Tensor
    weights: torch.Tensor
    left_out: torch.Tensor
    phrases_left_out: torch.Tensor

    def lean(self, embeddings: torch.Tensor) -> torch.Tensor:
        """How far each text leans into the concept: embeddings [N, D] -> [N], about -1 everyday to 1 the concept."""
        return _kernel(self._coordinates(embeddings), self.landmarks) @ self.weights

    def _coordinates(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.everyday.standardize(embeddings) @ self.basis.T / self.scale


def fit(
    concepts: torch.Tensor,
    everyday: Everyday,
    weights: torch.Tensor | None = None,
    retain: torch.Tensor | None = None,
) -> Discriminant:
    """The discriminant of concept phrases [K, D] against `everyday`.

    weights: [n] of the everyday texts, 1 by default; one of weight 0 does not stand against this concept.
    retain: [R, D] phrases that count as everyday, each as much as a concept phrase.

    Least squares on exp(-WIDTH d^2) with one half of the weight on each side, in closed form: about 0.2 s.
    """
    phrases, standard = everyday.standardize(concepts), everyday.standard
    difference = torch.cholesky_solve((phrases - standard.mean(0)).T, everyday.factor).T  # [K, D], Fisher's directions
    difference = torch.nn.functional.normalize(difference, dim=-1)
    basis = torch.linalg.svd(difference, full_matrices=False).Vh[:RANK]  # [r, D]
    ours, every = phrases @ basis.T, standard @ basis.T
    weights = torch.ones(len(every)) if weights is None else weights
    rows = weights.nonzero().flatten()
    theirs, amounts = every[rows], weights[rows]
    scale = float(torch.cdist(ours, theirs).median().clamp_min(torch.finfo(torch.float32).tiny))
    if retain is not None and len(retain):
        theirs = torch.cat([theirs, everyday.standardize(retain) @ basis.T])
        amounts = torch.cat([amounts, torch.full((len(retain),), len(rows) / len(ours))])
    landmarks = torch.cat([ours, theirs[:: max(len(theirs) // LANDMARKS, 1)]]) / scale
    sides = torch.cat([torch.ones(len(ours)), -torch.ones(len(theirs))])
    shares = torch.cat([torch.full((len(ours),), 1 / len(ours)), amounts / amounts.sum()])
    rule, left_out = _least_squares(torch.cat([ours, theirs]) / scale, landmarks, sides, shares * len(sides) / 2)
    fitted = _kernel(every / scale, landmarks) @ rule
    fitted[rows] = left_out[len(ours) : len(ours) + len(rows)]
    return Discriminant(everyday, basis, scale, landmarks, rule, fitted, left_out[: len(ours)])


def _least_squares(
    points: torch.Tensor, landmarks: torch.Tensor, sides: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights [m] of the landmarks, leave-one-out values [n]) of the rule through `sides` [n] at `points` [n, r].

    Kernel ridge regression on a subset of regressors; leaving one out costs nothing more (Allen's PRESS statistic).
    """
    features = _kernel(points, landmarks).double()  # [n, m]
    weighted = features * weights[:, None]
    normal = features.T @ weighted + RIDGE * _kernel(landmarks, landmarks).double()
    normal += 1e-8 * normal.trace() / len(normal) * torch.eye(len(normal), dtype=torch.float64)  # equal landmarks
    factor = torch.linalg.cholesky(normal)
    rule = torch.cholesky_solve(weighted.T @ sides.double()[:, None], factor)[:, 0]
    leverage = (weighted * torch.cholesky_solve(features.T, factor).T).sum(-1)
    residual = (sides - features @ rule) / (1 - leverage).clamp_min(1e-3)
    return rule.float(), (sides - residual).float()


def _kernel(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.exp(-WIDTH * torch.cdist(one, other) ** 2)
