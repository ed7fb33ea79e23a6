"""What SafetyGate costs a picture, with each judge; `bench overhead` times it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from ..world import tiny_clip
from ..world.detector import ASSETS
from ..world.studio import Studio

PIXELS = 512  # of a side of the picture that is judged
EVERYDAY = 16  # pictures that the zero-shot judge is calibrated with; they cost nothing later


def variants(studio: Studio, subspaces, draw: Callable[[], dict]) -> dict[str, Callable]:
    """A picture drawn as the yardstick, and one picture through SafetyGate with each judge that this machine has.

    draw: samples a latent
    """
    host, picture = studio.pack.host, torch.rand(1, PIXELS, PIXELS, 3, generator=torch.Generator().manual_seed(1))
    settings = host.gate.safety_gate.Settings(action="pass")

    def gated(judge) -> Callable:
        return lambda: host.gate.safety_gate.gate(picture, (judge,), settings)

    return {
        "a picture of 128 pixels drawn": lambda: studio.vae.decode(draw()["samples"]),
        **{f"SafetyGate, {name}": gated(judge) for name, judge in _judges(studio, subspaces).items()},
    }


def _judges(studio: Studio, subspaces) -> dict:
    judges, safree = studio.pack.host.gate.judges, studio.pack.safree
    presence = safree.presence_storage.load(ASSETS / "presence_weapon.safetensors")
    everyday = torch.rand(EVERYDAY, 128, 128, 3, generator=torch.Generator().manual_seed(2))
    found = {
        "LatentLook on the tiny checkpoint": judges.latent_look.LatentLookJudge(studio.model, studio.vae, (presence,)),
        "the small CLIP": judges.zero_shot.ZeroShotJudge(*tiny_clip.load(studio.clip), subspaces, everyday),
        "a ViT-B/16 of transformers": _classifier(judges.classifier.ClassifierJudge),
    }
    try:
        return {**found, "NudeNet": judges.nudenet.NudeNetJudge()}
    except safree.SafreeError as error:
        print(f"bench: without NudeNet: {error}")
        return found


def _classifier(judge):
    """A classifier of the size that most have, with random weights."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        transformers.ViTForImageClassification(transformers.ViTConfig()).save_pretrained(folder)
        transformers.ViTImageProcessor().save_pretrained(folder)
        labels = {"concepts": {"unsafe": ["LABEL_0"]}, "harmless": ["LABEL_1"]}
        (Path(folder) / "safree.json").write_text(json.dumps(labels))
        return judge(Path(folder))
