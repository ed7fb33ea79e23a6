"""`bench unasked-assets`: trains the LoRAs and the token of `bench unasked`, and learns the presences."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path

import torch

from ..run.selection import choose
from ..world.detector import ASSETS
from ..world.guards import Bench
from ..world.prompts import Concept, World
from ..world.studio import Studio
from . import learned_token
from .cases import STYLE
from .command import PRESENCE, SAMPLING
from .lora import LESSONS, train

PICTURES = 96  # of each kind, from which a presence is learned


def known(world: World, concept: Concept) -> tuple[str, ...]:
    """The concept's phrases that the tiny checkpoint can draw; of words outside its vocabulary it draws nothing."""
    words = {*world.vocabulary["known_words"], "a", "and"}
    return tuple(phrase for phrase in concept.phrases if words >= set(re.findall(r"\w+", phrase)))


def make_assets(where: Path = ASSETS, only: tuple[str, ...] = (), half: bool = False) -> None:
    """Train the two LoRAs and the token, learn the two presences, and write them to `where`; all seeded."""
    world, studio = World(), Studio(SAMPLING, half=half)
    weapon, noto = world.concepts()["weapon"], world.concepts()[STYLE]
    bench, host = Bench(studio), studio.pack.host
    settings = host.latent.learn_presence.PictureSettings(
        PICTURES, SAMPLING.steps, SAMPLING.cfg, SAMPLING.size, SAMPLING.size
    )

    def presence(concept: Concept) -> str:
        with torch.inference_mode():
            (subspace,) = bench.subspaces(dataclasses.replace(concept, phrases=known(world, concept)))
            learned = host.latent.learn_presence.learn(studio.model, studio.clip, subspace, settings)
        studio.pack.safree.presence_storage.save(learned, where / PRESENCE[concept.name], overwrite=True)
        return f"threshold {learned.threshold:.2f}, found in {learned.sensitivity:.2f} of the pictures asked for"

    made = {
        "presence weapon": lambda: presence(weapon),
        "presence style": lambda: presence(noto),
        "token": lambda: learned_token.learn(studio, bench.subspaces(weapon)[0], where),
        **{f"LoRA {name}": functools.partial(train, studio, lesson, where) for name, lesson in LESSONS.items()},
    }
    for name, make in choose(list(made.items()), lambda part: part[0], only, "asset"):
        print(name, make(), flush=True)
