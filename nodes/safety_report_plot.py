from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.report.report_plot import parse, plot
from .common import ALIASES, CATEGORY, naming


class SafetyReportPlot(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SafetyReportPlot",
            display_name="SAFREE Safety Report Plot",
            category=CATEGORY,
            description="Draws a report as a picture: words coloured by score, the flagged ones marked, t' as a bar.",
            search_aliases=[*ALIASES, "heat map"],
            inputs=[
                io.String.Input(
                    "report",
                    force_input=True,
                    tooltip="The report of SafreeConditioning, SafreeFilterConditioning or SelfValidatingSampler.",
                )
            ],
            outputs=[io.Image.Output(display_name="image")],
        )

    @classmethod
    def execute(cls, report) -> io.NodeOutput:
        with naming(cls):
            return io.NodeOutput(plot(parse(report)))
