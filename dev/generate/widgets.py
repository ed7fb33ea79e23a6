"""Bring headless/widgets.json up to date: the widgets of every node class, as the editor makes them.

    .comfy/venv/bin/python -m dev.generate.widgets [--address 127.0.0.1:8188]

`--address` is a server that runs already, such as that of the newest ComfyUI; otherwise the test host is started. What
its schemas tell (headless/editor/widgets.py has the rule) is compared with a node of each class in the real editor;
where its extensions add widgets of their own, the editor's are written. Classes that this ComfyUI does not have stay in
the file as they are. tests/e2e/test_editor_rules.py holds the rule against the editor.
"""

from __future__ import annotations

import argparse
import json

from headless.editor.widgets import Widget, widgets_of
from headless.object_info import is_core

from .. import setup_host
from ..compare_editor import opened_editor

FILE = setup_host.ROOT / "headless" / "widgets.json"
OURS = "custom_nodes.comfyui-safree"
# A fresh node of each class: what the editor keeps in the file, and what it sends.
FRESH = """() => {
    const plain = (value) => (value === undefined ? null : JSON.parse(JSON.stringify(value)));
    const found = {};
    for (const kind of Object.keys(window.LiteGraph.registered_node_types)) {
        const node = window.LiteGraph.createNode(kind);
        if (!node?.comfyClass || node.isVirtualNode) continue;
        window.app.graph.add(node);
        found[kind] = (node.widgets ?? []).filter((widget) => widget.serialize !== false).map((widget) => ({
            name: widget.name,
            default: plain(widget.value),
            sent: widget.options?.serialize !== false,
            dynamic: Boolean(widget.dynamicPrompts),
        }));
        window.app.graph.remove(node);
    }
    return found;
}"""


def of_editor(fresh: dict) -> tuple[Widget, ...]:
    return tuple(Widget(**entry) for entry in fresh)


def settled(widgets: tuple[Widget, ...]) -> list[tuple[str, bool, bool]]:
    """(name, sent, dynamic) of the widgets of a fresh node: a choice's first way is open."""
    found = []
    for widget in widgets:
        if not widget.forced:
            found.append((widget.name, widget.sent, widget.dynamic))
            found += settled(widget.options.get(widget.default, ())) if widget.options else []
    return found


def joined(told: tuple[Widget, ...], seen: tuple[Widget, ...]) -> tuple[Widget, ...]:
    """The widgets by the schema where the editor makes the same of it; otherwise the editor's."""
    return told if settled(told) == settled(seen) else seen


def entry_of(widget: Widget) -> list:
    """A widget in the file, as Widget.read takes it."""
    flags = {"unsent": not widget.sent, "dynamic": widget.dynamic, "forced": widget.forced}
    entry = [widget.name, widget.default, *(name for name, there in flags.items() if there)]
    if widget.options is None:
        return entry
    return [*entry, {value: list(map(entry_of, widgets)) for value, widgets in widget.options.items()}]


def text_of(table: dict[str, list | str]) -> str:
    """The file: a line for each class, without spaces, since it is published."""
    lines = (
        f"{json.dumps(kind, ensure_ascii=False)}:{json.dumps(entries, ensure_ascii=False, separators=(',', ':'))}"
        for kind, entries in sorted(table.items())
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", metavar="HOST:PORT")
    args = parser.parse_args(argv)
    table = json.loads(FILE.read_text("utf-8"))
    with opened_editor(args.address, "pinned") as (page, info):
        fresh = page.evaluate(FRESH)
    for kind, entry in info.items():
        if is_core(entry) or entry.get("python_module") == OURS:
            told = widgets_of(entry)
            widgets = joined(told, of_editor(fresh[kind])) if kind in fresh else told
            if widgets != told:
                print(f"{kind}: the editor's {settled(widgets)}, the schema's {settled(told)}")
            table[kind] = [entry_of(one) for one in widgets]
    FILE.write_text(text_of(table), encoding="utf-8")


if __name__ == "__main__":
    main()
