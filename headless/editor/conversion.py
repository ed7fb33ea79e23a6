"""The editor's own workflow format to API format, as the editor converts it when it queues: subgraphs, group nodes,
bypassed and muted nodes, reroutes, primitives. Standard library alone.

The file names the values of a node's widgets by their order only. Which names they have is told by a running server
(GET /object_info), by the file itself where a newer editor wrote it, or by widgets.json beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..workflow import WorkflowError, as_link
from .graph import SUBGRAPH_INPUT, SUBGRAPH_OUTPUT, Graph, Wire
from .group_nodes import subgraph_of_group
from .widgets import CONTROLS, known_widgets, paired, values_of_seeds, widgets_of

MUTED, BYPASSED = 2, 4  # `mode` of a node
DEEPEST = 50  # subgraphs within each other
LONGEST = 200  # nodes in a row that only pass a link on
# Nodes of the editor alone, which the server never sees.
NOTES = {"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"}
SWITCHES = (
    "Fast ",
    "Mute / Bypass",
    "Random Unmuter",
    "Node Collector",
)  # of rgthree: they change modes, saved as such
REROUTES = {"Reroute", "Reroute (rgthree)"}
UNSEEN = {
    "Anything Everywhere",
    "Anything Everywhere?",
    "Anything Everywhere3",
    "Prompts Everywhere",
    "Seed Everywhere",
}


def to_api(document: dict, object_info: dict | None = None) -> dict:
    """The nodes of a saved workflow in API format.

    object_info: a server's answer to GET /object_info, for the widgets of node classes that are not known here
    Raises WorkflowError where the editor itself would be needed; the text says for what.
    """
    try:
        return Conversion(document, object_info or {}).nodes()
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        if isinstance(error, WorkflowError):
            raise
        raise WorkflowError(f"this workflow of the editor is damaged ({type(error).__name__}: {error}).") from error


class Conversion:
    def __init__(self, document: dict, object_info: dict):
        self.info = object_info
        definitions = document.get("definitions") or {}
        self.subgraphs = {graph["id"]: graph for graph in definitions.get("subgraphs") or []}
        for name, group in ((document.get("extra") or {}).get("groupNodes") or {}).items():
            for kind in (f"workflow>{name}", f"workflow/{name}"):
                self.subgraphs[kind] = subgraph_of_group(group)
        self.root = Graph(document)

    def nodes(self) -> dict:
        found = {}
        for graph, node in self._all(self.root, 0):
            found[graph.name(node)] = self._node(graph, node)
        if not found:
            raise WorkflowError("no node of this workflow would run: all are muted, bypassed or notes.")
        for node in found.values():  # as the editor does with what a muted node leaves
            gone = [name for name, value in node["inputs"].items() if as_link(value) and value[0] not in found]
            for name in gone:
                del node["inputs"][name]
        return found

    def graphs(self) -> dict[str, Graph]:
        """Every graph of the file that runs, by the path before the ids of its nodes."""
        return {graph.path: graph for graph, _ in self._all(self.root, 0)} | {"": self.root}

    def _all(self, graph: Graph, depth: int) -> Iterator[tuple[Graph, dict]]:
        """Every node that runs, with the graph that it stands in."""
        if depth > DEEPEST:
            raise WorkflowError("the subgraphs of this workflow contain each other.")
        for node in sorted(graph.nodes.values(), key=lambda node: node.get("order", 0)):
            kind = node["type"]
            if node.get("mode") in (MUTED, BYPASSED) or self._is_virtual(node):
                continue
            if kind in UNSEEN:
                raise WorkflowError(f"{kind} (node {graph.name(node)}) makes connections that the file does not hold.")
            if kind in self.subgraphs:
                yield from self._all(self._inside(graph, node), depth + 1)
            else:
                yield graph, node

    def _inside(self, graph: Graph, node: dict) -> Graph:
        if node["id"] not in graph.inner:
            data = self.subgraphs[node["type"]]
            graph.inner[node["id"]] = Graph(data, f"{graph.name(node)}:", (graph, node))
            if data.get("group"):
                self._spread(graph.inner[node["id"]], node)
        return graph.inner[node["id"]]

    def _spread(self, graph: Graph, group: dict) -> None:
        """Give the widgets of a group node, and what is connected to them, to the nodes inside."""
        values = list(group.get("widgets_values") or [])
        entries = iter([slot for slot in group.get("inputs") or [] if "widget" in slot])
        graph.interface = {**graph.interface, "inputs": list(graph.interface["inputs"])}
        for node in list(graph.nodes.values()):
            node = graph.nodes[node["id"]] = {**node, "inputs": [dict(slot) for slot in node.get("inputs") or []]}
            own = []
            for name, _ in self.widgets(graph, node):
                own.append(values.pop(0))
                if values and values[0] in CONTROLS and "seed" in name.lower():
                    own.append(values.pop(0))
                if (entry := next(entries, None)) and entry.get("link") is not None:
                    self._connect(graph, node, name, entry)
            node["widgets_values"] = own

    def _connect(self, graph: Graph, node: dict, name: str, entry: dict) -> None:
        """Let what is connected to a widget `entry` of a group node arrive at widget `name` of a node inside."""
        slot = next((one for one in node["inputs"] if one["name"] == name), None)
        if slot is None:
            slot = {"name": name, "widget": {"name": name}}
            node["inputs"].append(slot)
        wire_id = f"outside {len(graph.wires)}"
        slot["link"] = wire_id
        place = len(graph.interface["inputs"])
        graph.wires[wire_id] = Wire(wire_id, SUBGRAPH_INPUT, place, node["id"], 0, entry.get("type"))
        graph.interface["inputs"].append({"name": entry["name"]})

    @staticmethod
    def _is_virtual(node: dict) -> bool:
        kind = node["type"]
        virtual = NOTES | REROUTES | {"PrimitiveNode", "SetNode", "GetNode"}
        return kind in virtual or (kind.endswith("(rgthree)") and kind.startswith(SWITCHES))

    def _node(self, graph: Graph, node: dict) -> dict:
        inputs = dict(self.widgets(graph, node))
        for slot in node.get("inputs") or []:
            source = self.source(graph, slot, 0) if slot.get("link") is not None else None
            if source is None and slot.get("link") is not None and "widget" not in slot:
                inputs.pop(slot["name"], None)
            elif source is not None:
                inputs[slot["name"]] = source[0] if len(source) == 1 else list(source)
        title = node.get("title") or node["type"]
        return {"inputs": inputs, "class_type": node["type"], "_meta": {"title": title}}

    def widgets(self, graph: Graph, node: dict) -> Iterator[tuple[str, object]]:
        """(name, value) of each widget of a node."""
        values = node.get("widgets_values")
        if isinstance(values, dict):  # some packs write names
            yield from ((name, value) for name, value in values.items() if name != "videopreview")
            return
        values = list(values or [])
        yield from paired(self.widget_names(graph, node, values), values)

    def widget_names(self, graph: Graph, node: dict, values: list) -> list[str]:
        """The names of a node's widgets, in the order of their values."""
        if not values:
            return []
        kind = node["type"]
        if info := self.info.get(kind):
            return widgets_of(info)
        told = [slot["widget"]["name"] for slot in node.get("inputs") or [] if "widget" in slot]
        if kind in known_widgets() and len(told) <= len(known_widgets()[kind]):
            return known_widgets()[kind]
        if sum(1 for _ in paired(told, values)) == len(told) and len(told) >= len(values) - values_of_seeds(values) - 1:
            return told
        raise WorkflowError(
            f"which values {kind} (node {graph.name(node)}) has, is told by a server that has it: pass --server or "
            "--object-info. Or export the workflow in the editor: Workflow > Export (API)."
        )

    def source(self, graph: Graph, slot: dict, depth: int) -> tuple | None:
        """(id, slot) of what really arrives at an input, (value,) of a primitive node, None where nothing does."""
        wire = graph.wires.get(slot["link"])
        return self._origin(graph, wire, depth) if wire else None

    def _origin(self, graph: Graph, wire: Wire, depth: int) -> tuple | None:
        if depth > LONGEST:
            raise WorkflowError("connections of this workflow run in a circle.")
        depth += 1
        if wire.origin == SUBGRAPH_INPUT:
            return self._from_outside(graph, wire.origin_slot, depth)
        node = graph.nodes.get(wire.origin)
        if node is None or node.get("mode") == MUTED:
            return None
        inputs = node.get("inputs") or []
        if node.get("mode") == BYPASSED:
            return self._past(graph, node, wire, depth)
        if node["type"] in REROUTES:
            return self.source(graph, inputs[0], depth) if inputs and inputs[0].get("link") is not None else None
        if node["type"] == "PrimitiveNode":
            values = node.get("widgets_values") or []
            return (values[0],) if values else None
        if node["type"] == "GetNode":
            return self._from_set_node(graph, node, depth)
        if node["type"] == "SetNode":
            return self.source(graph, inputs[0], depth) if inputs and inputs[0].get("link") is not None else None
        if node["type"] in self.subgraphs:
            return self._from_inside(self._inside(graph, node), wire.origin_slot, depth)
        return graph.name(node), wire.origin_slot

    def _past(self, graph: Graph, node: dict, wire: Wire, depth: int) -> tuple | None:
        """What a bypassed node passes on: of the input at the same place, or else of the first of the same type."""
        inputs = node.get("inputs") or []
        outputs = node.get("outputs") or []
        slot = wire.origin_slot
        kind = outputs[slot].get("type", wire.type) if slot < len(outputs) else wire.type
        places = [slot, *range(len(inputs))]
        match = next((n for n in places if n < len(inputs) and inputs[n].get("type") == kind), None)
        if match is None or inputs[match].get("link") is None:
            return None
        return self.source(graph, inputs[match], depth)

    def _from_set_node(self, graph: Graph, node: dict, depth: int) -> tuple | None:
        name = (node.get("widgets_values") or [None])[0]
        while graph is not None:
            for other in graph.nodes.values():
                if other["type"] == "SetNode" and (other.get("widgets_values") or [None])[0] == name:
                    slots = other.get("inputs") or []
                    return self.source(graph, slots[0], depth) if slots and slots[0].get("link") is not None else None
            graph = graph.outer[0] if graph.outer else None
        return None

    def _from_outside(self, graph: Graph, slot: int, depth: int) -> tuple | None:
        """What comes into a subgraph at its input `slot`."""
        outer, node = graph.outer
        name = graph.interface["inputs"][slot]["name"]
        if isinstance(name, int):  # of a group node: by place
            open_slots = [one for one in node.get("inputs") or [] if "widget" not in one]
            entry = open_slots[name] if name < len(open_slots) else None
        else:
            entry = next((one for one in node.get("inputs") or [] if one["name"] == name), None)
        if entry is not None and entry.get("link") is not None:
            return self.source(outer, entry, depth)
        if entry is not None and "widget" in entry:
            values = node.get("widgets_values") or []
            at = _promoted(graph).index(slot)
            return (values[at],) if at < len(values) else None
        return None

    def _from_inside(self, graph: Graph, slot: int, depth: int) -> tuple | None:
        """What comes out of a subgraph at its output `slot`."""
        for wire in graph.wires.values():
            if wire.target == SUBGRAPH_OUTPUT and wire.target_slot == slot:
                return self._origin(graph, wire, depth)
        return None


def _promoted(graph: Graph) -> list[int]:
    """The inputs of a subgraph that are widgets of nodes inside: its node has a value for each, in this order."""
    found = set()
    for wire in graph.wires.values():
        slots = graph.nodes.get(wire.target, {}).get("inputs") or []
        if wire.origin == SUBGRAPH_INPUT and wire.target_slot < len(slots) and "widget" in slots[wire.target_slot]:
            found.add(wire.origin_slot)
    return sorted(found)
