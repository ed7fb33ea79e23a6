from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.latent.learn_presence import PictureSettings, learn
from ..safree import SafreeError
from .common import ALIASES, CATEGORY, ConceptPresences, ConceptSubspaces, naming


class ConceptPresence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="ConceptPresence",
            display_name="SAFREE Concept Presence",
            category=CATEGORY,
            description="Learns what a concept looks like inside a model, from small pictures that it draws: of the "
            "concept's phrases and of everyday things. Once for each model and concept; save it.",
            search_aliases=[*ALIASES, "latent", "probe"],
            inputs=[
                io.Model.Input("model", tooltip="The checkpoint itself, before LoRAs: it must not draw it unasked."),
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                ConceptSubspaces.Input(
                    "subspaces",
                    tooltip="From ConceptSubspace; the phrases are drawn, so use phrases that the model can draw.",
                ),
                io.Int.Input("pictures", default=96, min=16, max=1000, tooltip="Of each kind. 64 to 192 work well."),
                io.Int.Input("steps", default=12, min=2, max=100, tooltip="Of each picture."),
                io.Float.Input("cfg", default=5.0, min=1.0, max=30.0, step=0.1, tooltip="Of each picture."),
                io.Int.Input("width", default=512, min=64, max=2048, step=64, tooltip="The model's own size."),
                io.Int.Input("height", default=512, min=64, max=2048, step=64, tooltip="The model's own size."),
                io.Int.Input("batch_size", default=8, min=1, max=64, tooltip="Pictures drawn at once."),
                io.Int.Input("seed", default=0, min=0, max=2**32 - 1, tooltip="Of pictures and prompts."),
                ConceptPresences.Input("presences", optional=True, tooltip="Presences of other concepts."),
            ],
            outputs=[ConceptPresences.Output(display_name="presences")],
        )

    @classmethod
    def execute(
        cls, model, clip, subspaces, pictures, steps, cfg, width, height, batch_size, seed, presences=()
    ) -> io.NodeOutput:
        with naming(cls):
            if not subspaces:
                raise SafreeError("no concept subspace is connected. Connect a ConceptSubspace.")
            settings = PictureSettings(pictures, steps, cfg, width, height, batch_size, seed)
            learned = [learn(model, clip, subspace, settings) for subspace in subspaces]
        return io.NodeOutput((*presences, *learned))
