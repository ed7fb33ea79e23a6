from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.prompt.findings import Settings
from ..host.prompt.pictures import NODES, SIZES, guard_with_pictures
from .common import ALIASES, CATEGORY, guarded_output, naming
from .safree_conditioning import SafreeConditioning


class SafreePictureConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        single = SafreeConditioning.define_schema()
        shared = {one.id: one for one in single.inputs if one.id != "like"}
        pictures = [
            io.Vae.Input("vae", optional=True, tooltip="For the encoders that also encode the pictures as references."),
            *(
                io.Image.Input(f"image{n}", optional=True, tooltip="As in the encoder that is chosen.")
                for n in (1, 2, 3)
            ),
            io.ClipVisionOutput.Input("clip_vision_output", optional=True, tooltip="For HunyuanVideo image to video."),
            io.Int.Input(
                "image_interleave",
                default=2,
                min=1,
                max=512,
                optional=True,
                tooltip="For HunyuanVideo image to video: higher means more influence of the text.",
            ),
            io.ClipVision.Input("image_encoder", optional=True, tooltip="For Z-Image."),
            io.Boolean.Input(
                "auto_resize_images",
                default=True,
                optional=True,
                tooltip="For Z-Image: bring the references to about one megapixel before the VAE encodes them.",
            ),
            *(
                io.Int.Input(
                    name,
                    default=0,
                    min=0,
                    max=8192,
                    step=16,
                    optional=True,
                    tooltip="For Mage-Flow: that of the picture to make, as in its own node. 0: of the first picture.",
                )
                for name in SIZES
            ),
        ]
        return compat.schema(
            node_id="SafreePictureConditioning",
            display_name="SAFREE Conditioning (text and pictures)",
            category=CATEGORY,
            description="SafreeConditioning for prompts that are encoded together with pictures (Qwen-Image-Edit, "
            "Z-Image, Boogu, JoyImage, Mage-Flow, HunyuanVideo image to video). It reads the text; the pictures go on "
            "as they are.",
            search_aliases=ALIASES,
            inputs=[
                *(shared.pop(name) for name in ("clip", "subspaces", "text")),
                io.Combo.Input(
                    "encoder", options=list(NODES), tooltip="ComfyUI's node that encodes text and pictures."
                ),
                *shared.values(),
                *pictures,
            ],
            outputs=single.outputs,
        )

    @classmethod
    def execute(
        cls, clip, subspaces, text, encoder, mode, strength, threshold, self_validation, **pictures
    ) -> io.NodeOutput:
        with naming(cls):
            settings = Settings(mode, strength, threshold, self_validation)
            guarded = guard_with_pictures(clip, text, encoder, pictures, subspaces, settings)
        return guarded_output(guarded, guarded.conditioning)
