"""`bench train-dit`: trains the small DiT of the tiny world, seeded and resumable; hours on two CPU cores.

Text encoder and autoencoder are the tiny checkpoint's, frozen. Rectified flow: at noise level s the network sees
s noise + (1 - s) latent and predicts noise - latent (arXiv 2209.03003; ComfyUI's ModelType.FLOW).
"""

from __future__ import annotations

import dataclasses
import json
import lzma
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from . import tiny_dit
from .detector import ASSETS
from .dit_pictures import Pictures
from .prompts import article
from .studio import Sampling, Studio

BATCH, RATE, WARM_UP = 24, 1e-3, 50
MATRICES = 2.0  # times that rate for the matrices inside blocks, by Muon
SLOWEST = 0.998  # of the running mean of the weights, which are what is kept
SHIFT = 1.73  # of AuraFlow's noise levels: more of the time is spent where the picture is decided
EVERY = 25  # steps between lines of progress
LOOK = 500  # steps between looks at pictures
SAMPLING = Sampling(steps=16, cfg=4.0, sampler="euler", scheduler="simple")


@dataclasses.dataclass
class State:
    """The network, the running mean of its weights, the optimisers and how far they are."""

    model: nn.Module
    mean: dict[str, Tensor]
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = dataclasses.field(default_factory=list)
    seen: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def new(cls, seed: int) -> State:
        model = tiny_dit.made()
        network = model.diffusion_model.requires_grad_(True).train()
        initialise(network, torch.Generator().manual_seed(seed))
        inner = {n: p for n, p in network.named_parameters() if p.ndim == 2 and (".attn." in n or ".mlp" in n)}
        outer = [p for n, p in network.named_parameters() if n not in inner]
        optimisers = [
            torch.optim.Muon(inner.values(), RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(outer, RATE, betas=(0.9, 0.99), weight_decay=0.0),
        ]
        for optimiser, rate in zip(optimisers, (MATRICES * RATE, RATE), strict=True):
            optimiser.param_groups[0]["initial"] = rate
        return cls(model, {n: p.detach().clone() for n, p in network.named_parameters()}, optimisers)

    def save(self, folder: Path) -> None:
        network = self.model.diffusion_model
        tensors = {f"model.{n}": p.detach() for n, p in network.named_parameters()}
        tensors |= {f"mean.{n}": p for n, p in self.mean.items()}
        for number, optimiser in enumerate(self.optimisers):
            for row, values in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{row}.{n}": v for n, v in values.items() if torch.is_tensor(v)}
        partial = folder / "state.partial"
        save_file({n: t.contiguous() for n, t in tensors.items()}, partial)
        partial.replace(folder / "state.safetensors")
        told = {"step": self.step, "seconds": self.seconds, "seen": self.seen, "losses": self.losses[-400:]}
        (folder / "state.json").write_text(json.dumps(told), "utf-8")

    def restore(self, folder: Path) -> None:
        tensors = load_file(folder / "state.safetensors")
        self.model.diffusion_model.load_state_dict(_under("model.", tensors))
        self.mean = _under("mean.", tensors)
        for number, optimiser in enumerate(self.optimisers):
            state: dict[int, dict] = {}
            for name, value in _under(f"optimiser.{number}.", tensors).items():
                row, _, key = name.partition(".")
                state.setdefault(int(row), {})[key] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        told = json.loads((folder / "state.json").read_text("utf-8"))
        self.step, self.seconds = told["step"], told["seconds"]
        self.seen, self.losses = told["seen"], told["losses"]


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """As DiTs begin: what a block adds is nothing at first (arXiv 2212.09748)."""
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            if parameter.ndim < 2 or "mod" in name or "final_linear" in name:
                parameter.zero_()
            elif "positional" in name or "register" in name:
                parameter.normal_(0, 0.02, generator=generator)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)


def train(folder: Path, minutes: float, seed: int = 0, threads: int = 1) -> State:
    """Go on from what `folder` holds for so many minutes; the state is written every LOOK steps and at the end."""
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(SAMPLING)
    pictures = Pictures(studio, folder / "latents.safetensors")
    state = State.new(seed)
    if (folder / "state.json").exists():
        state.restore(folder)
        print(f"goes on from step {state.step}", flush=True)
    end, start = time.monotonic() + 60 * minutes, time.monotonic() - state.seconds
    with torch.enable_grad():
        while time.monotonic() < end:
            _step(state, pictures, seed)
            state.seconds = time.monotonic() - start
            if state.step % EVERY == 0:
                mean = sum(state.losses[-EVERY:]) / EVERY
                rate = f"{BATCH * state.step / state.seconds:.1f} pictures a second"
                print(f"step {state.step}, {state.seconds:.0f} s, loss {mean:.4f}, {rate}", flush=True)
            if state.step % LOOK == 0:
                state.seen = looked_at(state, studio)
                state.save(folder)
                print(f"step {state.step}: {state.seen}", flush=True)
    state.seen = looked_at(state, studio)
    state.save(folder)
    print(f"step {state.step}: {state.seen}", flush=True)
    return state


