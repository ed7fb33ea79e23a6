"""Convert ComfyUI's own workflow templates to API format, by the editor itself in a headless browser, for the tests.

    pip download --no-deps comfyui-workflow-templates-json==0.1.123
    .comfy/venv/bin/python -m dev.generate.templates comfyui_workflow_templates_json-*.whl [NAME ...]

Writes tests/assets/templates/NAME.json, for all names that are there if none is given. The editor
flattens subgraphs and leaves out bypassed and muted nodes.
"""

from __future__ import annotations

import json
import sys
import zipfile

from .. import setup_host
from ..editor import open_editor
from ..server import Server

FOLDER = setup_host.ROOT / "tests" / "assets" / "templates"


def convert(page, workflow: dict) -> dict:
    """The API format of a workflow, as the editor exports it."""
    page.evaluate("(workflow) => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(500)
    return page.evaluate("async () => (await window.app.graphToPrompt()).output")


def main(wheel: str, *names: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(wheel) as package,
        Server(setup_host.ROOT / "output" / "templates") as server,
        open_editor(server.address, "KSampler") as page,
    ):
        for name in names or sorted(path.stem for path in FOLDER.glob("*.json")):
            source = package.read(f"comfyui_workflow_templates_json/templates/{name}.json")
            nodes = convert(page, json.loads(source))
            lines = (f"{json.dumps(key)}: {json.dumps(node, ensure_ascii=False)}" for key, node in nodes.items())
            text = "{\n" + ",\n".join(lines) + "\n}\n"
            (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
            print(name, len(nodes), "nodes")


if __name__ == "__main__":
    main(*sys.argv[1:])
