"""Bring what guard did to a workflow into the editor's file of it: positions, groups, titles and subgraphs stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from ..workflow import WorkflowError, as_link
from .conversion import Conversion
from .graph import Graph, Wire
from .new_nodes import SOCKETS, blank, fill, free_place, size
from .sources import Given
from .widgets import names_of
from .wiring import Wiring


def edited(document: dict, before: dict, after: dict, object_info: dict | None = None) -> dict:
    """The editor's `document` of the nodes `before`, with the changes that lead to `after` (both in API format).

    Raises WorkflowError where they cannot be drawn there: inside group nodes, or where a new node would need a
    connection into a subgraph that is not there.
    """
    whole = copy.deepcopy(document)
    editing = _Editing(whole, Conversion(whole, object_info or {}), before, after)
    for path, keys in editing.changed_by_graph().items():
        graph = editing.graphs[path]
        if graph.interface.get("group"):
            raise WorkflowError("a prompt stands inside a group node, which cannot be edited here.")
        for key in editing.new_nodes_for(keys):
            editing.add(graph, key)
        for key in keys:
            editing.change(graph, key)
    whole["last_node_id"], whole["last_link_id"] = editing.last_node_id, editing.wiring.last_id
    return whole


class _Editing:
    """One file while it is changed.

    places: by graph, where in it an (id, slot) of the API format can be connected: (origin, slot, type)
    new: the ids that are new in `after`, with the ids of what uses them
    """

    def __init__(self, whole: dict, conversion: Conversion, before: dict, after: dict):
        self.conversion, self.before, self.after = conversion, before, after
        self.graphs = conversion.graphs()
        self.places = {path: dict(self._outputs_in_reach(graph)) for path, graph in self.graphs.items()}
        self.last_node_id = max(_whole_numbers(node["id"] for nodes, _ in _lists(whole) for node in nodes), default=0)
        wires = [Wire.read(link) for _, links in _lists(whole) for link in links if link]
        self.wiring = Wiring(max(_whole_numbers(wire.id for wire in wires), default=0))
        self.new = {key: self._users(key) for key in after.keys() - before.keys()}

    def _outputs_in_reach(self, graph: Graph) -> Iterator[tuple[tuple, tuple]]:
        for node in graph.nodes.values():
            for slot in node.get("inputs") or []:
                wire = graph.wires.get(slot.get("link"))
                real = self.conversion.sources.of(graph, slot) if wire else None
                if real and not isinstance(real, Given):
                    yield real, (wire.origin, wire.origin_slot, wire.type)

    def _users(self, key: str) -> list[str]:
        return [user for user, node in self.after.items() if key in _sources(node)]

    def changed_by_graph(self) -> dict[str, list[str]]:
        """The ids of what `after` has otherwise than `before`, by the path of their graph."""
        found: dict[str, list[str]] = {}
        for key, node in self.after.items():
            if key in self.before and node != self.before[key]:
                found.setdefault(_path(key), []).append(key)
        return found

    def new_nodes_for(self, keys: list[str]) -> list[str]:
        """The new nodes that nodes `keys` need, sources first."""
        found: dict[str, None] = {}

        def visit(key: str) -> None:
            for source in _sources(self.after[key]):
                if source in self.new and source not in found:
                    visit(source)
                    found[source] = None

        for key in keys:
            visit(key)
        return list(found)

    def add(self, graph: Graph, key: str) -> None:
        """Draw a new node to the left of what it is for."""
        self.last_node_id += 1
        entry = self.after[key]
        node = blank(self.last_node_id, entry)
        self._fill(graph, node, entry)
        node["size"] = size(node)
        node["pos"] = free_place(graph, node["size"], self._old_user(graph, key))
        graph.nodes[self.last_node_id] = node
        graph.interface["nodes"].append(node)
        for slot, kind in enumerate(SOCKETS[node["type"]][1]):
            self.places[graph.path][(key, slot)] = (self.last_node_id, slot, kind)

    def _old_user(self, graph: Graph, key: str) -> dict:
        """A node of this graph that a new node is for, by way of other new ones."""
        waiting = list(self.new[key])
        while waiting:
            user = waiting.pop(0)
            if user in self.new:
                waiting += self.new[user]
            elif _path(user) == graph.path:
                return graph.named(user)
        raise WorkflowError("a new node would stand in another graph than what it is for.")

    def change(self, graph: Graph, key: str) -> None:
        """Give a node that stays its new class, or its new inputs."""
        node, old, new = graph.named(key), self.before[key], self.after[key]
        if new["class_type"] != old["class_type"]:
            self._replace(graph, node, old, new)
            return
        for name, value in new["inputs"].items():
            if value != old["inputs"].get(name):
                self._set(graph, node, name, value)

    def _replace(self, graph: Graph, node: dict, old: dict, new: dict) -> None:
        """Make a node one of another class, in the same place and with the same uses."""
        given = list(self._values_from_elsewhere(graph, node, old))
        for slot in node.get("inputs") or []:
            self.wiring.disconnect(graph, slot)
        outputs = node["outputs"]
        node |= {"type": new["class_type"], "widgets_values": []}
        node.setdefault("properties", {})["Node name for S&R"] = new["class_type"]
        self._fill(graph, node, new)
        node["outputs"] = outputs + node["outputs"][len(outputs) :]
        for value, place in given:
            same = [name for name in names_of(node["type"]) if new["inputs"].get(name) == value]
            if not same:
                raise WorkflowError("a value from outside a subgraph, or from a primitive node, would be lost.")
            self.wiring.connect(graph, node, same[0], place)

    def _values_from_elsewhere(self, graph: Graph, node: dict, old: dict) -> Iterator[tuple[object, tuple]]:
        """(value, (origin, slot, type)) of inputs whose value a primitive node, or the subgraph's own widget, gives."""
        for slot in node.get("inputs") or []:
            wire, value = graph.wires.get(slot.get("link")), old["inputs"].get(slot["name"])
            if wire and value is not None and not as_link(value):
                yield value, (wire.origin, wire.origin_slot, wire.type)

    def _fill(self, graph: Graph, node: dict, entry: dict) -> None:
        fill(node, entry)
        for name, value in entry["inputs"].items():
            if link := as_link(value):
                self.wiring.connect(graph, node, name, self._place(graph, link))

    def _set(self, graph: Graph, node: dict, name: str, value) -> None:
        """Give an input of a node another value or connection."""
        slot = next((one for one in node.get("inputs") or [] if one["name"] == name), None)
        if slot is not None:
            self.wiring.disconnect(graph, slot)
        if link := as_link(value):
            self.wiring.connect(graph, node, name, self._place(graph, link))
            return
        places = [place for widget, _, place in self.conversion.widgets(graph, node) if widget.name == name]
        if not places or places[0] is None:
            raise WorkflowError(f"{node['type']} has no {name} that could be changed here.")
        node["widgets_values"][places[0]] = value

    def _place(self, graph: Graph, link: tuple) -> tuple:
        """(origin, slot, type) in this graph of a link in API format."""
        if link in self.places[graph.path]:
            return self.places[graph.path][link]
        if link[0] in self.before and _path(link[0]) == graph.path:
            node = graph.named(link[0])
            return node["id"], link[1], node["outputs"][link[1]].get("type", "*")
        raise WorkflowError("a new node would need a connection into a subgraph that is not there.")


def _lists(whole: dict) -> Iterator[tuple[list, list]]:
    """(nodes, links) of the file's graph and of each of its subgraphs."""
    yield whole["nodes"], whole.get("links") or []
    for graph in (whole.get("definitions") or {}).get("subgraphs") or []:
        yield graph["nodes"], graph.get("links") or []


def _sources(node: dict) -> set[str]:
    """The ids of what the inputs of a node in API format are connected to."""
    return {link[0] for link in map(as_link, node["inputs"].values()) if link}


def _whole_numbers(ids) -> list[int]:
    return [one for one in ids if isinstance(one, int)]


def _path(key: str) -> str:
    """Of an id in API format, what stands before the node's own: '12:' of '12:3'."""
    return key[: key.rfind(":") + 1]
