from __future__ import annotations

import torch
from comfy_api.latest import io

from ..host import compat
from ..host.latent.latent_look import look
from ..host.latent.second_look import look_report
from ..host.report.presence_plot import heat
from ..safree import SafreeError, check_choice
from .common import ALIASES, CATEGORY, ConceptPresences, as_json, naming

ON_FOUND = ("report", "error")


class LatentLook(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LatentLook",
            display_name="SAFREE Latent Look",
            category=CATEGORY,
            description="Says whether a finished latent shows a concept, and where. Changes nothing.",
            search_aliases=[*ALIASES, "latent", "check", "detect"],
            inputs=[
                io.Model.Input("model", tooltip="The model that looks: the checkpoint of the latent."),
                io.Latent.Input("latent", tooltip="What a sampler made, or VAEEncode of a picture."),
                ConceptPresences.Input("presences", tooltip="From ConceptPresence or LoadConceptPresence."),
                io.Combo.Input(
                    "on_found",
                    options=list(ON_FOUND),
                    default="report",
                    tooltip="report: say so. error: stop the workflow, so that the picture is not saved.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent"),
                io.String.Output(display_name="report"),
                io.Image.Output(display_name="map"),
                io.Boolean.Output(display_name="found"),
            ],
        )

    @classmethod
    def execute(cls, model, latent, presences, on_found) -> io.NodeOutput:
        with naming(cls):
            check_choice("on_found", on_found, ON_FOUND)
            findings = look(model, tuple(presences), latent, cls.__name__)
            report = look_report(findings)
            found = report.state == "found"
            if found and on_found == "error":
                raise SafreeError(f"{report.verdict} Sample anew, or set on_found to 'report'.")
        maps = torch.cat([heat(finding["map"]) for finding in findings])
        data = report.data()
        return io.NodeOutput(latent, as_json(data), maps, found, ui={"safree_sampling": [data]})
