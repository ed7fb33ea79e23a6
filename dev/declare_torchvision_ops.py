"""Lets a CUDA torchvision be imported beside a CPU torch; dev/setup_host.py puts it into the environment.

Where the index serves such a pair, the import fails on two missing operators. Declaring them just before the first
import is enough: ComfyUI never calls them. Run by a .pth file, because Debian's Python has a sitecustomize of its own.
"""

import sys
from importlib.abc import MetaPathFinder

OPERATORS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class _DeclareTorchvisionOps(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for operator, signature in OPERATORS.items():
                torch.library.define(operator, signature)
        return None


sys.meta_path.insert(0, _DeclareTorchvisionOps())
