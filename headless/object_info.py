"""What an entry of a server's answer to GET /object_info says of a node class. Standard library alone."""

from __future__ import annotations

# Types that no prompt fits in. A node whose inputs and outputs are all among them cannot bring one to a sampler.
WORDLESS_TYPES = frozenset(
    [
        "INT",
        "FLOAT",
        "BOOLEAN",
        "COMBO",
        "IMAGE",
        "MASK",
        "LATENT",
        "VAE",
        "AUDIO",
        "VIDEO",
        "SIGMAS",
        "NOISE",
        "CONTROL_NET",
        "UPSCALE_MODEL",
        "CLIP_VISION",
        "CLIP_VISION_OUTPUT",
        "MESH",
        "VOXEL",
        "SEGS",
        "BBOX",
    ]
)
TEXT_TYPES = frozenset(["INT", "FLOAT", "BOOLEAN", "COMBO", "STRING"])
OWN_NODES = ("nodes", "comfy_extras")  # python_module of ComfyUI's own nodes


def is_core(info: dict) -> bool:
    """Whether an entry of /object_info is one of ComfyUI's own nodes that runs on the server itself."""
    return info.get("python_module", "").split(".")[0] in OWN_NODES


def conditioning_inputs(info: dict) -> frozenset[str]:
    """The inputs of a class that take CONDITIONING, by an entry of /object_info."""
    groups = [_group(info, group) for group in ("required", "optional")]
    return frozenset(
        name for group in groups for name, spec in group.items() if spec and "CONDITIONING" in _names(spec[:1])
    )


def types(info: dict) -> tuple[set[str], set[str]]:
    """The types of the inputs and of the outputs of a node class, in the words of /object_info."""
    specs = [spec[0] for group in ("required", "optional") for spec in _group(info, group).values() if spec]
    return _names(specs), _names(info.get("output", []))


def _group(info: dict, name: str) -> dict:
    return info.get("input", {}).get(name) or {}


def _names(types) -> set[str]:
    """Type names; a list of choices is a COMBO."""
    return {part.strip() for one in types for part in (one.split(",") if isinstance(one, str) else ("COMBO",))}
