"""The widgets that a subgraph shows on its node: which inputs they are, and which values they have there.

The file holds the values by order alone. The editor restores them onto the inputs of the subgraph's definition, also
where the node leaves some out at its end; the property `proxyWidgets` of files from late 2025 names another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .graph import SUBGRAPH_INPUT, Graph

NOT_GIVEN = object()


class Socket(NamedTuple):
    """An input of a subgraph's node. slot: its index in the definition; entry: what the file has for it."""

    slot: int
    entry: dict


class Promoted:
    """The inputs of the node whose inside is `graph`, and the values of those that are widgets.

    inner: (id of a node inside, name of its widget) -> the value that the node outside has for it, without a wire
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        _, self.node = graph.outer
        self.sockets = list(_sockets(graph.interface.get("inputs") or [], self.node.get("inputs") or []))
        self.values: dict[int, object] = {}  # by the place of the socket
        self.inner: dict[tuple[str, str], object] = {}
        self._by_order()
        self._by_property()

    def at(self, slot: int) -> dict | None:
        """What the file has at the socket that the wires from input `slot` of the definition come from."""
        return self.sockets[slot].entry if slot < len(self.sockets) else None

    def value(self, slot: int) -> object:
        """The value of a widget, or NOT_GIVEN: the widget inside then has its own."""
        return self.values.get(slot, NOT_GIVEN)

    def _given(self) -> list:
        values = self.node.get("widgets_values")
        return values if isinstance(values, list) else []

    def _by_order(self) -> None:
        given = iter(self._given())
        for place, socket in enumerate(self.sockets):
            if is_widget(self.graph, socket.slot):
                value = next(given, NOT_GIVEN)
                if value is not NOT_GIVEN:
                    self.values[place] = value

    def _by_property(self) -> None:
        entries = (self.node.get("properties") or {}).get("proxyWidgets") or []
        for (node_id, name, *_), value in zip(entries, self._given(), strict=False):
            if value is None:
                continue
            place = self._place_of(str(node_id), name)
            if place is not None:
                self.values[place] = value
            else:
                self.inner[str(node_id), name] = value

    def _place_of(self, node_id: str, name: str) -> int | None:
        """The socket whose wire leads to a widget inside; of node -1, the one that is called so."""
        for place, socket in enumerate(self.sockets):
            if node_id == "-1" and socket.entry["name"] == name:
                return place
            if (node_id, name) in targets(self.graph, socket.slot):
                return place
        return None


def _sockets(definition: list[dict], entries: list[dict]) -> Iterator[Socket]:
    """What the editor makes of the inputs that the file has for a subgraph's node, and of those that it leaves out."""
    more = [dict(slot, link=None) for slot in definition[len(entries) :]]
    free = list(range(len(definition)))
    for entry in [*entries, *more]:
        same = [slot for slot in free if definition[slot]["name"] == entry["name"]]
        exact = [slot for slot in same if definition[slot].get("type") == entry.get("type")]
        for slot in (exact or same)[:1]:
            free.remove(slot)
            yield Socket(slot, entry)


def targets(graph: Graph, slot: int) -> list[tuple[str, str]]:
    """(id of a node inside, name of its input) of all that input `slot` of a subgraph is connected to, first first."""
    wires = [wire for wire in graph.wires.values() if (wire.origin, wire.origin_slot) == (SUBGRAPH_INPUT, slot)]
    order = graph.interface["inputs"][slot].get("linkIds") or []
    wires.sort(key=lambda wire: order.index(wire.id) if wire.id in order else len(order))
    found = []
    for wire in wires:
        entries = (graph.nodes.get(wire.target) or {}).get("inputs") or []
        if wire.target_slot < len(entries):
            found.append((str(wire.target), entries[wire.target_slot]["name"]))
    return found


def is_widget(graph: Graph, slot: int) -> bool:
    """Whether input `slot` of a subgraph is connected to a widget inside, of a node or of another subgraph."""
    for wire in graph.wires.values():
        if (wire.origin, wire.origin_slot) == (SUBGRAPH_INPUT, slot):
            entries = (graph.nodes.get(wire.target) or {}).get("inputs") or []
            if wire.target_slot < len(entries) and "widget" in entries[wire.target_slot]:
                return True
    return False
