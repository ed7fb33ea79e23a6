"""TraSCE (arXiv 2412.07658), for comparison: guidance from the concept, and latents pushed off where both agree.

Written from the paper's equations and the values of its authors' release. The noise estimate is
eps(0) + w (eps(p) - eps(c)), so that a prompt equal to the concept comes out as the empty one. Each step first moves
the latents against the gradient of L = -s exp(-||eps(p) - eps(c)|| / spread).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Settings:
    """scale: s, the weight of the loss. rate: of the step against its gradient. spread: sigma of the exponential."""

    scale: float = 1.5
    rate: float = 1.0
    spread: float = 2.0  # of nudity; 1 for objects and .25 for styles


def loss(prompted: Tensor, concept: Tensor, settings: Settings) -> Tensor:
    """L of two noise estimates [B, C, H, W], summed over the batch: least where they are equal."""
    apart = (prompted - concept).flatten(1).norm(dim=1)
    return -settings.scale * torch.exp(-apart / settings.spread).sum()


def trasce(model, concept_conditioning: list, settings: Settings | None = None):
    """A clone of `model` that is steered off a concept; the negative prompt is to be the empty one.

    The gradient needs an evaluation of its own with the prompt and the concept, as in the release, which takes it
    through its one. ComfyUI's latents are those of the release times (1 + sigma²) ** .5, and so are the steps.
    """
    import comfy.samplers  # here, since ComfyUI is put on the path when the studio opens
    from comfy.sampler_helpers import convert_cond

    settings, unsafe = settings or Settings(), convert_cond(concept_conditioning)
    patched = model.clone()

    def pre_cfg(args):
        cond, uncond, *rest = args["conds_out"]
        x, sigma, inner = args["input"], args["sigma"], args["model"]
        scale = sigma.view(-1, *[1] * (x.ndim - 1))
        prepared = comfy.samplers.encode_model_conds(inner.extra_conds, unsafe, x, x.device, "negative")
        options = args["model_options"]
        with torch.enable_grad():
            moved = x.detach().clone().requires_grad_(True)
            both = comfy.samplers.calc_cond_batch(inner, [args["conds"][0], prepared], moved, sigma, options)
            prompted, concept = ((moved - denoised) / scale for denoised in both)
            (slope,) = torch.autograd.grad(loss(prompted, concept, settings), moved)
        step = settings.rate * (1 + scale**2) * slope
        x.sub_(step)  # the latents that the sampler goes on with
        unguided = uncond - step
        return [unguided + cond - both[1].detach(), unguided, *rest]

    patched.set_model_sampler_pre_cfg_function(pre_cfg)
    return patched
