"""Does a picture in the making show a concept, where, and how to take it out: linear probes on decoder features.

The paper's self-validation asks the prompt (section 3.3) and its re-attention compares two prompts (section 3.4); what
no prompt names escapes both. Here the reference is what the concept looks like inside the model: a linear discriminant
between places of pictures that show it and places of pictures that do not, one for each noise level and decoder block.
A place is a cell of a grid of at most GRID x GRID; a score counts standard deviations above clean pictures.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from .linear_algebra import shrunk_covariance

GRID = 16  # cells along each side: coarse enough to be compared between pictures
CHOOSING_ROUNDS = 2  # of choosing, in the pictures that show the concept, the places that show it
SHOWING = 0.15  # share of a picture's places taken to show the concept
TOP = 0.1  # share of the places whose mean score is the picture's
SHRINKAGE = 0.05  # of a covariance towards a multiple of the identity: there are fewer pictures than channels
DAMPED_FROM = 0.5  # deviations from which a place is damped
LOOK = 1.0  # likewise of a finished picture, late in the schedule: whole probes spread less than those of a half
DEVIATIONS = 1.6  # of clean pictures' largest score during a run, above their mean; `bench unasked` counts how many


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Of one decoder block at one noise level; D channels.

    weight [D], offset: a place's score is weight . features - offset, in deviations of clean places
    direction [D]: taking it once from a place's features lowers the score by 1
    mean, deviation: of the score of clean pictures
    """

    weight: Tensor
    offset: float
    direction: Tensor
    mean: float = 0.0
    deviation: float = 1.0

    def places(self, features: Tensor) -> Tensor:
        """Score of every place: features [B, D, H, W] of any dtype -> float32 [B, h, w], h and w at most GRID.

        Of a video: [B, D, frames, H, W] -> [B, frames, h, w].
        """
        cells = on_grid(features)
        weight = self.weight.to(cells.device)
        return torch.einsum("bd...,d->b...", cells, weight) - self.offset

    def picture(self, places: Tensor) -> Tensor:
        """Score of pictures or videos, from `places` [B, ..., h, w] -> [B], in deviations of clean pictures."""
        return (strongest(places) - self.mean) / self.deviation

    def damp(self, features: Tensor, places: Tensor, strength: Tensor) -> Tensor:
        """`features` [B, D, H, W], or [B, D, frames, H, W], with less of the concept where it stands, in their dtype.

        A place's score falls by `strength` [B] times what it has above DAMPED_FROM; other places stay as they are.
        """
        sides = features.ndim - 2
        excess = (places - DAMPED_FROM).clamp_min(0) * strength.to(places).view(-1, *[1] * sides)  # [B, ..., h, w]
        mode = "bilinear" if sides == 2 else "trilinear"
        excess = interpolate(excess[:, None], size=features.shape[2:], mode=mode, align_corners=False)
        direction = self.direction.to(excess.device).view(1, -1, *[1] * sides)
        return features - (excess * direction).to(features.dtype)


def on_grid(features: Tensor) -> Tensor:
    """[B, D, H, W] -> float32 [B, D, h, w]: means over the cells of a grid of at most GRID x GRID.

    Frames of a video, [B, D, frames, H, W], stay apart.
    """
    height, width = features.shape[-2:]
    grid = (min(height, GRID), min(width, GRID))
    if features.ndim == 4:
        return adaptive_avg_pool2d(features.float(), grid)
    return adaptive_avg_pool3d(features.float(), (features.shape[2], *grid))


def by_frame(places: Tensor) -> Tensor:
    """Mean of the largest scores in each frame: [..., h, w] -> [...]."""
    flat = places.flatten(-2)
    return flat.topk(max(1, int(TOP * flat.shape[-1]))).values.mean(-1)


def strongest(places: Tensor) -> Tensor:
    """Mean of the largest scores of each picture: [B, h, w] -> [B].

    Of a video [B, frames, h, w] the frame after which two in a row show most: what stands in it lasts.
    """
    found = by_frame(places)
    return found if found.ndim == 1 else ((found[:, 1:] + found[:, :-1]) / 2).amax(1)


