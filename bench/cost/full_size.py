"""Text encoders of full size and depth with random weights, from ComfyUI's own classes: time does not depend on them.

A CLIP is made as ComfyUI's loaders make it, so its host code (devices, streaming, precision) is what runs.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect

import torch

SPREAD = 0.02  # standard deviation of weights, as encoders are initialised before training
SEED = 7
FEWEST_CLIP_LAYERS = 3  # SDXL reads the last but one
WORKSPACE = 512 << 20  # bytes beside the weights that a streamed model may keep on its device


@dataclasses.dataclass(frozen=True)
class TextModel:
    """A family's text model and tokenizer by their names in the host's package `comfy`.

    layers: by the name of each encoder's configuration, the field that says how many layers it has
    """

    model: str
    tokenizer: str
    layers: dict[str, str]


MODELS = {
    "sd15": TextModel("sd1_clip.SD1ClipModel", "sd1_clip.SD1Tokenizer", {"clip_l": "num_hidden_layers"}),
    "sdxl": TextModel(
        "sdxl_clip.SDXLClipModel",
        "sdxl_clip.SDXLTokenizer",
        {"clip_l": "num_hidden_layers", "clip_g": "num_hidden_layers"},
    ),
    "flux": TextModel(
        "text_encoders.flux.flux_clip",
        "text_encoders.flux.FluxTokenizer",
        {"clip_l": "num_hidden_layers", "t5xxl": "num_layers"},
    ),
    "qwen": TextModel(
        "text_encoders.qwen_image.te",
        "text_encoders.qwen_image.QwenImageTokenizer",
        {"qwen25_7b": "num_hidden_layers"},
    ),
}
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def build(name: str, dtype: str | None = None, layers: int = 0, device: str | None = None):
    """A CLIP of the family `name` with random weights.

    dtype: a name in DTYPES, of the weights; the host's own choice without it. layers: fewer than the model has, to
    count calls where it does not fit; 0: all. device: where the weights lie at first; where it runs without it.
    """
    import comfy.model_management
    import comfy.sd
    import comfy.supported_models_base

    text = MODELS[name]
    model = _host(text.model)
    target = comfy.supported_models_base.ClipTarget(_host(text.tokenizer), model if inspect.isclass(model) else model())
    options = {"initial_device": torch.device(device) if device else comfy.model_management.text_encoder_device()}
    if dtype:
        options["dtype"] = DTYPES[dtype]
    for config, field in text.layers.items() if layers else ():
        fewest = FEWEST_CLIP_LAYERS if config.startswith("clip") else 1
        options[f"{config}_model_config"] = {field: max(layers, fewest)}
    clip = comfy.sd.CLIP(target, model_options=options)
    if device != "meta":
        _randomise(clip.cond_stage_model)
    return clip


def _host(name: str):
    module, attribute = name.rsplit(".", 1)
    return getattr(importlib.import_module(f"comfy.{module}"), attribute)


@torch.no_grad()
def _randomise(module: torch.nn.Module) -> None:
    """Normal weights, made where they lie; scales of norms 1, biases 0."""
    generators: dict[torch.device, torch.Generator] = {}
    for name, weights in module.named_parameters():
        if weights.ndim < 2:
            weights.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        if weights.device not in generators:
            generators[weights.device] = torch.Generator(weights.device).manual_seed(SEED)
        weights.normal_(0, SPREAD, generator=generators[weights.device])


def stream(clip) -> None:
    """From now on ComfyUI streams the weights of `clip` from system memory, as it does on a small GPU.

    As with `--reserve-vram`: the host is told that all but the embedding tables, which it needs on the device to run
    there at all, and a workspace is taken. Raises ValueError where the clip runs on the CPU.
    """
    from comfy import model_management

    device = clip.patcher.load_device
    if device.type == "cpu":
        raise ValueError("weights are streamed to a GPU; this text encoder runs on the CPU")
    model_management.unload_all_models()
    model_management.EXTRA_RESERVED_VRAM = 0
    tables = [m for m in clip.cond_stage_model.modules() if isinstance(m, torch.nn.Embedding)]
    size = sum(table.weight.nbytes for table in tables)
    buffers = getattr(model_management, "NUM_STREAMS", 0) + 2  # the host keeps room to stream a table beside it
    free = model_management.get_free_memory(device) - model_management.minimum_inference_memory()
    model_management.EXTRA_RESERVED_VRAM = max(int(free - size * buffers - WORKSPACE), 0)
    clip.load_model()
