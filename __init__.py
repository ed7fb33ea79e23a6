"""SAFREE for ComfyUI: safer pictures and videos without retraining, weight changes or black squares."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .host import folders
from .nodes.concept_subspace import ConceptSubspace
from .nodes.reattention_patch import ReAttentionPatch
from .nodes.safree_conditioning import SafreeConditioning
from .nodes.self_validating_sampler import SelfValidatingSampler

WEB_DIRECTORY = "./js"

folders.register()


class SafreeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [ConceptSubspace, SafreeConditioning, SelfValidatingSampler, ReAttentionPatch]


async def comfy_entrypoint() -> SafreeExtension:
    return SafreeExtension()
