from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.sampling.run import self_validating
from ..host.sampling.switching import Switch
from ..safree import SafreeError
from .common import ALIASES, CATEGORY, FILTERED_STEPS, NEGATIVES_INPUT, ON_PROBLEM, UNIT, naming


class SelfValidationPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SelfValidationPatch",
            display_name="SAFREE Self-Validation Patch",
            category=CATEGORY,
            description="SelfValidatingSampler for every other sampler and guider: a model that switches guarded "
            "conditioning at the exact step (SamplerCustomAdvanced, BasicGuider, CFGGuider, DualCFGGuider, KSampler).",
            search_aliases=ALIASES,
            inputs=[
                io.Model.Input("model", tooltip="Any model."),
                UNIT,
                FILTERED_STEPS,
                ON_PROBLEM,
                NEGATIVES_INPUT,
                io.Sigmas.Input(
                    "schedule",
                    optional=True,
                    tooltip="Where two models share a schedule (Wan 2.2, SDXL base and refiner): all its SIGMAS. "
                    "Then t' and filtered_steps count over the whole schedule, exactly. Without it t' counts over "
                    "each part's own steps.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(
        cls, model, unit, filtered_steps, on_problem="error", negatives="subtracting", schedule=None
    ) -> io.NodeOutput:
        with naming(cls):
            if model is None:
                raise SafreeError("no MODEL is connected. Load one with a checkpoint or diffusion model loader.")
            fixed = None if filtered_steps < 0 else filtered_steps
            if schedule is not None and len(schedule) < 2:
                raise SafreeError("the schedule has no steps. Connect the SIGMAS of a scheduler, all of them.")
            switch = Switch(unit, fixed, on_problem, cls.define_schema().node_id, negatives, schedule)
            return io.NodeOutput(self_validating(model, switch))
