from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.conditioning.entries import with_settings_of
from ..host.prompt.findings import Settings
from ..host.prompt.guard import VALIDATIONS, guard_prompt
from ..safree.subspace import MODES
from .common import ALIASES, CATEGORY, ConceptSubspaces, guarded_output, naming


class SafreeConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SafreeConditioning",
            display_name="SAFREE Conditioning",
            category=CATEGORY,
            description="Encodes a prompt like CLIPTextEncode, without the words that lean into an unwanted concept. "
            "A prompt that has none passes unchanged, bit for bit.",
            search_aliases=ALIASES,
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that the subspaces were built with."),
                ConceptSubspaces.Input("subspaces", tooltip="From ConceptSubspace."),
                io.String.Input(
                    "text", multiline=True, dynamic_prompts=True, tooltip="The prompt, as in CLIPTextEncode."
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    tooltip="adaptive (recommended): flags words by how much of their effect lies in the concept, "
                    "encodes the prompt without them. paper: SAFREE's equations. reference: the authors' code.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 is the unguarded prompt, 1 (the paper's) takes flagged words out entirely. Multiplies "
                    "the strength of each ConceptSubspace.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0: automatic, at a stated false-alarm rate. adaptive: how near a word and the text "
                    "around it are to the concept, 0.5 is half-way from everyday language (automatic: about "
                    "0.3 to 0.4); lower flags more. paper and reference: alpha, 0.01 in the paper.",
                ),
                io.Combo.Input(
                    "self_validation",
                    options=list(VALIDATIONS),
                    tooltip="For how much of the schedule the filter stays on. auto: in adaptive the whole schedule "
                    "when a word is flagged, otherwise the mode's own rule (10 of 50 steps at most).",
                ),
                io.Conditioning.Input(
                    "like",
                    optional=True,
                    tooltip="Conditioning whose sizes (CLIPTextEncodeSDXL and the like) and guidance are taken over. "
                    "Its prompt is not used.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning"),
                io.String.Output(display_name="report"),
                io.Int.Output(display_name="flagged"),
            ],
        )

    @classmethod
    def execute(cls, clip, subspaces, text, mode, strength, threshold, self_validation, like=()) -> io.NodeOutput:
        with naming(cls):
            settings = Settings(mode, strength, threshold, self_validation)
            guarded = guard_prompt(clip, text, subspaces, settings)
        return guarded_output(guarded, with_settings_of(guarded.conditioning, like))
