from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.sampling.run import sample, sampler_names, scheduler_names
from ..host.sampling.switching import Switch
from ..host.sampling.two_models import Second
from .common import ALIASES, CATEGORY, FILTERED_STEPS, NEGATIVES_INPUT, ON_PROBLEM, UNIT, as_json, naming


class SelfValidatingSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SelfValidatingSampler",
            display_name="SAFREE Self-Validating Sampler",
            category=CATEGORY,
            description="KSampler that uses the filtered prompt of SafreeConditioning for exactly the self-validated "
            "steps, and the original prompt afterwards.",
            search_aliases=[*ALIASES, "KSampler"],
            inputs=[
                io.Model.Input("model", tooltip="The model used for denoising."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Of the noise. With the same seed a KSampler shows what the guard changed.",
                ),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Denoising steps. The paper uses 50."),
                io.Float.Input("cfg", default=7.5, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="Paper: 7.5."),
                io.Combo.Input("sampler_name", options=sampler_names(), tooltip="As in KSampler."),
                io.Combo.Input("scheduler", options=scheduler_names(), tooltip="As in KSampler."),
                io.Conditioning.Input("positive", tooltip="From SafreeConditioning."),
                io.Conditioning.Input("negative", tooltip="Plain or guarded, see negatives."),
                io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 for img2img; t' counts in the steps that are left.",
                ),
                UNIT,
                FILTERED_STEPS,
                ON_PROBLEM,
                NEGATIVES_INPUT,
                io.Model.Input(
                    "second_model",
                    optional=True,
                    tooltip="The model that draws the steps of little noise: Wan 2.2's low noise model, a refiner.",
                ),
                io.Float.Input(
                    "boundary",
                    default=0.875,
                    min=0.001,
                    max=1000.0,
                    step=0.001,
                    optional=True,
                    tooltip="Noise level from which second_model goes on: 0.875 for text to video, 0.9 for picture to "
                    "video of Wan 2.2. Without second_model it does nothing.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent"), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        unit,
        filtered_steps,
        on_problem="error",
        negatives="subtracting",
        second_model=None,
        boundary=0.875,
        **ksampler,
    ) -> io.NodeOutput:
        with naming(cls):
            switch = Switch(unit, None if filtered_steps < 0 else filtered_steps, on_problem, negatives=negatives)
            second = None if second_model is None else Second(second_model, boundary)
            latent, report = sample(switch, **ksampler, second=second)
        data = report.data()
        return io.NodeOutput(latent, as_json(data), ui={"safree_sampling": [data]})
