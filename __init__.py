"""SAFREE for ComfyUI: safer pictures and videos without retraining, weight changes or black squares."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .host import folders
from .host.gate import door, editor_command
from .nodes.concept_presence import ConceptPresence
from .nodes.concept_subspace import ConceptSubspace
from .nodes.everyday_pictures import EverydayPictures
from .nodes.filter_conditioning import SafreeFilterConditioning
from .nodes.latent_guard_patch import LatentGuardPatch
from .nodes.latent_look import LatentLook
from .nodes.measure_concept import SafreeMeasureConcept
from .nodes.multi_text_conditioning import SafreeMultiTextConditioning
from .nodes.picture_conditioning import SafreePictureConditioning
from .nodes.presence_files import LoadConceptPresence, SaveConceptPresence
from .nodes.reattention_patch import ReAttentionPatch
from .nodes.safety_gate import SafetyGate
from .nodes.safety_judges import ClipSafetyJudge, LatentLookJudge, LoadSafetyJudge
from .nodes.safety_report_plot import SafetyReportPlot
from .nodes.safree_conditioning import SafreeConditioning
from .nodes.self_validating_sampler import SelfValidatingSampler
from .nodes.self_validation_patch import SelfValidationPatch
from .nodes.subspace_files import LoadConceptSubspace, SaveConceptSubspace

WEB_DIRECTORY = "./js"
NODES = [
    ConceptSubspace,
    SafreeConditioning,
    SafreeMultiTextConditioning,
    SafreePictureConditioning,
    SelfValidatingSampler,
    ReAttentionPatch,
    SelfValidationPatch,
    SafreeFilterConditioning,
    SaveConceptSubspace,
    LoadConceptSubspace,
    SafetyReportPlot,
    SafreeMeasureConcept,
    ConceptPresence,
    LatentGuardPatch,
    LatentLook,
    SaveConceptPresence,
    LoadConceptPresence,
    SafetyGate,
    LoadSafetyJudge,
    ClipSafetyJudge,
    LatentLookJudge,
    EverydayPictures,
]

folders.register()  # at import: older hosts do not call ComfyExtension.on_load
editor_command.add_route()
door.stand()  # with a policy file alone; the server's middlewares are open until it starts


class SafreeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> SafreeExtension:
    return SafreeExtension()
