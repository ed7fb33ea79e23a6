"""The folders inside host/ and bench/, read from their source: imports go one way, and no module is in a circle.

Run with `-s` to see the picture: a line for each folder, those that import nothing of their own first.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest
from test_imports import LAYERS, ROOT, TOOLS, sources

EVERYWHERE = {"compat", "folders"}  # of host/: what differs between versions of ComfyUI, and where files are
# Each folder, and those of its neighbours that it may import.
HOST = {
    "text": set(),
    "data": set(),
    "features": set(),
    "conditioning": {"text", "data"},
    "report": {"conditioning", "text", "data"},
    "prompt": {"report", "conditioning", "text", "data"},
    "latent": {"features", "report", "conditioning", "data"},
    "reattention": {"features", "conditioning"},
    "sampling": {"latent", "report", "conditioning"},
    "gate": {"latent", "report", "features", "data", "text"},
    "measure": {"prompt", "report", "conditioning", "text", "data"},
}
BENCH = {
    "run": set(),
    "world": {"run"},
    "pictures": {"world", "run"},
    "unasked": {"world", "run"},
    "cost": {"world", "run"},
    "attacks": {"world", "run"},
    "language": {"world", "run"},
    "paper": {"world", "run"},
}
EVERY_FOLDER = (*LAYERS, *TOOLS)


def imported(path: Path) -> set[tuple[str, ...]]:
    """Every module or name inside the repository that a file imports, as the parts of its dotted name."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            found |= {(*base, alias.name) for alias in node.names}
    return found


def neighbours(folder: str) -> dict[str, set[str]]:
    """For each folder inside `folder`, the others of them, and the files beside them, that it imports."""
    inside = {path.name for path in (ROOT / folder).iterdir() if (path / "__init__.py").exists()}
    known = inside | {path.stem for path in (ROOT / folder).glob("*.py")}
    picture: dict[str, set[str]] = {name: set() for name in inside}
    for path in sources(folder):
        parts = path.relative_to(ROOT / folder).parts
        if len(parts) > 1:
            names = {name[1] for name in imported(path) if name[0] == folder and len(name) > 1}
            picture[parts[0]] |= names & known - {parts[0]}
    return picture


def modules() -> dict[str, set[str]]:
    """Each module of the repository that is not a test, and those that it imports."""
    paths = {path for folder in EVERY_FOLDER for path in sources(folder)}
    by_name = {path.relative_to(ROOT).with_suffix("").parts: path for path in paths}
    graph = {}
    for name, path in by_name.items():
        found = {one if one in by_name else one[:-1] for one in imported(path)}
        graph[".".join(name)] = {".".join(one) for one in found if one in by_name}
    return graph


@pytest.mark.parametrize(("folder", "allowed"), [("host", HOST), ("bench", BENCH)], ids=["host", "bench"])
def test_imports_between_neighbours_go_one_way(folder, allowed):
    picture = neighbours(folder)
    for name in graphlib.TopologicalSorter(allowed).static_order():
        if name in picture:
            print(f"{folder}/{name:13}{' '.join(sorted(picture[name])) or '-'}")
    assert set(picture) <= set(allowed), "a new folder needs a line that says what it may import"
    wrong = {name: found - allowed[name] - EVERYWHERE for name, found in picture.items()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_no_module_is_in_a_circle():
    graph = modules()
    assert len(graph) > 100
    assert "host.prompt.guard" in graph["host.prompt.pictures"]
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
