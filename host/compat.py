"""Differences between ComfyUI versions, all in this one place."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import comfy.model_management
import folder_paths
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


def is_scheduled(clip) -> bool:
    """Whether hooks change a clip's weights over the steps, as Set CLIP Hooks does with schedule_clip and keyframes."""
    hooks = clip.patcher.forced_hooks if getattr(clip, "use_clip_schedule", False) else None
    return hooks is not None and any(hook.hook_keyframe.keyframes for hook in hooks.hooks)


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


# Pixels for a latent pixel where this ComfyUI's latent formats do not tell, by class; 8 in all others.
_PIXELS = {
    **dict.fromkeys(("LTXV", "HunyuanImage21"), 32),
    **dict.fromkeys(("HunyuanImage21Refiner", "HunyuanVideo15", "Wan22", "Flux2"), 16),
}


def empty_latent(model, pictures: int, width: int, height: int) -> torch.Tensor:
    """An empty latent of `model` for so many pictures of so many pixels: of a video model, videos of one frame."""
    latent_format = model.get_model_object("latent_format")
    told = getattr(latent_format, "spacial_downscale_ratio", None)
    pixels = told or _PIXELS.get(type(latent_format).__name__, 8)
    frames = (1,) if latent_format.latent_dimensions == 3 else ()
    size = (max(height // pixels, 1), max(width // pixels, 1))
    blank = torch.zeros(pictures, latent_format.latent_channels, *frames, *size)
    return blank.to(comfy.model_management.intermediate_device())


# The server, for host/gate


def policy_path() -> Path | None:
    """The policy file of this server: the one that SAFREE_POLICY names, or the one in the user folder; None without."""
    if named := os.environ.get("SAFREE_POLICY"):
        return Path(named)
    path = Path(folder_paths.get_user_directory()) / "default" / "safree_policy.json"
    return path if path.exists() else None


def prompt_server():
    """The running server; AttributeError or ImportError where there is none."""
    from server import PromptServer

    return PromptServer.instance


def prompt_of(item) -> dict:
    """The workflow in an item of the queue: (number, id, workflow, extra data, outputs to execute, ...)."""
    return item[2]


def outcome(result: dict, rest: tuple, more: dict) -> tuple[dict, list]:
    """(outputs by node, messages of the execution) of a prompt, from the arguments of the queue's task_done."""
    status = more.get("status", rest[0] if rest else None)
    return result.get("outputs", {}), list(getattr(status, "messages", None) or ())


def id_of(item) -> str:
    """The id of an item of the queue; newer versions let whoever sends it choose."""
    return str(item[1])


def version() -> str:
    """Of ComfyUI."""
    import comfyui_version

    return comfyui_version.__version__


def with_prompt(item, prompt: dict, number) -> tuple:
    """An item of the queue with another workflow, at another place."""
    return (number, item[1], prompt, *item[3:])


def shows_previews() -> bool:
    """Whether this server shows pictures in the making, unless a prompt says otherwise."""
    import latent_preview
    from comfy.cli_args import LatentPreviewMethod, args

    method = getattr(latent_preview, "default_preview_method", args.preview_method)  # newer versions: a prompt's own
    return method != LatentPreviewMethod.NoPreviews


def without_previews(item) -> tuple:
    """An item of the queue whose prompt asks for no pictures in the making; older versions do not listen to that."""
    return (*item[:3], {**item[3], "preview_method": "none"}, *item[4:])


def address_of(request) -> str:
    """Where a request comes from; '' for a socket that has no address."""
    return request.remote or ""


def queues_a_prompt(request) -> bool:
    """Whether a request is ComfyUI's own POST /prompt, by the route that it was found to be for."""
    resource = getattr(request.match_info.route, "resource", None)
    return request.method == "POST" and getattr(resource, "canonical", "").removeprefix("/api") == "/prompt"


def node_schema(kind: str) -> dict | None:
    """What GET /object_info says of a class of this server; None for a class that it does not have."""
    import nodes  # ComfyUI's; at call time, since it imports every node pack

    node = nodes.NODE_CLASS_MAPPINGS.get(kind)
    if node is None:
        return None
    if hasattr(node, "GET_NODE_INFO_V1"):
        any_input = "accept_all_inputs" in {field.name for field in dataclasses.fields(io.Schema)}  # of newer versions
        return node.GET_NODE_INFO_V1() | {"takes_all": any_input and node.GET_SCHEMA().accept_all_inputs}
    return {
        "input": node.INPUT_TYPES(),
        "output": node.RETURN_TYPES,
        "output_node": getattr(node, "OUTPUT_NODE", False),
        "python_module": getattr(node, "RELATIVE_PYTHON_MODULE", "nodes"),
        "api_node": getattr(node, "API_NODE", False),
    }


def declares(schema: dict, name: str) -> bool:
    """Whether a class has an input of this name; of dynamic inputs ('images.image0') the part before the dot."""
    groups = [group for group in schema["input"].values() if group]
    if schema.get("takes_all") or any(name in group for group in groups):  # some groups of packs hold any name
        return True
    outer = name.partition(".")[0]
    specs = [group[outer] for group in groups if outer != name and outer in group]
    return any(isinstance(spec[0], str) and spec[0].startswith("COMFY_") for spec in specs)


def choices(schema: dict, name: str) -> list:
    """The choices of a menu; empty for any other input."""
    for group in schema["input"].values():
        if group and name in group:
            kind, *options = group[name]
            listed = kind if isinstance(kind, list) else (options[0].get("options") or []) if options else []
            return [one for one in listed if isinstance(one, str)]
    return []


def model_files(folders: tuple[str, ...]) -> set[str]:
    """The names of the files in some of ComfyUI's model folders."""
    known = [folder for folder in folders if folder in folder_paths.folder_names_and_paths]
    return {name for folder in known for name in folder_paths.get_filename_list(folder)}


def model_folders() -> tuple[str, ...]:
    """The names of all of ComfyUI's model folders."""
    return tuple(name for name in folder_paths.folder_names_and_paths if name != "custom_nodes")


def model_path(folders: tuple[str, ...], name: str) -> Path | None:
    """The file of that name, its ending left out or not, in the first of some model folders that has it."""
    for folder in folders:
        for found in folder_paths.get_filename_list(folder) if folder in folder_paths.folder_names_and_paths else ():
            if name in (found, found.rpartition(".")[0]):
                return Path(folder_paths.get_full_path(folder, found))
    return None
