"""What is in a picture of the tiny world: the multi-label classifier of tests/assets (CARD.md). torch only."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ASSETS = Path(__file__).resolve().parents[2] / "tests" / "assets"
WIDTHS = (32, 64, 128, 256)
SIZE = 128  # pixels: the native size of the checkpoint, the only one that the detector was trained on
THRESHOLD = 0.5


def _stages() -> nn.Sequential:
    layers, inputs = [], 3
    for width in WIDTHS:
        for channels, stride in ((inputs, 1), (width, 2)):
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)


class Detector(nn.Module):
    """Sigmoid outputs named by `names`: objects by their noun, then 'style:...' and 'background:...'."""

    def __init__(self, folder: Path = ASSETS):
        super().__init__()
        self.names: list[str] = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["detector_outputs"]
        self.f = _stages()
        self.h = nn.Linear(2 * WIDTHS[-1], len(self.names))
        self.load_state_dict(load_file(folder / "detector.safetensors"))
        self.eval().requires_grad_(False)

    def scores(self, images: Tensor) -> Tensor:
        """[B, 3, 128, 128] RGB in [0, 1] -> probabilities [B, outputs]. ValueError for any other shape."""
        if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE):
            raise ValueError(f"images have shape {tuple(images.shape)}, not [B, 3, {SIZE}, {SIZE}]. Resize them first.")
        x = self.f(images.float() - 0.5)  # [B, 256, 8, 8]
        return torch.sigmoid(self.h(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)))

    def see(self, images: Tensor, threshold: float = THRESHOLD) -> list[set[str]]:
        """Per picture, the names whose probability exceeds `threshold`."""
        found = self.scores(images) > threshold  # [B, outputs]
        return [{name for name, hit in zip(self.names, row, strict=True) if hit} for row in found.tolist()]
