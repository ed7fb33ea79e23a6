"""Write tests/assets/interface.json: the ids, inputs, defaults and outputs that saved workflows depend on.

    .comfy/venv/bin/python -m dev.generate.interface

tests/host/test_saved_files.py compares it with the nodes as they are, and with those of version 0.1.0.
"""

from __future__ import annotations

import json

from .. import inprocess, setup_host

PATH = setup_host.ROOT / "tests" / "assets" / "interface.json"
OF_THE_HOST = ("sampler_name", "scheduler", "filename")  # what they offer is ComfyUI's, or the disk's


def interface() -> dict:
    """Node id -> its inputs in order, each with type, default, choices, and whether it is optional; its outputs."""
    inprocess.boot()
    out = {}
    for node in inprocess.load_pack().NODES:
        schema = node.define_schema()
        inputs = {entry.id: _input(entry) for entry in schema.inputs}
        out[schema.node_id] = {"inputs": inputs, "outputs": [output.io_type for output in schema.outputs]}
    return out


def _input(entry) -> dict:
    described = {"type": entry.io_type, "optional": entry.optional}
    options = getattr(entry, "options", None)
    if options and entry.id not in OF_THE_HOST:
        described |= {"default": entry.default or options[0], "options": list(options)}
    elif getattr(entry, "default", None) is not None:
        described["default"] = entry.default
    return described


def main() -> None:
    text = json.dumps(interface(), indent=1, ensure_ascii=False)
    PATH.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
