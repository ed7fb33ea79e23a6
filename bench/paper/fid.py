"""FID of the COCO pictures to a folder of real ones, by torchmetrics with weights that the user has."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from .drawing import GATED, Plan
from .sets import BY_NAME

SOURCE = (
    "pip install torchmetrics torch-fidelity; weights-inception-2015-12-05-6726825d.pth of torch-fidelity's releases"
)
SET = "COCO"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def figures(measured: list, plan: Plan, arguments) -> list[dict]:
    """One entry for each guard; none without the files, or where the pictures lie on another machine."""
    if not (arguments.fid_reference and arguments.fid_weights):
        return []
    real = sorted(path for path in arguments.fid_reference.iterdir() if path.suffix.lower() in SUFFIXES)
    out = []
    for guard in (guard for guard in plan.guards if guard != GATED):  # the gate's pictures are not kept
        drawn = [path_of(plan, entry) for row, name, entry in measured if (row.set, name) == (SET, guard)]
        drawn = [path for path in drawn if path.exists()]
        if len(drawn) > 1 and len(real) > 1:
            value = distance(_metric(arguments.fid_weights), real, drawn)
            about = {"table": BY_NAME[SET].table, "set": SET, "category": "all", "guard": guard, "judge": "FID"}
            out.append(about | {"n": len(drawn), "value": value, "low": math.nan, "high": math.nan})
    return out


def distance(metric, real: list[Path], drawn: list[Path]) -> float:
    """FID by a metric of torchmetrics, of files of pictures."""
    for paths, is_real in ((real, True), (drawn, False)):
        for path in paths:
            metric.update(load(path), real=is_real)
    return float(metric.compute())


def load(path: Path) -> Tensor:
    """uint8 [1, 3, H, W] of a picture, or of one that the studio kept."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)["image"].movedim(-1, 1)
    import numpy
    from PIL import Image

    with Image.open(path) as picture:
        return torch.from_numpy(numpy.array(picture.convert("RGB"))).movedim(-1, 0)[None]


def _metric(weights: Path):
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance

        return FrechetInceptionDistance(feature_extractor_weights_path=str(weights))
    except (ImportError, OSError, RuntimeError, KeyError) as error:
        raise SystemExit(f"bench: FID cannot be measured with {weights} ({error}). It needs {SOURCE}") from error


def path_of(plan: Plan, entry: dict) -> Path:
    return plan.pictures / entry["picture"][:2] / f"{entry['picture']}.safetensors"
