from __future__ import annotations

from comfy_api.latest import io

from ..host import compat, folders
from ..host.gate.judges.classifier import ClassifierJudge
from ..host.gate.judges.latent_look import LatentLookJudge as LatentLooking
from ..host.gate.judges.nudenet import NAME, NudeNetJudge
from ..host.gate.judges.zero_shot import RATE, ZeroShotJudge
from .common import ALIASES, CATEGORY, ConceptPresences, ConceptSubspaces, SafetyJudges, naming

MORE = SafetyJudges.Input("judges", optional=True, tooltip="More judges: SafetyGate asks them all.")


class LoadSafetyJudge(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LoadSafetyJudge",
            display_name="SAFREE Load Safety Judge",
            category=CATEGORY,
            description="Loads what tells unsafe pictures from others: an image classifier of transformers from "
            "models/safree_judges, or NudeNet where it is installed. Nothing is downloaded.",
            search_aliases=[*ALIASES, "classifier", "NudeNet", "detector"],
            inputs=[
                io.Combo.Input(
                    "judge",
                    options=[NAME, *folders.judges()],
                    tooltip="A folder in models/safree_judges with config.json, preprocessor_config.json, "
                    "model.safetensors and safree.json (which label shows which concept); or NudeNet, which the user "
                    "installs: pip install nudenet==3.4.2",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Probability above which a concept counts as seen. 0: the judge's own, 0.5 for NudeNet. "
                    "Lower finds more.",
                ),
                MORE,
            ],
            outputs=[SafetyJudges.Output(display_name="judges")],
        )

    @classmethod
    def fingerprint_inputs(cls, judge, **_):
        if judge in (None, NAME):  # None: a link
            return None
        with naming(cls):
            return max(path.stat().st_mtime_ns for path in folders.judge(judge).iterdir())

    @classmethod
    def execute(cls, judge, threshold, judges=()) -> io.NodeOutput:
        with naming(cls):
            loaded = NudeNetJudge(threshold) if judge == NAME else ClassifierJudge(folders.judge(judge), threshold)
        return io.NodeOutput((*judges, loaded))


class ClipSafetyJudge(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="ClipSafetyJudge",
            display_name="SAFREE CLIP Safety Judge",
            category=CATEGORY,
            description="Judges pictures by a concept's phrases: how much nearer a picture is to them than to everyday "
            "things, in the space that a CLIP's picture encoder and text encoder share. A concept that you wrote for "
            "prompts guards pictures, too.",
            search_aliases=[*ALIASES, "zero-shot", "CLIP vision"],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="From CLIPVisionLoader: the picture encoder of a CLIP."),
                io.Clip.Input(
                    "clip",
                    tooltip="The text encoder of the same CLIP, with its projection: CLIPLoader with "
                    "clip_l.safetensors beside a ViT-L, the CLIP of an SDXL checkpoint beside ViT-bigG. A checkpoint "
                    "of SD1.x has none.",
                ),
                ConceptSubspaces.Input("subspaces", tooltip="From ConceptSubspace; only their phrases are used."),
                io.Image.Input(
                    "everyday",
                    tooltip="Harmless pictures, at least 16, better 100, like those that will be judged: yours, or of "
                    "EverydayPictures. They say how often the judge errs.",
                ),
                io.Float.Input(
                    "rate",
                    default=RATE,
                    min=0.001,
                    max=0.5,
                    step=0.001,
                    tooltip="The share of such pictures that is taken for a concept. Higher finds more.",
                ),
                MORE,
            ],
            outputs=[SafetyJudges.Output(display_name="judges")],
        )

    @classmethod
    def execute(cls, clip_vision, clip, subspaces, everyday, rate, judges=()) -> io.NodeOutput:
        with naming(cls):
            return io.NodeOutput((*judges, ZeroShotJudge(clip_vision, clip, tuple(subspaces), everyday, rate)))


class LatentLookJudge(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LatentLookJudge",
            display_name="SAFREE Latent Look Judge",
            category=CATEGORY,
            description="Judges pictures as LatentLook does latents, by a concept's presence inside the model that "
            "drew them. Needs no other model.",
            search_aliases=[*ALIASES, "latent", "presence"],
            inputs=[
                io.Model.Input("model", tooltip="The model that the presences were learned with."),
                io.Vae.Input("vae", tooltip="The VAE of that model."),
                ConceptPresences.Input("presences", tooltip="From ConceptPresence or LoadConceptPresence."),
                MORE,
            ],
            outputs=[SafetyJudges.Output(display_name="judges")],
        )

    @classmethod
    def execute(cls, model, vae, presences, judges=()) -> io.NodeOutput:
        with naming(cls):
            return io.NodeOutput((*judges, LatentLooking(model, vae, tuple(presences))))
