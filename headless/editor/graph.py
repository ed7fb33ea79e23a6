"""A graph of the editor's file: its nodes by id, and its connections. Standard library alone."""

from __future__ import annotations

from typing import NamedTuple

from ..workflow import WorkflowError

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = -10, -20  # as the origin and the target of a wire inside a subgraph


def is_editor_format(document) -> bool:
    """Whether `document` is a workflow as the editor saves it."""
    return isinstance(document, dict) and isinstance(document.get("nodes"), list) and "links" in document


class Wire(NamedTuple):
    """A connection, in the order in which the editor writes it down."""

    id: int | str
    origin: int | str
    origin_slot: int
    target: int | str
    target_slot: int
    type: str | None = None

    @classmethod
    def read(cls, link: list | dict) -> Wire:
        """Of either way to write it down."""
        if isinstance(link, dict):
            keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
            return cls(*(link.get(key) for key in keys))
        return cls(*link[:6])

    def as_object(self) -> dict:
        """As the graphs of subgraphs hold it."""
        return {
            "id": self.id,
            "origin_id": self.origin,
            "origin_slot": self.origin_slot,
            "target_id": self.target,
            "target_slot": self.target_slot,
            "type": self.type,
        }


class Graph:
    """One graph of the file: the whole, or one use of a subgraph; `path` stands before the ids of its nodes."""

    def __init__(self, data: dict, path: str = "", outer: tuple[Graph, dict] | None = None):
        self.path, self.outer = path, outer
        self.nodes = {node["id"]: node for node in data["nodes"]}
        links = data.get("links") or []
        wires = [Wire.read(link) for link in (links.values() if isinstance(links, dict) else links) if link]
        self.wires = {wire.id: wire for wire in wires}
        self.interface = data
        self.inner: dict = {}  # id of a subgraph node -> its Graph

    def name(self, node: dict) -> str:
        """The id of a node in API format."""
        return f"{self.path}{node['id']}"

    def named(self, name: str) -> dict:
        """The node whose id in API format is `name`."""
        return next(node for node in self.nodes.values() if self.name(node) == name)


def refuse_contradictions(graph: Graph) -> None:
    """WorkflowError where a connection stands differently at an input and among the links: editors disagree then.

    Of several links to one input the input names one; a link that leads to no node is left over, and counts nowhere.
    """
    if len(graph.nodes) != len(graph.interface["nodes"]):
        raise WorkflowError("two nodes of one graph have the same id. Open it in the editor and save it again.")
    arriving: dict[tuple, set] = {}
    for wire in graph.wires.values():
        arriving.setdefault((wire.target, wire.target_slot), set()).add(wire.id)
    for node in graph.nodes.values():
        for place, slot in enumerate(node.get("inputs") or []):
            named, known = slot.get("link"), arriving.get((node["id"], place), set())
            if named in graph.wires or known:
                _refuse_other(graph, node, slot, named, known)


def _refuse_other(graph: Graph, node: dict, slot: dict, named, known: set) -> None:
    if named not in known:
        links = ", ".join(sorted(map(str, known))) or "none"
        raise WorkflowError(
            f"the file says two things about what is connected to {slot.get('name')!r} of {node['type']} (node "
            f"{graph.name(node)}): link {named} at the input, {links} among the links. Open it in the editor, connect "
            "the input again, and save it."
        )
