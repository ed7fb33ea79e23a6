from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.prompt.filter_conditioning import filter_conditioning
from .common import ALIASES, CATEGORY, ConceptSubspaces, guarded_output, naming


class SafreeFilterConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SafreeFilterConditioning",
            display_name="SAFREE Filter Conditioning",
            category=CATEGORY,
            description="Steers conditioning that you already hold and cannot encode again. Second best: use "
            "SafreeConditioning where you have the text.",
            search_aliases=ALIASES,
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="From any text encode node of SD1.x, SD2.x or SDXL."),
                ConceptSubspaces.Input("subspaces", tooltip="Built with the CLIP that made the conditioning."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 passes everything unchanged. Multiplies the strength of each ConceptSubspace.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Cosine of a token with a concept phrase above which it is flagged. 0: automatic (0.6).",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning"),
                io.String.Output(display_name="report"),
                io.Int.Output(display_name="flagged"),
            ],
        )

    @classmethod
    def execute(cls, conditioning, subspaces, strength, threshold) -> io.NodeOutput:
        with naming(cls):
            guarded = filter_conditioning(conditioning, subspaces, strength, threshold)
        return guarded_output(guarded, guarded.conditioning)
