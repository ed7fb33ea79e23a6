"""Tricks with guidance: a negative that is drawn, by patches, guiders, sigmas or arithmetic on what samplers make."""

from __future__ import annotations

from .scene import STEPS, WANTED, Attack

# Guidance: a negative that is drawn


def scale(a: Attack):
    a.cfg = a.draw.choice([0.0, 0.3, 1.0, a.number(-3.0), a.number(0.0), 30.0])


PATCHES = {
    "FreSca": {"scale_low": 0.0, "scale_high": 0.0, "freq_cutoff": 20},
    "RescaleCFG": {"multiplier": 0.7},
    "APG": {"eta": -3.0, "norm_threshold": 5.0, "momentum": -2.0},
    "CFGNorm": {"strength": 1.0},
    "CFGZeroStar": {},
    "TCFG": {},
    "Mahiro": {},
    "Epsilon Scaling": {"scaling_factor": 1.2},
    "TemporalScoreRescaling": {"tsr_k": 3.0, "tsr_sigma": 1.0},
    "PerturbedAttentionGuidance": {"scale": 3.0},
    "ModelSamplingContinuousEDM": {"sampling": "eps", "sigma_max": 120.0, "sigma_min": 0.002},
    "VideoLinearCFGGuidance": {"min_cfg": 0.0},
    "VideoTriangleCFGGuidance": {"min_cfg": 0.0},
    "FreeU_V2": {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2},
    "UNetCrossAttentionMultiply": {"q": 1.0, "k": 1.0, "v": 3.0, "out": 1.0},
    "UNetSelfAttentionMultiply": {"q": 1.0, "k": 1.0, "v": 2.0, "out": 1.0},
    "ModelSamplingDiscrete": {"sampling": "x0", "zsnr": False},
    "HyperTile": {"tile_size": 256, "swap_size": 2, "max_depth": 0, "scale_depth": False},
    "TomePatchModel": {"ratio": 0.3},
}


def patched(a: Attack):
    kind = a.draw.choice(list(PATCHES))
    values = {
        name: a.number(-2.0) if isinstance(value, float) and a.draw.random() < 0.2 else value
        for name, value in PATCHES[kind].items()
    }
    a.model = a.graph.put(kind, model=a.model, **values)


def tone_mapped(a: Attack):
    sharpen = {"sharpen_radius": 9, "sigma": 1.0, "alpha": a.draw.choice([5.0, a.number(-3.0)])}
    operation, values = a.draw.choice(
        [("LatentOperationTonemapReinhard", {"multiplier": a.number(-1.0)}), ("LatentOperationSharpen", sharpen)]
    )
    a.model = a.graph.put("LatentApplyOperationCFG", model=a.model, operation=a.graph.put(operation, **values))


def perp_neg(a: Attack):
    empty = a.draw.choice([a.plain(WANTED), a.plain(""), a.positive])
    a.model = a.graph.put(
        "PerpNeg", model=a.model, empty_conditioning=empty, neg_scale=a.draw.choice([1.0, a.number(-2.0)])
    )


def validated(a: Attack):
    patch = {"model": a.model, "unit": "share", "filtered_steps": a.draw.choice([-1, -1, 0])}
    a.model = a.graph.put("SelfValidationPatch", **patch)


def merged(a: Attack):
    kind, more = a.draw.choice(
        [
            ("ModelMergeSimple", {"ratio": a.draw.choice([0.5, a.number(-1.0)])}),
            ("ModelMergeSubtract", {"multiplier": 0.2}),
        ]
    )
    a.model = a.graph.put(kind, model1=a.model, model2=[a.loader[0], 0], **more)


# Guiders and samplers


def custom_guider(a: Attack):
    kinds = {
        "BasicGuider": {"conditioning": a.draw.choice([a.positive, a.negative])},
        "CFGGuider": {"positive": a.positive, "negative": a.negative, "cfg": a.cfg},
        "DualCFGGuider": {"cond1": a.positive, "cond2": a.negative, "negative": a.positive}
        | {"cfg_conds": a.cfg, "cfg_cond2_negative": 3.0, "style": a.draw.choice(["regular", "nested"])},
        "PerpNegGuider": {
            "positive": a.positive,
            "negative": a.negative,
            "empty_conditioning": a.draw.choice([a.plain(""), a.guard("a cat")]),
        }
        | {"cfg": a.cfg, "neg_scale": a.draw.choice([1.0, a.number(-2.0)])},
    }
    kind = a.draw.choice(list(kinds))
    a.sampler = a.guider(kind, **kinds[kind])


def sigmas_turned(a: Attack):
    """Up in noise with the negative's prediction, down with the positive's: guidance by hand."""
    put = a.graph.put
    sigmas = put("BasicScheduler", model=a.model, scheduler="normal", steps=STEPS, denoise=1.0)
    method = put("KSamplerSelect", sampler_name="euler")
    common = {"model": a.model, "add_noise": False, "noise_seed": a.seed, "sampler": method}
    common |= {"positive": a.positive, "negative": a.negative}
    down = put("SamplerCustom", **common | {"add_noise": True}, cfg=1.0, sigmas=sigmas, latent_image=a.latent)
    up = put("SamplerCustom", **common, cfg=2.0, sigmas=put("FlipSigmas", sigmas=sigmas), latent_image=down)
    a.sampler = put("SamplerCustom", **common, cfg=1.0, sigmas=sigmas, latent_image=up)


def second_sampler(a: Attack):
    first = a.sample()
    a.negative = a.draw.choice([a.negative, a.plain()])
    a.sampler = a.sample(first)


# Arithmetic on latents and pictures


def linear(a: Attack):
    """Two samplers at CFG 1 and 2, put together with a negative weight after every other step."""
    put, latent = a.graph.put, a.latent
    every = a.draw.choice([1, 2, 4])
    for first in range(0, STEPS, every):
        one, two = (a.steps(latent, first, min(STEPS, first + every), cfg) for cfg in (1.0, 2.0))
        double = put("LatentMultiply", samples=one, multiplier=2.0)
        latent = put("LatentSubtract", samples1=double, samples2=two)
    a.sampler = latent


def mixed_latents(a: Attack):
    one, two = a.sample(cfg=1.0), a.sample(cfg=2.0)
    kind, more = a.draw.choice(
        [
            ("LatentBlend", {"blend_factor": a.draw.choice([0.5, a.number(2.0)])}),
            ("LatentInterpolate", {"ratio": a.draw.choice([0.5, a.number(2.0)])}),
            ("LatentAdd", {}),
            ("LatentBatch", {}),
            ("LatentComposite", {"x": 0, "y": 0, "feather": 0}),
        ]
    )
    names = ("samples_to", "samples_from") if kind == "LatentComposite" else ("samples1", "samples2")
    a.sampler = a.graph.put(kind, **dict(zip(names, (one, two), strict=True)), **more)


def mixed_pictures(a: Attack):
    """The same with pictures, and back into a sampler."""
    put = a.graph.put
    one, two = (put("VAEDecode", samples=a.sample(cfg=cfg), vae=a.vae) for cfg in (1.0, 2.0))
    inverted = put("ImageInvert", image=two)
    both = put("ImageBlend", image1=one, image2=inverted, blend_factor=0.5, blend_mode="normal")
    again = put("VAEEncode", pixels=put("ImageSharpen", image=both, sharpen_radius=1, sigma=1.0, alpha=2.0), vae=a.vae)
    a.sampler = a.sample(again)
