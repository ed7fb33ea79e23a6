"""Connections of the editor's file, made and cut in every place where the file notes them."""

from __future__ import annotations

from .graph import SUBGRAPH_INPUT, Graph, Wire
from .widgets import names_of


class Wiring:
    """Makes and cuts wires in the graphs of one file; `last_id` is the highest id of a wire so far."""

    def __init__(self, last_id: int):
        self.last_id = last_id

    def connect(self, graph: Graph, node: dict, name: str, place: tuple) -> None:
        """Connect input `name` of a node with `place`, the (origin, slot, type) of an output in this graph."""
        origin, origin_slot, kind = place
        slot = self._slot(node, name, kind)
        self.last_id += 1
        slot |= {"link": self.last_id, "type": kind if slot["type"] == "*" else slot["type"]}
        wire = Wire(self.last_id, origin, origin_slot, node["id"], node["inputs"].index(slot), kind)
        graph.wires[wire.id] = wire
        graph.interface["links"].append(wire.as_object() if graph.outer else list(wire))
        self._ends(graph, origin, origin_slot).append(wire.id)

    def disconnect(self, graph: Graph, slot: dict) -> None:
        """Leave an input slot of a node without a connection."""
        wire = graph.wires.pop(slot.get("link"), None)
        slot["link"] = None
        if wire is None:
            return
        links = graph.interface["links"]
        links[:] = [link for link in links if link and Wire.read(link).id != wire.id]
        ends = self._ends(graph, wire.origin, wire.origin_slot)
        ends[:] = [one for one in ends if one != wire.id]

    @staticmethod
    def _slot(node: dict, name: str, kind: str) -> dict:
        """The slot of an input; a new one where the file has none, as of a widget that was never connected."""
        slot = next((one for one in node["inputs"] if one["name"] == name), None)
        if slot is None:
            widget = {"widget": {"name": name}} if name in names_of(node["type"]) else {}
            slot = {"name": name, "type": kind, "link": None} | widget
            node["inputs"].append(slot)
        return slot

    @staticmethod
    def _ends(graph: Graph, origin, slot: int) -> list:
        """The ids of the wires that begin at an output."""
        if origin == SUBGRAPH_INPUT:
            return graph.interface["inputs"][slot].setdefault("linkIds", [])
        output = graph.nodes[origin]["outputs"][slot]
        output["links"] = output.get("links") or []
        return output["links"]
