"""Write core_nodes.json: the nodes of the pinned ComfyUI that do not touch CONDITIONING.

.comfy/venv/bin/python scripts/make_core_nodes.py
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


def main() -> None:
    with Server(setup_host.ROOT / "output" / "core_nodes") as server, server.client() as client:
        names = harmless(json.loads(client.get("/object_info")))
    Path(__file__).with_name("core_nodes.json").write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
