"""Node classes whose names, and what they do, follow by a rule from those of another class. Standard library alone.

ComfyUI-MultiGPU makes a class for each loader that it finds, with inputs for a device more; the Inspire pack has
samplers of ComfyUI's, with other noise, under the same name.
"""

from __future__ import annotations

from typing import NamedTuple


class Original(NamedTuple):
    """The class that another one is made of, the pack that makes it, and the widgets that it has more, at the end."""

    kind: str
    pack: str
    widgets: tuple[str, ...]


_DONOR = ("virtual_vram_gb", "donor_device", "expert_mode_allocations", "eject_models")
_ENDS = {  # of a name: the pack, and the widgets; the longer ends first
    "DisTorch2MultiGPU": ("ComfyUI-MultiGPU", ("compute_device", *_DONOR)),
    "DisTorchMultiGPU": (
        "ComfyUI-MultiGPU",
        ("device", "virtual_vram_gb", "use_other_vram", "expert_mode_allocations"),
    ),
    "MultiGPU": ("ComfyUI-MultiGPU", ("device",)),
    " //Inspire": ("ComfyUI-Inspire-Pack", ()),
}


def original(kind: str) -> Original | None:
    """What a class is made of; None where no rule made its name.

    >>> original("VAELoaderMultiGPU").kind
    'VAELoader'
    >>> original("VAELoader")
    """
    for end, (pack, widgets) in _ENDS.items():
        if kind.endswith(end) and kind != end:
            return Original(kind.removesuffix(end), pack, widgets)
    return None
