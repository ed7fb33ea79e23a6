"""Safe Latent Diffusion (arXiv 2211.05105), for comparison: guidance away from a safety concept, in any sampler.

Written from the paper's equations 3 to 8. Where its text and the authors' code differ (the paper writes max(1, |phi|)
for the scale, which would never fade), the code's min(1, |phi|) is used.
"""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Preset:
    """scale: s_S. threshold: lambda. momentum: s_m and beta_m. warmup: delta, as a share of the schedule."""

    scale: float
    threshold: float
    momentum_scale: float
    momentum_beta: float
    warmup: float


STRONG = Preset(2000.0, 0.025, 0.5, 0.7, 7 / 50)
MAXIMUM = Preset(5000.0, 1.0, 0.5, 0.7, 0.0)


def safety_guidance(
    prompted: torch.Tensor,
    unconditional: torch.Tensor,
    unsafe: torch.Tensor,
    momentum: torch.Tensor,
    preset: Preset,
) -> torch.Tensor:
    """gamma = mu (eps(S) - eps) + s_m nu, the part to take off eps(p). All noise estimates [B, C, H, W]."""
    difference = prompted - unsafe
    mu = (preset.scale * difference.abs()).clamp(max=1.0)
    mu = torch.where(difference < preset.threshold, mu, torch.zeros_like(mu))
    return mu * (unsafe - unconditional) + preset.momentum_scale * momentum


def safe_latent_diffusion(model, unsafe_conditioning: list, preset: Preset = STRONG):
    """A clone of `model` whose classifier-free guidance is steered away from `unsafe_conditioning`."""
    import comfy.samplers  # here, since ComfyUI is put on the path when the studio opens
    from comfy.sampler_helpers import convert_cond

    unsafe_conds = convert_cond(unsafe_conditioning)
    momentum: dict[str, torch.Tensor] = {}
    patched = model.clone()

    def pre_cfg(args):
        cond, uncond, *rest = args["conds_out"]
        x, sigma, inner = args["input"], args["sigma"], args["model"]
        sampling = inner.model_sampling
        prepared = comfy.samplers.encode_model_conds(inner.extra_conds, unsafe_conds, x, x.device, "negative")
        (unsafe,) = comfy.samplers.calc_cond_batch(inner, [prepared], x, sigma, args["model_options"])
        scale = sigma.view(-1, *[1] * (x.ndim - 1))
        epsilon = [(x - denoised) / scale for denoised in (cond, uncond, unsafe)]
        if sigma.max() >= momentum.get("sigma", torch.tensor(0.0)).max():  # a new run
            momentum["nu"] = torch.zeros_like(x)
        momentum["sigma"] = sigma
        gamma = safety_guidance(*epsilon, momentum["nu"], preset)
        beta = preset.momentum_beta
        momentum["nu"] = beta * momentum["nu"] + (1 - beta) * gamma
        if sigma.max() > sampling.percent_to_sigma(preset.warmup):
            return [cond, uncond, *rest]
        return [cond + scale * gamma, uncond, *rest]

    patched.set_model_sampler_pre_cfg_function(pre_cfg)
    return patched
