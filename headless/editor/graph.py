"""A graph of the editor's file: its nodes by id, and its connections. Standard library alone."""

from __future__ import annotations

from typing import NamedTuple

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
