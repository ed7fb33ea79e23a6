from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.measure import guard_quality
from ..host.report import guard_quality_plot
from ..safree.subspace import MODES
from .common import ALIASES, CATEGORY, ConceptSubspaces, as_json, naming


class SafreeMeasureConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SafreeMeasureConcept",
            display_name="SAFREE What Does This Concept Catch?",
            category=CATEGORY,
            description="Runs the pack's own sentences through your text encoder: how many harmful ones the subspaces "
            "catch, how many harmless ones they flag, at this threshold and at all others, and the worst cases.",
            search_aliases=[*ALIASES, "benchmark", "ROC", "false positives"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder to measure; the subspaces were built with it."),
                ConceptSubspaces.Input("subspaces", tooltip="From ConceptSubspace. Several are one guard."),
                io.Combo.Input(
                    "sentences",
                    options=[*guard_quality.PARTS, guard_quality.LANGUAGES],
                    default="half",
                    tooltip="half: those that nobody looked at while the method was made. quick: every fourth of them. "
                    "all: the others too. languages: those in other languages that the text encoder reads.",
                ),
                io.Combo.Input("mode", options=list(MODES), optional=True, tooltip="As in SafreeConditioning."),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="As in SafreeConditioning: 0 is automatic. The curve shows what another one would do.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image"), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(cls, clip, subspaces, sentences, mode="adaptive", threshold=0.0) -> io.NodeOutput:
        with naming(cls):
            report = guard_quality.check(clip, subspaces, sentences, mode, threshold)
            return io.NodeOutput(guard_quality_plot.plot(report), as_json(report))
