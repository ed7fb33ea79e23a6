"""What a recipe of example_workflows/ is, and the two models that it is built for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .. import setup_host

EXAMPLE_IMAGE = "example.png"  # ComfyUI brings it


@dataclasses.dataclass(frozen=True)
class World:
    """A Stable Diffusion 1.x checkpoint and settings that suit it."""

    checkpoint: str = "v1-5-pruned-emaonly-fp16.safetensors"
    side: int = 512
    steps: int = 25
    cfg: float = 7.5


TINY_LORA, TINY_PRESENCE = "lora_weapon.safetensors", "presence_weapon.safetensors"
TINY = World(setup_host.CHECKPOINT, 128, 12, 5.0)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One workflow: `build(graph, world, prompt)`, its prompt, and the prompt of its thumbnail on the tiny model.

    world is None where the graph names a model of another family itself.
    """

    build: Callable
    note: str
    prompt: str
    tiny_prompt: str
    world: World | None = World()