def fit(shown: Tensor, clean: Tensor) -> Probe:
    """The probe between features of pictures that show the concept [n, D, h, w] and of clean ones [m, D, h, w].

    A first discriminant of whole pictures finds the places that show the concept; CHOOSING_ROUNDS further ones are of
    places.
    """
    places, others = shown.movedim(1, -1), clean.movedim(1, -1)  # [n, h, w, D]
    weight, direction = discriminant(places.mean((1, 2)), others.mean((1, 2)), 2 * SHRINKAGE)
    for _ in range(CHOOSING_ROUNDS):
        scores = (places @ weight).flatten(1)  # [n, h w]
        best = scores.topk(max(1, int(SHOWING * scores.shape[1]))).indices
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
        rest = scores < scores.median(1, keepdim=True).values
        cells = places.flatten(1, 2)
        weight, direction = discriminant(cells[chosen], torch.cat([others.flatten(0, 2), cells[rest]]), SHRINKAGE)
    scores = others @ weight
    spread = scores.std().clamp_min(torch.finfo(scores.dtype).tiny)
    weight = weight / spread
    return Probe(weight, float(scores.mean() / spread), direction / (direction @ weight))


def discriminant(one: Tensor, other: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Fisher's linear discriminant of rows [n, D] and [m, D]: (weight [D], difference of the means [D])."""
    difference = one.mean(0) - other.mean(0)
    spread = torch.cat([one - one.mean(0), other - other.mean(0)])
    return torch.linalg.solve(shrunk_covariance(spread, shrinkage), difference), difference


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptPresence:
    """What a concept looks like to one diffusion model.

    sigmas: noise levels of the probes, falling;  probes: for each, by number of the decoder's block
    clean, shown: presence of clean pictures and of those that were asked for the concept, [2, sigmas, pictures]: with
        their prompt and with the empty one; each picture judged by probes that never saw it nor its words
    empty: token states of the empty prompt, for looking at finished pictures;  also: what else its conditioning holds,
        by ComfyUI's name of it ('pooled_output')
    """

    name: str
    phrases: tuple[str, ...]
    sigmas: tuple[float, ...]
    probes: tuple[dict[int, Probe], ...]
    clean: Tensor
    shown: Tensor
    empty: Tensor
    also: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def at(self, sigma: float) -> int:
        """Number of the noise level nearest to `sigma`, by ratio."""
        log = torch.tensor(max(sigma, 1e-6)).log()
        return int((torch.tensor(self.sigmas).log() - log).abs().argmin())

    @property
    def threshold(self) -> float:
        """Of `recent` presence, from which on a picture counts as showing the concept."""
        return self.limit(DEVIATIONS)

    def limit(self, deviations: float) -> float:
        """So many deviations of clean pictures' largest score above their mean."""
        largest = _largest(self.clean[0])
        return float(largest.mean() + deviations * largest.std())

    @property
    def sensitivity(self) -> float:
        """Share of the pictures that were asked for the concept in which it is found; not all of them do show it."""
        return float((_largest(self.shown[0]) > self.threshold).float().mean())

    def look_threshold(self, levels: list[int]) -> float:
        """Likewise of the mean presence over noise levels, the prompt being empty."""
        found = self.clean[1, levels].mean(0)
        return float(found.mean() + LOOK * found.std())


def _largest(history: Tensor) -> Tensor:
    """Largest `recent` presence during a run: [steps, pictures] -> [pictures]."""
    return torch.stack([recent(history[: i + 1]) for i in range(len(history))]).amax(0)


def recent(history: Tensor) -> Tensor:
    """Mean presence of the last two steps: [steps, ...] -> [...]; before the first it is that of clean pictures, 0."""
    return history[-2:].sum(0) / 2


def presence(scores: list[Tensor]) -> Tensor:
    """Presence [B] at one step: mean over the blocks of the pictures' scores [B]."""
    return torch.stack(scores).mean(0)
