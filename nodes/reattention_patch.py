from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.reattention.skip_features import Settings, patch
from .common import ALIASES, CATEGORY, naming


class ReAttentionPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="ReAttentionPatch",
            display_name="SAFREE Re-Attention Patch",
            category=CATEGORY,
            description="Damps low-frequency skip features of a UNet where the filtered prompt exceeds the original "
            "one, while the filter of SafreeConditioning is on.",
            search_aliases=[*ALIASES, "FreeU", "fourier"],
            inputs=[
                io.Model.Input("model", tooltip="A model with a UNet: SD1.x, SD2.x, SDXL."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 is off, bit for bit; 1 is the paper's.",
                ),
                io.Float.Input(
                    "deep_scale",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="s of the widest decoder stage (1280 channels in SD). Paper: 0.9.",
                ),
                io.Float.Input(
                    "shallow_scale",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="s of the next decoder stage (640 channels in SD). Paper: 0.2.",
                ),
                io.Float.Input(
                    "radius",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Low frequencies, as a share of the spectrum. 0 is the release's mask, the 2x2 centre.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(cls, model, strength, deep_scale, shallow_scale, radius) -> io.NodeOutput:
        with naming(cls):
            scales = tuple(1 - strength * (1 - scale) for scale in (deep_scale, shallow_scale))
            return io.NodeOutput(patch(model, Settings(scales, radius)))
