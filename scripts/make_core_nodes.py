"""Write core_nodes.json: the nodes of ComfyUI that do not touch CONDITIONING.

    .comfy/venv/bin/python scripts/make_core_nodes.py

Nodes that this ComfyUI does not have stay in the file: run it once with each version (COMFYUI_PATH, COMFYUI_PYTHON).
"""

from __future__ import annotations

import json
from pathlib import Path

import setup_host
from comfy_server import Server
from workflow_check import is_core, types


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
    path = Path(__file__).with_name("core_nodes.json")
    names = merged(json.loads(path.read_text("utf-8")), info)
    path.write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
