"""Where an input of the editor's graph really comes from: past reroutes, bypassed nodes and the walls of subgraphs."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from ..workflow import WorkflowError
from .graph import SUBGRAPH_INPUT, SUBGRAPH_OUTPUT, Graph, Wire
from .promoted import NOT_GIVEN, Promoted, is_widget

MUTED, BYPASSED = 2, 4  # `mode` of a node
LONGEST = 200  # nodes in a row that only pass a link on
ANY = ("*", "", 0, None)
REROUTES = {"Reroute", "Reroute (rgthree)"}
SETTERS, GETTERS = {"SetNode", "easy setNode"}, {"GetNode", "easy getNode"}
PRIMITIVE = "PrimitiveNode"


class Given(NamedTuple):
    """A value instead of a connection: of a primitive node, or `promoted`, of a widget that a subgraph shows.

    value: NOT_GIVEN where the widget inside the subgraph keeps its own
    """

    value: object
    promoted: bool = False


# (id in API format, slot) of a node that runs, or a value; None where nothing arrives.
Source = tuple[str, int] | Given | None


def is_off(node: dict) -> bool:
    return node.get("mode") in (MUTED, BYPASSED)


class Sources:
    """inside: the graph within a node of a subgraph; subgraphs: the classes of such nodes."""

    def __init__(self, inside: Callable[[Graph, dict], Graph], subgraphs: Container[str]):
        self._inside, self._subgraphs = inside, subgraphs
        self._promoted: dict[str, Promoted] = {}

    @staticmethod
    def passes_on(kind: str) -> bool:
        """Whether the nodes of a class only stand for other connections, or for a value."""
        return kind in REROUTES or kind in SETTERS or kind in GETTERS or kind == PRIMITIVE

    def promoted(self, graph: Graph) -> Promoted:
        """What the node around `graph`, the inside of a subgraph, shows of it."""
        if graph.path not in self._promoted:
            self._promoted[graph.path] = Promoted(graph)
        return self._promoted[graph.path]

    def of(self, graph: Graph, slot: dict, kind=None, depth: int = 0) -> Source:
        """What arrives at an input.

        kind: the type that is asked for, where it is not that of `slot`
        """
        wire = graph.wires.get(slot.get("link"))
        if depth > LONGEST:
            raise WorkflowError("connections of this workflow run in a circle.")
        return self._origin(graph, wire, kind or slot.get("type"), depth + 1) if wire else None

    def _origin(self, graph: Graph, wire: Wire, kind, depth: int) -> Source:
        if wire.origin == SUBGRAPH_INPUT:
            return self._from_outside(graph, wire.origin_slot, depth)
        node = graph.nodes.get(wire.origin)
        if node is None or node.get("mode") == MUTED:
            return None
        if node.get("mode") == BYPASSED:
            return self._past(graph, node, wire.origin_slot, kind, depth)
        if node["type"] in self._subgraphs:
            return self._from_inside(self._inside(graph, node), wire.origin_slot, kind, depth)
        if node["type"] == PRIMITIVE:
            values = node.get("widgets_values") or []
            return Given(values[0]) if values else None
        if self.passes_on(node["type"]):
            return self._passed_on(graph, node, kind, depth)
        return graph.name(node), wire.origin_slot

    def _passed_on(self, graph: Graph, node: dict, kind, depth: int) -> Source:
        """Of a reroute, and of nodes that set or get a connection by its name."""
        place = self._setter(graph, node) if node["type"] in GETTERS else (graph, node)
        slots = (place[1].get("inputs") or []) if place else []
        return self.of(place[0], slots[0], kind, depth) if slots else None

    @staticmethod
    def _setter(graph: Graph | None, getter: dict) -> tuple[Graph, dict] | None:
        """The node that sets what `getter` gets, in its graph or in one around it."""
        name = (getter.get("widgets_values") or [None])[0]
        while graph is not None:
            for node in graph.nodes.values():
                if node["type"] in SETTERS and (node.get("widgets_values") or [None])[0] == name:
                    return graph, node
            graph = graph.outer[0] if graph.outer else None
        return None

    def _past(self, graph: Graph, node: dict, slot: int, kind, depth: int) -> Source:
        """What a bypassed node passes on of what is connected to it, for an input of type `kind`."""
        inputs, outputs = node.get("inputs") or [], node.get("outputs") or []
        given = outputs[slot].get("type") if slot < len(outputs) else kind
        place = _beside(inputs, slot, given, kind)
        return self.of(graph, inputs[place], None, depth) if place is not None else None

    def _from_outside(self, graph: Graph, slot: int, depth: int) -> Source:
        """What comes into a subgraph at its input `slot`."""
        outer, _ = graph.outer
        if graph.interface.get("group"):
            return self._from_outside_group(graph, slot, depth)
        promoted = self.promoted(graph)
        entry = promoted.at(slot)
        if entry is None:
            return None
        if entry.get("link") is not None:
            return self.of(outer, entry, None, depth)
        return Given(promoted.value(slot), True) if is_widget(graph, promoted.sockets[slot].slot) else None

    def _from_outside_group(self, graph: Graph, slot: int, depth: int) -> Source:
        outer, node = graph.outer
        name, entries = graph.interface["inputs"][slot]["name"], node.get("inputs") or []
        if isinstance(name, int):  # by place
            entries = [entry for entry in entries if "widget" not in entry][name : name + 1]
        else:
            entries = [entry for entry in entries if entry["name"] == name][:1]
        return self.of(outer, entries[0], None, depth) if entries else None

    def _from_inside(self, graph: Graph, slot: int, kind, depth: int) -> Source:
        """What comes out of a subgraph at its output `slot`."""
        for wire in graph.wires.values():
            if wire.target == SUBGRAPH_OUTPUT and wire.target_slot == slot:
                source = self._origin(graph, wire, kind, depth)
                return None if isinstance(source, Given) and source.value is NOT_GIVEN else source
        return None


def _beside(inputs: list[dict], slot: int, given, wanted) -> int | None:
    """The input of a bypassed node that stands for its output `slot` of type `given`, where `wanted` is asked for."""
    if wanted in ANY:
        return (slot if slot < len(inputs) else 0) if inputs else None
    places = [slot, *range(len(inputs))] if slot < len(inputs) else list(range(len(inputs)))
    fit = [place for place in places if fits(inputs[place].get("type"), given) and fits(inputs[place]["type"], wanted)]
    if fit and fit[0] == slot:
        return slot
    exact = [place for place in range(len(inputs)) if inputs[place].get("type") == wanted]
    return next(iter(exact or fit), None)


def fits(one, other) -> bool:
    """Whether the editor connects an output of one type with an input of the other."""
    if one in ANY or other in ANY:
        return True
    names = [{part.strip().lower() for part in str(kind).split(",")} for kind in (one, other)]
    return bool(names[0] & names[1])
