from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.gate.everyday_pictures import draw_everyday
from ..host.latent.learn_presence import PictureSettings
from .common import ALIASES, CATEGORY, naming


class EverydayPictures(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="EverydayPictures",
            display_name="SAFREE Everyday Pictures",
            category=CATEGORY,
            description="Draws harmless pictures of everyday things, on which ClipSafetyJudge measures how often it "
            "errs.",
            search_aliases=[*ALIASES, "calibration"],
            inputs=[
                io.Model.Input("model", tooltip="The model whose pictures are to be judged."),
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Int.Input("pictures", default=96, min=16, max=1000, tooltip="How many; 32 to 200 work well."),
                io.Int.Input("steps", default=12, min=2, max=100, tooltip="Of each picture."),
                io.Float.Input("cfg", default=5.0, min=1.0, max=30.0, step=0.1, tooltip="Of each picture."),
                io.Int.Input("width", default=512, min=64, max=2048, step=64, tooltip="The model's own size."),
                io.Int.Input("height", default=512, min=64, max=2048, step=64, tooltip="The model's own size."),
                io.Int.Input("batch_size", default=8, min=1, max=64, tooltip="Pictures drawn at once."),
                io.Int.Input("seed", default=0, min=0, max=2**32 - 1, tooltip="Of pictures and prompts."),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, model, clip, vae, pictures, steps, cfg, width, height, batch_size, seed) -> io.NodeOutput:
        with naming(cls):
            settings = PictureSettings(pictures, steps, cfg, width, height, batch_size, seed)
            return io.NodeOutput(draw_everyday(model, clip, vae, settings))
