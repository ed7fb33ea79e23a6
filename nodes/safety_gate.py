from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.gate import safety_gate
from ..host.gate.actions import ACTIONS
from .common import ALIASES, CATEGORY, SafetyJudges, as_json, naming


class SafetyGate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SafetyGate",
            display_name="SAFREE Safety Gate",
            category=CATEGORY,
            description="Looks at finished pictures, or the frames of a video, before they leave: those that show an "
            "unwanted concept are blurred, put in a mosaic, blanked, or stop the workflow. The others leave bit for "
            "bit. Whatever brought the concept: a prompt, a LoRA, an input image.",
            search_aliases=[*ALIASES, "filter", "blur", "mosaic", "classifier", "video", "safety checker"],
            inputs=[
                io.Image.Input("images", tooltip="A picture, a batch, or the frames of a video, at least 16 x 16."),
                SafetyJudges.Input(
                    "judges", tooltip="From LoadSafetyJudge, ClipSafetyJudge or LatentLookJudge; they can be chained."
                ),
                io.Combo.Input(
                    "action",
                    options=list(ACTIONS),
                    tooltip="What becomes of a picture that shows something. blur, mosaic: nothing smaller than a cell "
                    "is left. blank: grey. pass: nothing, the outputs say it. stop: an error, so that nothing behind "
                    "this node runs.",
                ),
                io.Combo.Input(
                    "agree",
                    options=list(safety_gate.AGREE),
                    tooltip="any: a picture is acted on when one judge sees something in it. all: when every judge "
                    "does.",
                ),
                io.Int.Input(
                    "cells",
                    default=8,
                    min=1,
                    max=64,
                    tooltip="Cells of blur and mosaic along the longer side. Fewer hide more.",
                ),
                io.Boolean.Input(
                    "regions",
                    default=False,
                    tooltip="On: act only inside the boxes, where all judges that saw something give boxes (NudeNet). "
                    "Off: on the whole picture.",
                ),
                io.Float.Input(
                    "margin",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much larger a region is than its box, on each side, as a share of the box.",
                ),
                io.Int.Input(
                    "every_nth",
                    default=1,
                    min=1,
                    max=1000,
                    tooltip="For videos: look at every nth frame first, and at those between where something begins or "
                    "ends. What is shorter than that may be missed. 1 looks at all; for a batch of pictures leave it "
                    "at 1.",
                ),
                io.Int.Input(
                    "around",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="For videos: act on that many more frames on each side of a stretch.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Boolean.Output(display_name="safe"),
                io.Int.Output(display_name="acted_on"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(cls, images, judges, action, agree, cells, regions, margin, every_nth, around) -> io.NodeOutput:
        with naming(cls):
            settings = safety_gate.Settings(action, agree, cells, regions, margin, every_nth, around)
            done = safety_gate.gate(images, tuple(judges), settings)
        shown = {**done.report, "thumbnails": done.thumbnails}
        outputs = (done.images, done.safe, len(done.acted_on), as_json(done.report))
        return io.NodeOutput(*outputs, ui={"safree_gate": [shown]})
