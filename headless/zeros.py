"""What ConditioningZeroOut leaves of an encoded text: nothing of one encoder, all of the states of further ones.

It sets the token states and the pooled output to zero. HiDream, HunyuanDiT, HunyuanImage and others keep the states of
a further encoder beside those, with the whole prompt in them.
"""

from __future__ import annotations

from .knowledge import Encoder
from .workflow import Workflow

CHECKPOINTS = ("CheckpointLoaderSimple", "CheckpointLoader", "unCLIPCheckpointLoader", "ImageOnlyCheckpointLoader")
# Loaders of text encoders by name, with the types for which all of the prompt is in the states and the pooled output.
TYPES = {
    "CLIPLoader": (
        *("stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2"),
        *("wan", "chroma", "omnigen2", "qwen_image", "flux2", "ovis"),
    ),
    "DualCLIPLoader": ("sdxl", "sd3", "flux", "hunyuan_video"),
}
LONGEST_WAY = 64  # nodes from an encoder to the loader of its CLIP


def leaves_nothing(workflow: Workflow, node: str, encoder: Encoder) -> bool:
    """Whether the zeroed output of an encoding node holds nothing of its text: one text, and a CLIP that is known."""
    if len(encoder.texts) != 1:
        return False
    name = encoder.clip
    for _ in range(LONGEST_WAY):
        link = workflow.link(node, name)
        if link is None or link[0] not in workflow:
            return False
        node, name = link[0], "clip"
        kind, inputs = workflow.kind(node), workflow.inputs(node)
        if kind in CHECKPOINTS or kind == "TripleCLIPLoader":  # SD3's three stand in one tensor
            return True
        if kind in TYPES:
            return inputs.get("type", "stable_diffusion") in TYPES[kind]
    return False
