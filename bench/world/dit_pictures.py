"""What the small DiT learns from: latents of things on plain backgrounds, encoded once, and captions of them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate, pad
from tqdm import tqdm

from .composed import things
from .detector import SIZE
from .prompts import World, article
from .studio import Studio, save
from .tiny_dit import BACKGROUNDS, SIDE, TEXT, THINGS

STYLE = 2  # Twemoji, the flattest of the three
COLOURS = ((255, 255, 255), (70, 110, 220))  # of BACKGROUNDS
SINGLES = 2  # drawings of each thing alone on each background; one more on either side
PAIRS, EMPTY = 0.35, 0.1  # shares of pictures of two things, and of captions left empty
SYNONYM, FAMILY, NAMED = 0.3, 0.06, 0.15  # shares of captions in other words; of a white background that is named
BEFORE = ("", "", "", "an emoji of ", "a picture of ", "a drawing of ")
BETWEEN = (" and ", " and ", " next to ", " with ")


class Pictures:
    """Batches of latents and captions, each determined by its number.

    singles [things, backgrounds, SINGLES, 4, 16, 16], halves [things, backgrounds, 2, 4, 16, 8]
    """

    def __init__(self, studio: Studio, cache: Path):
        self.studio, self.states = studio, {}
        world = World().vocabulary
        self.synonyms = {name: world["synonyms"].get(name, [name]) for name in THINGS}
        self.families = {name: world["family_words"].get(_family(name, world), [name]) for name in THINGS}
        if not cache.exists():
            save(cache, encoded(studio))
        kept = load_file(cache)
        self.singles, self.halves = kept["singles"], kept["halves"]

    def batch(self, number: int, size: int) -> tuple[Tensor, Tensor]:
        """(latents [size, 4, 16, 16] as the model sees them, text states [size, TEXT, 768])."""
        chance = random.Random(number)
        latents, texts = zip(*(self._one(chance) for _ in range(size)), strict=True)
        return torch.stack(latents), torch.stack([self.text(text) for text in texts])

    def _one(self, chance: random.Random) -> tuple[Tensor, str]:
        ground = 0 if chance.random() < 0.6 else chance.randrange(1, len(BACKGROUNDS))
        if chance.random() < PAIRS:
            shown = chance.sample(range(len(THINGS)), 2)
            latent = self._pair(shown, ground, chance)
        else:
            shown = [chance.randrange(len(THINGS))]
            latent = shifted(self.singles[shown[0], ground, chance.randrange(SINGLES)], chance)
        return latent, self._caption(shown, ground, chance) if chance.random() > EMPTY else ""

    def _pair(self, shown: list[int], ground: int, chance: random.Random) -> Tensor:
        """The latent of one thing beside another."""
        sides = [self.halves[thing, ground, side] for side, thing in enumerate(shown)]
        return torch.cat([shifted(side, chance, across=0) for side in sides], 2)

    def _caption(self, shown: list[int], ground: int, chance: random.Random) -> str:
        words = [self._word(THINGS[thing], chance) for thing in shown]
        text = chance.choice(BEFORE) + chance.choice(BETWEEN).join(map(article, words))
        named = ground or chance.random() < NAMED
        return f"{text} on a {BACKGROUNDS[ground]} background" if named else text

    def _word(self, name: str, chance: random.Random) -> str:
        draw = chance.random()
        if draw < FAMILY:
            return chance.choice(self.families[name])
        return chance.choice(self.synonyms[name]) if draw < FAMILY + SYNONYM else name

    def text(self, text: str) -> Tensor:
        """The states [TEXT, 768] of a caption, encoded once."""
        if text not in self.states:
            self.states[text] = self.studio.encode(text)[0][0][0, :TEXT].half()
        return self.states[text].float()


def _family(name: str, world: dict) -> str:
    return next(family for family, names in world["families"].items() if name in names)


def shifted(latent: Tensor, chance: random.Random, across: int = 1) -> Tensor:
    """The latent [4, h, w] moved by up to one place, or `across` to the side; the background goes on at the border."""
    height, width = latent.shape[1:]
    x, y = chance.randrange(2 * across + 1), chance.randrange(3)
    return pad(latent[None], (across, across, 1, 1), "replicate")[0, :, y : y + height, x : x + width]


@torch.inference_mode()
def encoded(studio: Studio, seed: int = 0) -> dict[str, Tensor]:
    """The latents of all drawings, by the checkpoint's autoencoder."""
    chance, latent_format = random.Random(seed), studio.model.model.latent_format

    def encode(colour: tuple[int, int, int], *pictures: dict[int, str]) -> Tensor:
        pixels = torch.stack([drawn(shown, colour, chance) for shown in pictures]).movedim(1, -1)
        return latent_format.process_in(studio.vae.encode(pixels)).float().cpu()

    singles, sides = [], []
    for number, name in enumerate(tqdm(THINGS, desc="encoding", unit="thing")):
        for colour in COLOURS:
            singles.append(encode(colour, *[{64: name}] * SINGLES))
            (both,) = encode(colour, {34: name, 94: THINGS[number - 1]})
            sides.append(both)
    shape = len(THINGS), len(COLOURS)
    both = torch.stack(sides).unflatten(0, shape)
    halves = torch.stack([both[..., : SIDE // 2], both.roll(-1, 0)[..., SIDE // 2 :]], 2)
    return {"singles": torch.stack(singles).unflatten(0, shape), "halves": halves}


def drawn(shown: dict[int, str], colour: tuple[int, int, int], chance: random.Random) -> Tensor:
    """A picture [3, 128, 128] of things at these columns of pixels, on a plain background."""
    names, drawings = things()
    canvas = (torch.tensor(colour) / 255).view(3, 1, 1).expand(3, SIZE, SIZE).clone()
    for x, name in shown.items():
        side = chance.randint(88, 108) if x == SIZE // 2 else chance.randint(52, 60)
        drawing = drawings[names.index(name), STYLE][None]
        drawing = interpolate(drawing, size=(side, side), mode="bicubic")[0].clamp(0, 1)
        left, top = x - side // 2 + chance.randint(-2, 2), SIZE // 2 - side // 2 + chance.randint(-2, 2)
        left = min(max(left, 0), SIZE - side)
        canvas[:, top : top + side, left : left + side].lerp_(drawing[:3], drawing[3:])
    return canvas
