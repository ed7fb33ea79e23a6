"""An API-format workflow as a graph: reading, walking its links, writing. Standard library alone."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

Link = tuple[str, int]  # node id and output slot that an input is connected to


class WorkflowError(ValueError):
    """Not an API-format workflow, or a file that cannot be read or written; the text says what to do."""


class NeedsServer(WorkflowError):
    """A file of the editor whose values have no names here; a server that has the nodes knows them."""


class Workflow:
    """`nodes` maps ids, such as '6' or '12:3' inside a subgraph, to {'class_type': str, 'inputs': dict}."""

    def __init__(self, nodes: dict):
        if isinstance(nodes, dict) and isinstance(nodes.get("nodes"), list):
            raise WorkflowError(
                "this is the editor's own format. Open it in the editor and save it with Workflow > Export (API); in "
                "older editors turn on 'Dev mode' in the settings first."
            )
        if not isinstance(nodes, dict) or not nodes:
            raise WorkflowError("a workflow in API format is a JSON object of nodes; this is something else.")
        for key, node in nodes.items():
            whole = isinstance(node, dict) and isinstance(node.get("class_type"), str)
            if not whole or not isinstance(node.get("inputs", {}), dict):
                raise WorkflowError(
                    f"node {key[:80]!r} has no class_type or no inputs. The editor exports it so when its node pack is "
                    "not installed: install it, or delete the node, and export again."
                )
        self.nodes = nodes

    def __contains__(self, node: str) -> bool:
        return node in self.nodes

    def kind(self, node: str) -> str:
        return self.nodes[node]["class_type"]

    def inputs(self, node: str) -> dict:
        return self.nodes[node].get("inputs", {})

    def link(self, node: str, name: str) -> Link | None:
        """What input `name` is connected to; None for a value, and for an input that is not there."""
        return as_link(self.inputs(node).get(name))

    def links(self, node: str) -> Iterator[tuple[str, Link]]:
        """(input name, link) of each connected input."""
        for name, value in self.inputs(node).items():
            if link := as_link(value):
                yield name, link

    def label(self, node: str) -> str:
        return f"{self.kind(node)} (node {node})" if node in self else f"node {node}"

    def before(self, node: str, name: str) -> set[str]:
        """The ids of all nodes that input `name` of `node` is made from."""
        found: set[str] = set()
        waiting = [link[0] for link in [self.link(node, name)] if link]
        while waiting:
            source = waiting.pop()
            if source in self and source not in found:
                found.add(source)
                waiting += [link[0] for _, link in self.links(source)]
        return found

    def new_id(self) -> str:
        """A number that no node has, inside a subgraph or outside."""
        numbers = [int(part) for key in self.nodes for part in key.split(":") if part.isascii() and part.isdigit()]
        return str(max(numbers, default=0) + 1)


def as_link(value) -> Link | None:
    """`value` as ComfyUI reads it: a list of a node id and a number is a connection, all else a value.

    A list in {"__value__": ...} is meant as a value, but ComfyUI unwraps it before it looks for connections.
    """
    if isinstance(value, dict):
        value = value.get("__value__")
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], (int, float)):
        return value[0], int(value[1]) if isinstance(value[1], int) else -1  # true is slot 1, 0.5 is none
    return None


def read_json(path: str | Path):
    """The JSON in a file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"{path} is not JSON ({error}).") from error


def write(document: dict, path: Path, overwrite: bool = False) -> None:
    """Write to a temporary file beside `path` and rename it; an existing file stays unless `overwrite`."""
    if path.exists() and not overwrite:
        raise WorkflowError(f"{path} exists already. Choose another name, or pass --overwrite.")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from error
