"""Group nodes of older editors, as the subgraphs that newer ones have instead of them."""

from __future__ import annotations

from collections.abc import Callable

from .graph import SUBGRAPH_INPUT, SUBGRAPH_OUTPUT, Graph, Wire
from .widgets import CONTROLS


def subgraph_of_group(group: dict) -> dict:
    """A group node of older editors as a subgraph: its inputs are the open ones of its nodes, in order."""
    nodes = [
        {**node, "id": n, "inputs": [dict(slot) for slot in node.get("inputs") or []]}
        for n, node in enumerate(group["nodes"])
    ]
    links, opened, given = [], [], []
    inside = {(link[2], link[3]): link for link in group.get("links") or [] if link[0] is not None}
    kept = {(link[0], link[1]) for link in group.get("external") or []}
    for n, node in enumerate(nodes):
        for at, slot in enumerate(node["inputs"]):
            link = inside.get((n, at))
            if link is None and "widget" in slot:
                continue
            origin = (link[0], link[1]) if link else (SUBGRAPH_INPUT, len(opened))
            opened += [] if link else [{"name": len(opened)}]
            slot["link"] = len(links)
            links.append((len(links), *origin, n, at, slot.get("type")))
        for at, slot in enumerate(node.get("outputs") or []):
            used = any((link[0], link[1]) == (n, at) for link in inside.values())
            if not used or (n, at) in kept:
                links.append((len(links), n, at, SUBGRAPH_OUTPUT, len(given), slot.get("type")))
                given.append(slot)
    return {"group": True, "nodes": nodes, "links": links, "inputs": opened, "outputs": given}


def spread(graph: Graph, group: dict, names_of: Callable[[dict], list[str]]) -> None:
    """Give the widgets of a group node, and what is connected to them, to the nodes inside.

    names_of: the names of the widgets of a node
    """
    values = list(group.get("widgets_values") or [])
    entries = iter([slot for slot in group.get("inputs") or [] if "widget" in slot])
    graph.interface = {**graph.interface, "inputs": list(graph.interface["inputs"])}
    for node in list(graph.nodes.values()):
        node = graph.nodes[node["id"]] = {**node, "inputs": [dict(slot) for slot in node.get("inputs") or []]}
        own = []
        for name in names_of(node):
            if name == "control_after_generate":  # follows its seed, below
                continue
            own.append(values.pop(0))
            if values and values[0] in CONTROLS and "seed" in name.lower():
                own.append(values.pop(0))
            if (entry := next(entries, None)) and entry.get("link") is not None:
                _connect(graph, node, name, entry)
        node["widgets_values"] = own


def _connect(graph: Graph, node: dict, name: str, entry: dict) -> None:
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
