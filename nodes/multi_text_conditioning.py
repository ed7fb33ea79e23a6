from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.conditioning.entries import with_settings_of
from ..host.prompt.findings import Settings
from ..host.prompt.guard import guard_texts
from .common import ALIASES, CATEGORY, guarded_output, naming
from .safree_conditioning import SafreeConditioning

TEXTS = {
    "text_l": "For CLIP-L: text_l of CLIPTextEncodeSDXL, clip_l of the nodes for SD3, Flux, HiDream and Kandinsky 5.",
    "text_g": "For CLIP-G: text_g of CLIPTextEncodeSDXL, clip_g of the nodes for SD3 and HiDream. Empty for a CLIP "
    "without it.",
    "text_t5xxl": "For T5: t5xxl of the nodes for SD3, Flux and HiDream, mt5xl of the one for HunyuanDiT. Empty for a "
    "CLIP without it.",
}
MORE_TEXTS = {  # behind all others, so that workflows saved without them keep their values
    "text_llm": "For the language model: llama of the node for HiDream, qwen25_7b of the one for Kandinsky 5. Empty "
    "for a CLIP without it.",
    "text_bert": "For BERT: bert of the node for HunyuanDiT. Empty for a CLIP without it.",
}


def _texts(tooltips: dict[str, str], optional: bool = False) -> list:
    return [
        io.String.Input(name, multiline=True, dynamic_prompts=True, default="", optional=optional, tooltip=tooltip)
        for name, tooltip in tooltips.items()
    ]


class SafreeMultiTextConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        single = SafreeConditioning.define_schema()
        shared = {one.id: one for one in single.inputs if one.id != "text"}
        return compat.schema(
            node_id="SafreeMultiTextConditioning",
            display_name="SAFREE Conditioning (a text per encoder)",
            category=CATEGORY,
            description="SafreeConditioning for prompts with a text of its own for each text encoder, as "
            "CLIPTextEncodeSDXL and the nodes for SD3, Flux, HiDream, HunyuanDiT and Kandinsky 5 take them. A word "
            "that is flagged in one text is taken out of all.",
            search_aliases=ALIASES,
            inputs=[
                *(shared.pop(name) for name in ("clip", "subspaces")),
                *_texts(TEXTS),
                *shared.values(),
                *_texts(MORE_TEXTS, optional=True),
            ],
            outputs=single.outputs,
        )

    @classmethod
    def execute(cls, clip, subspaces, mode, strength, threshold, self_validation, like=(), **texts) -> io.NodeOutput:
        with naming(cls):
            settings = Settings(mode, strength, threshold, self_validation)
            by_name = {name.removeprefix("text_"): text for name, text in texts.items()}
            guarded = guard_texts(clip, by_name, subspaces, settings)
        return guarded_output(guarded, with_settings_of(guarded.conditioning, like))
