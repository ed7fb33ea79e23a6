"""Write locales/en/nodeDefs.json from the nodes' own schemas, so that translators see every text there is.

Run with the interpreter of `.comfy/venv`. The other locales are written by hand (tests/repository/test_locales.py).
"""

from __future__ import annotations

from .. import inprocess, setup_host
from .readable_json import readable


def definitions() -> dict:
    """Names and tooltips of every node, in the format of ComfyUI's nodeDefs.json."""
    inprocess.boot()
    out = {}
    for node in inprocess.load_pack().NODES:
        schema = node.define_schema()
        inputs = {}
        for entry in schema.inputs:
            inputs[entry.id] = {"name": entry.id.replace("_", " "), "tooltip": entry.tooltip}
        out[schema.node_id] = {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": inputs,
            "outputs": {str(n): {"name": output.display_name} for n, output in enumerate(schema.outputs)},
        }
    return out


if __name__ == "__main__":
    path = setup_host.ROOT / "locales" / "en" / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(readable(definitions()) + "\n", encoding="utf-8")
