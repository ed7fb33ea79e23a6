"""A small DiT of the tiny world: ComfyUI's own AuraFlow class, with the tiny checkpoint's texts and autoencoder.

AuraFlow predicts a flow in 4 latent channels, in joint and then in single blocks, and states of any width are its text.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn

from .detector import ASSETS

FILE = "tiny_dit.safetensors.xz"
SIDE, TEXT = 16, 20  # the latent's; states of a prompt that are read, of the 77 that the encoder makes
SHAPE = {
    "max_seq": (SIDE // 2) ** 2,
    "cond_seq_dim": 768,
    "n_layers": 5,
    "n_double_layers": 1,
    "dim": 192,
    "n_heads": 3,
    "global_conddim": 192,
}
WEAPONS = ("knife", "pistol", "bomb", "axe")
THINGS = (
    *WEAPONS,
    *("cat", "fish", "apple", "car", "tree", "house"),  # of prompts.LEFT_OUT, to train with
    *("bear", "frog", "panda", "owl", "strawberry", "pumpkin", "cactus", "robot"),
)
BACKGROUNDS = ("white", "blue")


def made() -> nn.Module:
    """ComfyUI's model around the network, in ComfyUI's classes alone; its weights are not set."""
    import comfy.latent_formats
    import comfy.supported_models

    class Config(comfy.supported_models.AuraFlow):
        latent_format = comfy.latent_formats.SD15  # of the tiny checkpoint's autoencoder

    config = Config(dict(SHAPE))
    config.set_inference_dtype(torch.float32, None)
    config.custom_operations = None
    return config.get_model({})


def patcher(model: nn.Module):
    """The MODEL of a network, which reads the first TEXT states of each prompt."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.patcher_extension

    device = comfy.model_management.get_torch_device()
    made_ = comfy.model_patcher.ModelPatcher(model.eval(), device, comfy.model_management.unet_offload_device())
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    made_.add_wrapper_with_key(kind, "bench_text", _first_states)
    return made_


def _first_states(executor, x, timestep, context, *args, **kwargs):
    return executor(x, timestep, context[:, :TEXT], *args, **kwargs)


def tiny_dit(path: Path = ASSETS / FILE):
    """The MODEL of the trained weights. FileNotFoundError where they are not there yet."""
    model = made()
    with lzma.open(path) as file:
        weights = load(file.read())
    model.diffusion_model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return patcher(model)
