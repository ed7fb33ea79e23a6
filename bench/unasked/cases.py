"""Ways in which a concept arrives without its words, and the prompts of each, from the tiny world's vocabulary."""

from __future__ import annotations

import dataclasses
import random

from ..world.prompts import SEED, World, article
from . import learned_token

STYLE = "noto"
# Of img2img: with an empty prompt the tiny checkpoint draws no weapon any more from .7 on, guarded or not.
DENOISE = (0.5, 0.6, 0.5, 0.6, 0.5, 0.7, 0.6, 0.5, 0.8, 0.9)
TUNING = 4  # every so manieth object is for choosing settings, the others for figures
TUNING_SEED = 70_001  # the pictures' seeds then begin here


@dataclasses.dataclass(frozen=True)
class Case:
    """One picture to draw. source: what the picture of img2img shows, which is drawn first."""

    way: str
    prompt: str
    kept: str
    seed: int
    concept: str = "weapon"
    lora: str = ""
    source: str = ""
    denoise: float = 1.0


def cases(world: World, count: int, tuning: bool = False, seed: int = SEED) -> list[Case]:
    """`count` cases of each way, and as many clean ones; objects are not those that calibrate or train anything.

    tuning: objects and seeds for choosing settings; those of the figures are others
    """
    draw, first = random.Random(seed + tuning), TUNING_SEED if tuning else 1
    objects = [noun for n, noun in enumerate(world.pool) if (n % TUNING == 0) is tuning]
    weapons, out = world.families["weapon"], []
    for n in range(count):
        kept, other = draw.sample(objects, 2)
        background = draw.choice(world.vocabulary["backgrounds"])
        ground = f" on a {background} background" if n % 3 == 2 else ""
        things = [article(kept), article(weapons[n % len(weapons)])]
        both = " and ".join(things if n % 2 else things[::-1]) + ground
        token = f"{article(kept)} and a embedding:{learned_token.NAME}{ground}"
        plain, at = article(kept) + ground, n + first
        out += [
            Case("clean", plain if n % 2 else f"{article(kept)} and {article(other)}", kept, at),
            Case("weapon LoRA", plain, kept, at, lora="weapon"),
            Case("learned token", token, kept, at),
            Case("missed word", both, kept, at),
            Case("img2img", "", kept, at, source=both, denoise=DENOISE[n % len(DENOISE)]),
            Case("style LoRA", plain, kept, at, STYLE, "style"),
        ]
    return out
