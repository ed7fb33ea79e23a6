"""Differences between ComfyUI versions, all in this one place."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator

import comfy.model_management
import torch
from comfy.sd1_clip import SD1ClipModel, SDClipModel
from comfy_api.latest import io


def schema(**fields) -> io.Schema:
    """An io.Schema without the fields that this ComfyUI does not know yet (search_aliases, ...)."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def system_prompts() -> list[str]:
    """What the host's node for Lumina 2 puts before a prompt; empty where the host has no such node."""
    try:
        from comfy_extras.nodes_lumina2 import CLIPTextEncodeLumina2
    except ImportError:
        return []
    return [f"{text} <Prompt Start> " for text in CLIPTextEncodeLumina2.SYSTEM_PROMPT.values()]


def is_encoder(model) -> bool:
    """Whether a part of a text model is a text encoder: ComfyUI's class for them all, or the one of Lens."""
    return isinstance(model, SDClipModel) or type(model).__name__ == "LensGptOssClipModel"


def reads_one(text_model) -> bool:
    """Whether a text model encodes with its one encoder alone, whatever its tokenizer makes beside that."""
    return getattr(type(text_model), "encode_token_weights", None) is SD1ClipModel.encode_token_weights


def embedding_table(model) -> torch.Tensor:
    """Token embeddings [vocabulary, D] of a text encoder."""
    transformer = model.transformer
    if hasattr(transformer, "get_input_embeddings"):
        return transformer.get_input_embeddings().weight
    return transformer.embed_tokens.weight  # of Lens


def load(clip, key: str, rows: list[list]) -> None:
    """Load a clip's weights to encode rows of tokens; newer versions reckon with the memory that those take."""
    if "tokens" in inspect.signature(clip.load_model).parameters:
        clip.load_model({key: [[(token, 1.0) for token in row] for row in rows]})
    else:
        clip.load_model()


@contextlib.contextmanager
def on_its_device(clip) -> Iterator[None]:
    """Inside, the text encoders of `clip` run on the device it is loaded for, as in CLIP.encode_from_tokens."""
    device = clip.patcher.load_device
    # Since 0.4.0 they otherwise run where the embedding table lies, the CPU where memory is short; unknown before.
    clip.cond_stage_model.set_clip_options({"execution_device": device})
    # Since 0.23.0 a clip may be loaded to another GPU than the current one.
    with getattr(comfy.model_management, "cuda_device_context", contextlib.nullcontext)(device):
        yield


def run_wrapper_first(model_options: dict, key: str, kind: str) -> None:
    """Let the wrapper `key` run around all others of its kind; `model_options` are a run's own copy."""
    wrappers = model_options.get("transformer_options", {}).get("wrappers", {})
    if key in wrappers.get(kind, {}):
        wrappers[kind] = {key: wrappers[kind].pop(key), **wrappers[kind]}


def first_pre_cfg_function(model_options: dict, function) -> None:
    """Let `function` see the predictions before those of other nodes; `model_options` are a run's own copy."""
    model_options["sampler_pre_cfg_function"] = [function, *model_options.get("sampler_pre_cfg_function", [])]


def run_wrapper_last(model_options: dict, key: str, kind: str) -> None:
    """Let the wrapper `key` run inside all others of its kind; `model_options` are a run's own copy."""
    group = model_options.get("transformer_options", {}).get("wrappers", {}).get(kind, {})
    if key in group:
        group[key] = group.pop(key)


def compiled_from(module):
    """The module that torch.compile made `module` of; `module` itself where it is not compiled."""
    return getattr(module, "_orig_mod", module)


@contextlib.contextmanager
def uncompiled(model) -> Iterator[None]:
    """Inside, ComfyUI's `model` runs its diffusion model as it was before TorchCompileModel."""
    compiled = model.diffusion_model
    model.diffusion_model = compiled_from(compiled)
    try:
        yield
    finally:
        model.diffusion_model = compiled
