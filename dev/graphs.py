"""API-format graphs of the demo and the end-to-end tests: stock nodes plus ours, on the tiny checkpoint."""

from __future__ import annotations

import dataclasses

from . import setup_host


@dataclasses.dataclass(frozen=True)
class Run:
    """One picture of the tiny world. 128 pixels is the checkpoint's native size."""

    prompt: str
    seed: int = 1
    steps: int = 20
    cfg: float = 5.0
    sampler: str = "euler"
    scheduler: str = "normal"
    size: int = 128


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _picture(run: Run, positive: list, sampler: dict) -> dict:
    """The part that both graphs share; `sampler` is the sampling node without its common inputs."""
    sampler["inputs"].update(
        model=["loader", 0],
        seed=run.seed,
        steps=run.steps,
        cfg=run.cfg,
        sampler_name=run.sampler,
        scheduler=run.scheduler,
        positive=positive,
        negative=["negative", 0],
        latent_image=["latent", 0],
        denoise=1.0,
    )
    return {
        "loader": node("CheckpointLoaderSimple", ckpt_name=setup_host.CHECKPOINT),
        "negative": node("CLIPTextEncode", clip=["loader", 1], text=""),
        "latent": node("EmptyLatentImage", width=run.size, height=run.size, batch_size=1),
        "sampler": sampler,
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="safree"),
    }


def unguarded(run: Run) -> dict:
    encode = node("CLIPTextEncode", clip=["loader", 1], text=run.prompt)
    return {"prompt": encode, **_picture(run, ["prompt", 0], node("KSampler"))}


def guarded(run: Run, concept_set: str = "weapons", phrases: str = "") -> dict:
    return {
        "subspace": node("ConceptSubspace", clip=["loader", 1], concept_set=concept_set, phrases=phrases, strength=1.0),
        "prompt": node(
            "SafreeConditioning",
            clip=["loader", 1],
            subspaces=["subspace", 0],
            text=run.prompt,
            mode="adaptive",
            strength=1.0,
            threshold=0.0,
            self_validation="auto",
        ),
        **_picture(run, ["prompt", 0], node("SelfValidatingSampler", unit="share", filtered_steps=-1)),
    }
