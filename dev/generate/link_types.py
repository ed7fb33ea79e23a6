"""Write headless/link_types.json: the types of the inputs and outputs of ComfyUI's own node classes and of ours.

    .comfy/venv/bin/python -m dev.generate.link_types [--object-info FILE]

FILE is a saved answer to GET /object_info, such as the newest ComfyUI's; otherwise the test host is asked. Classes that
it does not have stay in the file as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from headless.object_info import TEXT_TYPES, is_core

from .. import setup_host
from ..server import Server
from .widgets import OURS

FILE = setup_host.ROOT / "headless" / "link_types.json"
GROWING, CHOICE, SAME = "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3", "COMFY_MATCHTYPE_V3"


def inputs_of(entry: dict) -> dict[str, str]:
    """Type by name; a name's last '*' stands for any ending."""
    groups = [entry["input"].get(group) or {} for group in ("required", "optional")]
    return {name: kind for group in groups for one, spec in group.items() for name, kind in of_input(one, spec)}


def of_input(name: str, spec: list) -> Iterator[tuple[str, str]]:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if kind == GROWING:
        template = options["template"]["input"]
        inside = next(iter({**(template.get("required") or {}), **(template.get("optional") or {})}.values()))
        yield f"{name}.*", next(iter(of_input("", inside)), ("", "*"))[1]
    elif kind == CHOICE:
        yield name, "COMBO"
        for option in options["options"]:
            for sub, one in inputs_of({"input": option["inputs"]}).items():
                yield f"{name}.{sub}", one
    elif kind == SAME:
        yield name, options.get("template", {}).get("allowed_types", "*")
    else:
        yield name, "COMBO" if isinstance(kind, list) else kind


def entry_of(entry: dict) -> list:
    """[types of the inputs by name, but for numbers and texts, and types of the outputs]."""
    outputs = entry.get("output") or []
    inputs = {name: kind for name, kind in inputs_of(entry).items() if kind not in TEXT_TYPES}
    return [inputs, ["*" if kind == SAME else kind if isinstance(kind, str) else "COMBO" for kind in outputs]]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--object-info", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.object_info:
        info = json.loads(args.object_info.read_text("utf-8"))
    else:
        with Server(setup_host.ROOT / "output" / "link_types") as server:
            info = server.client().get_json("/object_info")
    table = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    table |= {kind: entry_of(one) for kind, one in info.items() if is_core(one) or one.get("python_module") == OURS}
    lines = (f"{json.dumps(kind)}:{json.dumps(entry, separators=(',', ':'))}" for kind, entry in sorted(table.items()))
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
