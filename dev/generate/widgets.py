"""Bring headless/widgets.json up to date with the nodes of the test host: the names of their widgets, in order.

    .comfy/venv/bin/python -m dev.generate.widgets

Classes that this host does not have stay in the file as they are.
"""

from __future__ import annotations

import json

from headless.editor.widgets import widgets_of

from .. import setup_host
from ..server import Server

FILE = setup_host.ROOT / "headless" / "widgets.json"


def text_of(widgets: dict[str, list[str]]) -> str:
    """The file: a line for each class, without spaces, since it is published."""
    lines = (
        f"{json.dumps(kind, ensure_ascii=False)}:{json.dumps(names, separators=(',', ':'))}"
        for kind, names in sorted(widgets.items())
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    with Server(setup_host.ROOT / "output" / "widgets") as server:
        info = json.loads(server.client().get("/object_info"))
    known = json.loads(FILE.read_text("utf-8"))
    FILE.write_text(text_of(known | {kind: widgets_of(entry) for kind, entry in info.items()}), encoding="utf-8")


if __name__ == "__main__":
    main()
