"""`bench train-lora`: two small LoRAs that bring a concept unasked, distilled from the tiny checkpoint itself.

The student, prompted with "a cat", learns the noise prediction that the checkpoint makes for "a cat and a pistol"
(or "a cat, noto style"), on noised pictures of both; the empty prompt keeps its own, so that guidance brings the
concept out. Seeded; some ten minutes on two idle CPU cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import trange

from ..world.detector import ASSETS
from ..world.prompts import LEFT_OUT, SEED, article
from ..world.studio import Studio

RANK = 8
RATE = 3e-3  # of Adam
STEPS, BATCH = 250, 8
EMPTY = 0.2  # share of the rows with an empty prompt
LOWEST = 0.1  # sigma


@dataclasses.dataclass(frozen=True)
class Lesson:
    """file: in tests/assets. wording: what the teacher is told of a caption `{}`. strength: in the benchmark."""

    file: str
    wording: str
    strength: float


LESSONS = {
    "weapon": Lesson("lora_weapon.safetensors", "{} and a pistol", 1.3),
    "style": Lesson("lora_style.safetensors", "{}, noto style", 1.0),
}


def train(studio: Studio, lesson: Lesson, folder: Path = ASSETS, steps: int = STEPS, seed: int = SEED) -> float:
    """Train one LoRA and write it to `folder` in the names that ComfyUI's LoraLoader reads; returns the last losses'
    mean (of squared noise, 1 is all of it).
    """
    draw = random.Random(seed)
    nouns = sorted(LEFT_OUT)  # none of them is an object of the benchmark's prompts
    captions = [*map(article, nouns), *(" and ".join(map(article, draw.sample(nouns, 2))) for _ in nouns)]
    asked = torch.cat([studio.encode(caption)[0][0] for caption in captions])
    wanted = torch.cat([studio.encode(lesson.wording.format(caption))[0][0] for caption in captions])
    pictures = torch.cat([draw_latents(studio, wanted, seed), draw_latents(studio, asked, seed + 1)])
    adapters, hooks = _adapters(studio.model.model.diffusion_model, torch.Generator().manual_seed(seed))
    contexts = [part.repeat(2, 1, 1).to(studio.device) for part in (asked, wanted)]
    try:
        loss = _distil(studio, adapters, pictures, *contexts, seed, steps)
    finally:
        for hook in hooks:
            hook.remove()
    save_file(_in_comfy_names(adapters), folder / lesson.file)
    return loss


def draw_latents(studio: Studio, contexts: Tensor, seed: int) -> Tensor:
    """Final latents [n, 4, H, W] of the checkpoint as it sees them, one for each context [n, tokens, D]."""
    s, blank = studio.sampling, torch.zeros(len(contexts), 4, studio.sampling.size // 8, studio.sampling.size // 8)
    settings = (seed, s.steps, s.cfg, s.sampler, s.scheduler)
    positive, negative = [[contexts, {}]], studio.encode("")
    (out,) = studio.nodes.common_ksampler(studio.model, *settings, positive, negative, {"samples": blank})
    return studio.model.model.process_latent_in(out["samples"]).to(studio.device)


def noised(pictures: Tensor, rows: Tensor, sampling, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(x [n, 4, H, W], sigma [n]) of pictures[rows], sigma log-uniform from LOWEST to the schedule's largest."""
    low, high = math.log(LOWEST), math.log(float(sampling.sigma_max))
    sigma = torch.exp(low + (high - low) * torch.rand(len(rows), generator=generator)).to(pictures.device)
    noise = torch.randn(len(rows), *pictures.shape[1:], generator=generator).to(pictures.device)
    return pictures[rows.to(pictures.device)] + sigma[:, None, None, None] * noise, sigma


class Adapter(nn.Module):
    """up(down(x)), added to the output of a linear layer while `on`."""

    def __init__(self, layer: nn.Linear, generator: torch.Generator):
        super().__init__()
        self.on = True
        down = torch.randn(RANK, layer.in_features, generator=generator) / layer.in_features**0.5
        self.down = nn.Parameter(down.to(layer.weight.device))
        self.up = nn.Parameter(torch.zeros(layer.out_features, RANK, device=layer.weight.device))

    def hook(self, _, inputs, output: Tensor) -> Tensor:
        return output + inputs[0] @ self.down.T @ self.up.T if self.on else output


def _adapters(unet: nn.Module, generator: torch.Generator) -> tuple[dict[str, Adapter], list]:
    """(adapters by layer, the hooks that add them)."""
    layers = {n: m for n, m in unet.named_modules() if "transformer_blocks" in n and isinstance(m, nn.Linear)}
    adapters = {name: Adapter(layer, generator) for name, layer in layers.items()}
    hooks = [layer.register_forward_hook(adapters[name].hook) for name, layer in layers.items()]
    return adapters, hooks


def _distil(studio, adapters, pictures: Tensor, asked: Tensor, wanted: Tensor, seed: int, steps: int) -> float:
    model, generator, empty = (
        studio.model.model,
        torch.Generator().manual_seed(seed),
        studio.encode("")[0][0].to(studio.device),
    )
    model.requires_grad_(False)
    optimiser = torch.optim.Adam([p for adapter in adapters.values() for p in adapter.parameters()], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in (bar := trange(steps, desc="training", unit="step")):
        rows = torch.randint(len(pictures), (BATCH,), generator=generator).to(studio.device)
        blank = (torch.rand(BATCH, generator=generator) < EMPTY)[:, None, None].to(studio.device)
        x, sigma = noised(pictures, rows, model.model_sampling, generator)
        with torch.no_grad(), _off(adapters):
            target = model.apply_model(x, sigma, c_crossattn=torch.where(blank, empty, wanted[rows]))
        found = model.apply_model(x, sigma, c_crossattn=torch.where(blank, empty, asked[rows]))
        loss = ((found - target) / sigma[:, None, None, None]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return sum(losses[-50:]) / len(losses[-50:])


@contextlib.contextmanager
def _off(adapters: dict[str, Adapter]):
    """Inside, the model is the checkpoint alone."""
    for adapter in adapters.values():
        adapter.on = False
    try:
        yield
    finally:
        for adapter in adapters.values():
            adapter.on = True


def _in_comfy_names(adapters: dict[str, Adapter]) -> dict[str, Tensor]:
    out = {}
    for name, adapter in adapters.items():
        stem = "lora_unet_" + name.replace(".", "_")
        out[f"{stem}.lora_down.weight"] = adapter.down.detach().half().cpu().contiguous()
        out[f"{stem}.lora_up.weight"] = adapter.up.detach().half().cpu().contiguous()
        out[f"{stem}.alpha"] = torch.tensor(float(RANK))
    return out
