from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.latent.latent_guard import MOST, patch
from .common import ALIASES, CATEGORY, ConceptPresences, naming


class LatentGuardPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LatentGuardPatch",
            display_name="SAFREE Latent Guard Patch",
            category=CATEGORY,
            description="Watches the picture in the making for a concept and damps it where it stands, whoever asked "
            "for it: a LoRA, an input image, a word that was missed. A picture without it is not changed.",
            search_aliases=[*ALIASES, "latent", "LoRA", "img2img"],
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with, LoRAs and all; the help page says which."),
                ConceptPresences.Input("presences", tooltip="From ConceptPresence or LoadConceptPresence."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=MOST,
                    step=0.05,
                    tooltip="0 is off, bit for bit. How far a place is moved away from the concept, in proportion to "
                    "how much of it is measured there.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model, presences, strength) -> io.NodeOutput:
        with naming(cls):
            return io.NodeOutput(patch(model, tuple(presences), strength))
