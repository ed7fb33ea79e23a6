"""Compare what the editor sends for workflow files with what headless reads: every node, link and value.

    .comfy/venv/bin/python -m dev.compare_editor FOLDER [--front-end newest] [--address 127.0.0.1:8188]

Each file is opened in the real editor, in a browser, and its `graphToPrompt()` is taken. Printed: a line for each
difference, then the counts. Files that the editor does not open, and those that headless does not read, are named.
`--address` is a server that runs already, with the packs whose nodes the files use; otherwise one is started.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from pathlib import Path

from headless.editor import is_editor_format, to_api
from headless.workflow import WorkflowError, as_link

from . import setup_host
from .editor import open_editor
from .server import Server

WAIT = 400  # milliseconds after loading, for what the editor still mends


@dataclasses.dataclass
class Comparison:
    """Of one file: how many values were compared, and what differs. refused: why one of both does not read it."""

    values: int = 0
    differences: list[str] = dataclasses.field(default_factory=list)
    refused: str = ""


def as_sent(page, document: dict) -> dict:
    """The API format of a file, as the editor sends it; raises playwright's Error where the editor cannot."""
    page.evaluate("(document) => window.app.loadGraphData(document)", document)
    page.wait_for_timeout(WAIT)
    return page.evaluate("async () => (await window.app.graphToPrompt()).output")


def compared(ours: dict, editors: dict, installed: set[str]) -> Comparison:
    """Node by node; of a class that the editor's server does not have, the editor holds no values, so links alone."""
    result = Comparison()
    missing = {key for key in editors.keys() - ours.keys() if editors[key].get("class_type")}  # others: packs it lacks
    more = ours.keys() - editors.keys()
    result.differences += [f"node {key}: the editor has {editors[key].get('class_type')}" for key in sorted(missing)]
    result.differences += [f"node {key}: the editor has none, we {ours[key]['class_type']}" for key in sorted(more)]
    for key in ours.keys() & editors.keys():
        kind, mine, its = ours[key]["class_type"], ours[key]["inputs"], editors[key]["inputs"]
        names = [name for name in sorted(mine.keys() | its.keys()) if comparable(its.get(name), editors)]
        if kind not in installed:
            names = [name for name in names if as_link(mine.get(name)) or as_link(its.get(name))]
        result.values += len(names)
        for name in names:
            one, other = its.get(name, "nothing"), mine.get(name, "nothing")
            if one != other:
                result.differences.append(f"node {key} ({kind}), {name}: the editor has {one!r}, we {other!r}")
    return result


def comparable(value, editors: dict) -> bool:
    """Whether a connection leads to a node that the editor has too: not to a reroute whose pack it lacks."""
    link = as_link(value)
    return link is None or bool(editors.get(link[0], {}).get("class_type"))


def compare(page, info: dict, document: dict, installed: set[str]) -> Comparison:
    """info: what headless is told of the server's nodes; installed: the classes that the editor knows."""
    from playwright.sync_api import Error

    try:
        editors = as_sent(page, document)
    except Error as error:
        return Comparison(refused=f"the editor: {str(error).splitlines()[0]}")
    try:
        ours = to_api(document, info, choose=lambda words: words[0])
    except WorkflowError as error:
        return Comparison(refused=f"headless: {error}")
    return compared(ours, editors, installed)


def report(results: dict[str, Comparison]) -> str:
    opened = {name: result for name, result in results.items() if not result.refused.startswith("the editor")}
    same = [name for name, result in opened.items() if not result.differences and not result.refused]
    lines = [f"{name}: {line}" for name, result in results.items() for line in result.differences]
    lines += [f"{name}: not compared, {result.refused}" for name, result in results.items() if result.refused]
    values = sum(result.values for result in results.values())
    unequal = sum(len(result.differences) for result in results.values())
    lines.append(f"{values:,} values and links compared, {unequal} differ")
    lines.append(f"the editor opens {len(opened)} of {len(results)} files; of these equal: {len(same)}")
    return "\n".join(lines)


@contextlib.contextmanager
def opened_editor(address: str | None, front_end: str):
    """(page, object_info) of a server that runs, or of one that is started."""
    flags = ["--front-end-root", str(setup_host.newest_front_end())] if front_end == "newest" else []
    with contextlib.ExitStack() as stack:
        if not address:
            server = Server(setup_host.ROOT / "output" / "compare_editor", *flags)
            address = stack.enter_context(server).address
        page = stack.enter_context(open_editor(address, "KSampler"))
        yield page, page.evaluate("async () => await (await fetch('/object_info')).json()")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--front-end", choices=("pinned", "newest"), default="pinned")
    parser.add_argument("--address", metavar="HOST:PORT")
    args = parser.parse_args(argv)
    documents = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(args.folder.glob("*.json"))}
    with opened_editor(args.address, args.front_end) as (page, info):
        results = {
            name: compare(page, info, document, set(info))
            for name, document in documents.items()
            if is_editor_format(document)
        }
    print(report(results))
    return 1 if any(result.differences for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