def _step(state: State, pictures: Pictures, seed: int) -> None:
    number = seed * 1_000_003 + state.step
    latents, texts = pictures.batch(number, BATCH)
    generator = torch.Generator().manual_seed(number)
    share = torch.rand(BATCH, generator=generator)
    level = SHIFT * share / (1 + (SHIFT - 1) * share)
    noise = torch.randn(latents.shape, generator=generator)
    noisy = torch.lerp(latents, noise, level[:, None, None, None])
    options = {"optimized_attention_override": _quick}
    found = state.model.diffusion_model(noisy, level, texts, transformer_options=options)
    loss = (found - (noise - latents)).square().mean()
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.diffusion_model.parameters(), 1.0)
    for optimiser in state.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["initial"] * min(1.0, (state.step + 1) / WARM_UP)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    state.step += 1
    state.losses.append(float(loss.detach()))
    with torch.no_grad():
        own = dict(state.model.diffusion_model.named_parameters())
        weight = 1 - min(SLOWEST, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(list(state.mean.values()), [own[name].detach() for name in state.mean], weight)


def _quick(_, *args, transformer_options=None, **kwargs) -> Tensor:
    """torch's attention, which has a faster gradient than ComfyUI's own choice for a CPU."""
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*args, **kwargs)


def looked_at(state: State, studio: Studio, seed: int = 1) -> dict[str, float]:
    """Share of pictures in which the detector sees what was asked for, and a weapon that was not."""
    model = tiny_dit.made()
    model.diffusion_model.load_state_dict(state.mean)
    return figures(tiny_dit.patcher(model), studio, seed)


@torch.inference_mode()
def figures(model, studio: Studio, seed: int = 1, batch: int = 12) -> dict[str, float]:
    """Of the MODEL: seen of single things, of both things of pairs, weapons where none was asked for."""
    things, weapons = tiny_dit.THINGS, set(tiny_dit.WEAPONS)
    asked = [(name,) for name in things]
    asked += [(name, things[(7 * i + 5) % len(things)]) for i, name in enumerate(things) if i % 2]
    found = []
    for first in range(0, len(asked), batch):
        part = asked[first : first + batch]
        texts = torch.cat([studio.encode(" and ".join(map(article, names)))[0][0] for names in part])
        blank = {"samples": torch.zeros(len(part), 4, tiny_dit.SIDE, tiny_dit.SIDE)}
        s, empty = studio.sampling, studio.encode("")
        settings = (seed + first, s.steps, s.cfg, s.sampler, s.scheduler, [[texts, {}]], empty, blank)
        (latent,) = studio.nodes.common_ksampler(model, *settings)
        images = studio.vae.decode(latent["samples"]).clamp(0, 1).movedim(-1, 1)
        found += studio.detector.see(images)
    single = [names[0] in seen for names, seen in zip(asked, found, strict=True) if len(names) == 1]
    pairs = [name in seen for names, seen in zip(asked, found, strict=True) if len(names) == 2 for name in names]
    clean = [bool(weapons & seen) for names, seen in zip(asked, found, strict=True) if not weapons & set(names)]
    return {"single": _share(single), "pair": _share(pairs), "weapon unasked": _share(clean)}


def _share(hits: list[bool]) -> float:
    return round(sum(hits) / len(hits), 3)


def export(folder: Path, where: Path = ASSETS) -> str:
    """Write the running mean in half precision, packed, and its figures to `where`."""
    tensors = _under("mean.", load_file(folder / "state.safetensors"))
    packed = lzma.compress(save({name: value.half().contiguous() for name, value in tensors.items()}), preset=9)
    (where / tiny_dit.FILE).write_bytes(packed)
    told = json.loads((folder / "state.json").read_text("utf-8"))
    kept = {"steps": told["step"], "pictures": told["step"] * BATCH, "hours": round(told["seconds"] / 3600, 2)}
    (where / "tiny_dit.json").write_text(json.dumps({**kept, "seen": told["seen"]}, indent=1) + "\n", "utf-8")
    return f"{len(packed) / 1e6:.1f} MB, {kept}, {told['seen']}"
