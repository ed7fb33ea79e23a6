"""Name the nodes of ComfyUI that headless/packs/core.json does not describe yet, with their types.

    .comfy/venv/bin/python -m dev.generate.core_nodes

A person reads each of them and writes it into the file, so that a newer ComfyUI adds nothing silently. Nodes that this
ComfyUI does not have stay in the file: it serves every version. Exit code 1 when there are any.
"""

from __future__ import annotations

import sys

from headless import knowledge
from headless.knowledge import Knowledge
from headless.object_info import is_core, types

from .. import setup_host
from ..server import Server


def undescribed(object_info: dict, known: Knowledge) -> dict[str, str]:
    """What the nodes of ComfyUI that no pack file names take and give, by class."""
    return {
        kind: " -> ".join(" ".join(sorted(names)) or "nothing" for names in types(info))
        for kind, info in sorted(object_info.items())
        if is_core(info) and kind not in known
    }


def main() -> int:
    with Server(setup_host.ROOT / "output" / "core_nodes") as server:
        found = undescribed(server.client().get_json("/object_info"), knowledge.load())
    print("\n".join(f"{kind}: {text}" for kind, text in found.items()) or "packs/core.json describes them all.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
