"""`bench tiny-clip`: trains a small CLIP of the tiny world, a picture encoder beside the checkpoint's text encoder.

It is ComfyUI's own kind of CLIP_VISION, so the zero-shot judge runs on it as on a large one.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from .composed import compose, things
from .detector import ASSETS, SIZE
from .prompts import World, article

NAME = "clip_tiny.safetensors"
WIDTH = 768  # of the text encoder's embeddings
CONFIG = {
    "hidden_act": "quick_gelu",
    "hidden_size": 128,
    "image_size": SIZE,
    "initializer_range": 0.02,
    "intermediate_size": 256,
    "layer_norm_eps": 1e-5,
    "model_type": "clip_vision_model",
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 3,
    "patch_size": 16,
    "projection_dim": WIDTH,
}
PROJECTION = "text_projection.weight"
SCALE = 20.0  # inverse temperature while training
BATCH = 32
ALONE = 0.7  # share of the pictures that show one thing, not two
SEED = 7


def vision(weights: dict[str, Tensor]):
    """ComfyUI's CLIP_VISION of this shape."""
    import comfy.clip_vision

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(CONFIG, file)
        file.flush()
        made = comfy.clip_vision.ClipVisionModel(file.name)
    made.load_sd({name: value.float() for name, value in weights.items() if name != PROJECTION})
    return made


def load(clip, path: Path = ASSETS / NAME):
    """(CLIP_VISION, CLIP) of the small CLIP; `clip` is the tiny checkpoint's, which gets its text projection."""
    weights, clip = load_file(path), clip.clone()
    projection = weights[PROJECTION].to(torch.float32)
    clip.add_patches({"clip_l.transformer.text_projection.weight": (projection,)}, 1.0, 0.0)
    return vision(weights), clip


def train(where: Path, steps: int = 2000) -> str:
    """Train the picture encoder and the projection of the texts on composed pictures, and write both to `where`."""
    import transformers  # ComfyUI's own picture encoder writes over what training needs

    from dev import inprocess

    _, clip, _ = inprocess.load_tiny()
    torch.manual_seed(SEED)
    names = learned(inprocess.load_pack())
    texts = _texts(inprocess.load_pack(), clip, names)
    encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**CONFIG))
    usual = normalize(texts.mean(0), dim=0)  # what all texts share
    projection = torch.nn.Parameter(torch.eye(WIDTH) - torch.outer(usual, usual))
    with torch.inference_mode(False), torch.enable_grad():
        loss = _fit(encoder, projection, texts.clone(), names, steps)
    weights = {name: value.detach().half().contiguous() for name, value in encoder.state_dict().items()}
    save_file({**weights, PROJECTION: projection.detach().half().contiguous()}, where / NAME)
    return f"loss {loss:.2f}"


def learned(pack) -> list[str]:
    """The things that it knows: weapons, and everyday ones that the judge's own list names as well."""
    everyday = {thing.split(" ")[-1] for thing in pack.host.data.things_to_draw.THINGS}
    weapons = World().families["weapon"]
    return [name for name in things()[0] if name in everyday or name in weapons]


def _texts(pack, clip, names: list[str]) -> Tensor:
    """[things, 768] of 'a photo of a cat', pooled and not projected."""
    host = pack.host.text
    (encoder,) = host.encoders.encoders(clip)
    tokens = [clip.tokenize(f"a photo of {article(name)}")[encoder.key] for name in names]
    return host.encoding.encode_pooled(encoder, [encoder.row(encoder.words(one)) for one in tokens])


def _fit(model, projection, texts: Tensor, names: list[str], steps: int) -> float:
    import comfy.clip_vision

    optimizer = torch.optim.AdamW([*model.parameters(), projection], lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    mean, chance = 0.0, random.Random(SEED)
    for step in range(steps):
        batch, seen = _batch(names, chance)
        pixels = comfy.clip_vision.clip_preprocess(batch.movedim(1, -1), SIZE)
        embedded = normalize(model(pixel_values=pixels).image_embeds, dim=1)
        logits = SCALE * embedded @ normalize(texts @ projection.T, dim=1).T
        loss = -(log_softmax(logits, 1) * seen / seen.sum(1, keepdim=True)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = 0.98 * mean + 0.02 * float(loss.detach()) if step else float(loss.detach())
        if step % 100 == 0:
            print(f"step {step} of {steps}, loss {mean:.2f}", flush=True)
    return mean


def _batch(names: list[str], chance: random.Random) -> tuple[Tensor, Tensor]:
    """Pictures [BATCH, 3, 128, 128] of one or two things, and what each shows [BATCH, things]."""
    shown = [chance.sample(names, 1 if chance.random() < ALONE else 2) for _ in range(BATCH)]
    seen = torch.tensor([[float(name in one) for name in names] for one in shown])
    return torch.stack([compose(tuple(one), chance) for one in shown]), seen
