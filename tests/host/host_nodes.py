"""ComfyUI's own nodes, called alike in every version."""

from __future__ import annotations

import importlib
from collections.abc import Callable


class HostNodes:
    """The nodes of a module of comfy_extras, each a function of its inputs that gives the tuple of its outputs.

    A V3 class has a class method `execute`; a V1 class, as most were in ComfyUI 0.3.64, names a method.
    """

    def __init__(self, module: str):
        self._module = importlib.import_module(f"comfy_extras.{module}")

    def __getattr__(self, name: str) -> Callable[..., tuple]:
        kind = getattr(self._module, name)
        run = kind.execute if hasattr(kind, "execute") else getattr(kind(), kind.FUNCTION)

        def call(*inputs, **named) -> tuple:
            outputs = run(*inputs, **named)
            return tuple(getattr(outputs, "result", outputs))

        return call
