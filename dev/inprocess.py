"""Run the real ComfyUI inside this process with the pack loaded beside it (tests and benchmarks).

Run with the interpreter of `.comfy/venv`, or of COMFYUI_PYTHON.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from . import setup_host

PACK = "comfyui_safree"


def load_pack() -> ModuleType:
    """The pack as ComfyUI loads it: one module from the root `__init__.py`, so that its relative imports work."""
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, setup_host.ROOT / "__init__.py", submodule_search_locations=[str(setup_host.ROOT)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[PACK] = module
        spec.loader.exec_module(module)
    return sys.modules[PACK]


def boot(cpu: bool = True) -> ModuleType:
    """Import ComfyUI; return its `nodes` module. Safe to call more than once: the first call decides.

    cpu: use the CPU, whatever GPU the machine has; otherwise ComfyUI chooses the device
    """
    if "comfy.cli_args" in sys.modules:
        return sys.modules["nodes"]
    sys.path.insert(0, str(setup_host.host()))
    arguments, sys.argv = sys.argv, [*sys.argv[:1], *setup_host.flags()]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args

    sys.argv = arguments
    comfy.cli_args.args.cpu = cpu
    comfy.cli_args.args.base_directory = str(setup_host.base())
    import utils.extra_config  # noqa: F401  must precede nodes, or `utils` is taken by another package

    import nodes

    return nodes


def load_tiny():
    """The tiny checkpoint through ComfyUI's own loader: (model, clip, vae)."""
    return boot().CheckpointLoaderSimple().load_checkpoint(setup_host.CHECKPOINT)
