"""Connections that nodes such as 'Anything Everywhere' make when a workflow is queued (cg-use-everywhere).

The pack notes them in the file, graph by graph, as `extra.ue_links`.
"""

from __future__ import annotations

from ..workflow import WorkflowError
from .graph import Graph, Wire

KINDS = ("Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere", "Seed Everywhere")
OFF = (2, 4)  # muted, bypassed


def add_wires(graph: Graph) -> None:
    """Give `graph` the wires that its file notes; WorkflowError where it notes none, and some may be meant."""
    noted = (graph.interface.get("extra") or {}).get("ue_links")
    if noted is None:
        _refuse_unnoted(graph)
        return
    nodes = {str(node_id): node for node_id, node in graph.nodes.items()}
    for number, link in enumerate(noted):
        target, origin = nodes.get(str(link["downstream"])), nodes.get(str(link["upstream"]))
        slots = (target.get("inputs") or []) if target else []
        if not origin or link["downstream_slot"] >= len(slots) or _is_off(nodes.get(str(link.get("controller")))):
            continue
        slot = slots[link["downstream_slot"]]
        if slot.get("link") is None:
            wire = Wire(
                f"everywhere {number}", origin["id"], link["upstream_slot"], target["id"], link["downstream_slot"]
            )
            graph.wires[wire.id] = wire._replace(type=link.get("type"))
            graph.nodes[target["id"]] = {
                **target,
                "inputs": [{**one, "link": wire.id} if one is slot else one for one in slots],
            }
            nodes[str(target["id"])] = graph.nodes[target["id"]]


def _is_off(node: dict | None) -> bool:
    return node is not None and node.get("mode") in OFF


def _refuse_unnoted(graph: Graph) -> None:
    senders = [node for node in graph.nodes.values() if node["type"] in KINDS and not _is_off(node)]
    for sender in senders:
        wires = [graph.wires.get(slot.get("link")) for slot in sender.get("inputs") or []]
        sent = {wire.type for wire in wires if wire}
        if sent & (_wanted(graph) | {"*"}):
            raise WorkflowError(
                f"{sender['type']} (node {graph.name(sender)}) makes connections that this file does not hold. Open it "
                "in the editor, and save it again or export it: Workflow > Export (API)."
            )


def _wanted(graph: Graph) -> set[str]:
    """The types of the inputs of a graph that nothing is connected to."""
    slots = [slot for node in graph.nodes.values() for slot in node.get("inputs") or []]
    return {slot.get("type") for slot in slots if slot.get("link") is None and "widget" not in slot}
