"""Write headless/core_nodes.json: the nodes of ComfyUI that do not touch CONDITIONING.

    .comfy/venv/bin/python -m dev.generate.core_nodes

Nodes that this ComfyUI does not have stay in the file: run it once with each version (COMFYUI_PATH, COMFYUI_PYTHON).
"""

from __future__ import annotations

import json

from headless.check import is_core, types

from .. import setup_host
from ..server import Server


def harmless(object_info: dict) -> list[str]:
    """The names of ComfyUI's own nodes without CONDITIONING among their types."""
    return sorted(kind for kind, info in object_info.items() if is_core(info) and "CONDITIONING" not in types(info))


def merged(known: list[str], object_info: dict) -> list[str]:
    """`known` as this version of ComfyUI corrects it."""
    core = {kind for kind, info in object_info.items() if is_core(info)}
    return sorted({*known} - core | {*harmless(object_info)})


def main() -> None:
    with Server(setup_host.ROOT / "output" / "core_nodes") as server, server.client() as client:
        info = json.loads(client.get("/object_info"))
    path = setup_host.ROOT / "headless" / "core_nodes.json"
    names = merged(json.loads(path.read_text("utf-8")), info)
    path.write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
