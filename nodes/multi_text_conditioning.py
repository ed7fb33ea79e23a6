from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.conditioning import with_settings_of
from ..host.guard import guard_texts
from ..host.report import Settings
from .common import ALIASES, CATEGORY, as_json, naming
from .safree_conditioning import SafreeConditioning

TEXTS = {
    "text_l": "For CLIP-L: text_l of CLIPTextEncodeSDXL, clip_l of the nodes for SD3 and Flux.",
    "text_g": "For CLIP-G: text_g of CLIPTextEncodeSDXL, clip_g of the node for SD3. Empty for a CLIP without it.",
    "text_t5xxl": "For T5: t5xxl of the nodes for SD3 and Flux. Empty for a CLIP without it.",
}


class SafreeMultiTextConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        single = SafreeConditioning.define_schema()
        shared = {one.id: one for one in single.inputs if one.id != "text"}
        texts = [
            io.String.Input(name, multiline=True, dynamic_prompts=True, default="", tooltip=tooltip)
            for name, tooltip in TEXTS.items()
        ]
        return compat.schema(
            node_id="SafreeMultiTextConditioning",
            display_name="SAFREE Conditioning (a text per encoder)",
            category=CATEGORY,
            description="SafreeConditioning for prompts with a text of its own for each text encoder, as "
            "CLIPTextEncodeSDXL, CLIPTextEncodeSD3 and CLIPTextEncodeFlux take them. A word that is flagged in one "
            "text is taken out of all.",
            search_aliases=ALIASES,
            inputs=[shared.pop("clip"), shared.pop("subspaces"), *texts, *shared.values()],
            outputs=single.outputs,
        )

    @classmethod
    def execute(
        cls, clip, subspaces, text_l, text_g, text_t5xxl, mode, strength, threshold, self_validation, like=()
    ) -> io.NodeOutput:
        with naming(cls):
            settings = Settings(mode, strength, threshold, self_validation)
            texts = {"l": text_l, "g": text_g, "t5xxl": text_t5xxl}
            guarded, report = guard_texts(clip, texts, subspaces, settings)
        conditioning = with_settings_of(guarded, like)
        return io.NodeOutput(conditioning, as_json(report), report["flagged"], ui={"safree_report": [report]})
