"""Group nodes of older editors, as the subgraphs that newer ones have instead of them."""

from __future__ import annotations

from .graph import SUBGRAPH_INPUT, SUBGRAPH_OUTPUT


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
