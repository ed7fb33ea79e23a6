"""Small graphs as the editor saves them, for tests."""

from __future__ import annotations

import json


def node(number: int, kind: str, values=(), inputs=(), outputs=(), **more) -> dict:
    """inputs: (name, type, link or None[, True for a widget]); outputs: types."""
    slots = [
        {"name": name, "type": kind_, "link": link} | ({"widget": {"name": name}} if widget else {})
        for name, kind_, link, *widget in inputs
    ]
    given = [{"name": kind_, "type": kind_} for kind_ in outputs]
    base = {"id": number, "type": kind, "mode": 0, "order": number, "inputs": slots, "outputs": given}
    return base | {"widgets_values": list(values)} | more


def document(*nodes: dict, links=(), **more) -> dict:
    return {"nodes": list(nodes), "links": [list(link) for link in links], "version": 0.4} | more


LOADER = node(1, "CheckpointLoaderSimple", ["m.safetensors"], outputs=("MODEL", "CLIP", "VAE"))
PROMPT = node(2, "CLIPTextEncode", ["a cat"], [("clip", "CLIP", 10)], ("CONDITIONING",))


SUBGRAPH = {
    "id": "sub",
    "name": "Encode",
    "version": 1,
    "revision": 0,
    "state": {"lastGroupId": 0, "lastNodeId": 4, "lastLinkId": 3, "lastRerouteId": 0},
    "config": {},
    "groups": [],
    "widgets": [],
    "inputNode": {"id": -10, "bounding": [100, 100, 120, 80]},
    "outputNode": {"id": -20, "bounding": [1200, 100, 120, 60]},
    "inputs": [
        {"id": "in-clip", "name": "clip", "type": "CLIP", "linkIds": [1]},
        {"id": "in-text", "name": "text", "type": "STRING", "linkIds": [2]},
    ],
    "outputs": [{"id": "out", "name": "CONDITIONING", "type": "CONDITIONING", "linkIds": [3]}],
    "nodes": [
        node(4, "CLIPTextEncode", ["inside"], [("clip", "CLIP", 1), ("text", "STRING", 2, True)], ("CONDITIONING",))
    ],
    "links": [
        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 4, "target_slot": 0, "type": "CLIP"},
        {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 4, "target_slot": 1, "type": "STRING"},
        {"id": 3, "origin_id": 4, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "CONDITIONING"},
    ],
}


def drawn(*, subgraph: bool) -> dict:
    """A graph as the editor saves it, with a group and a title; its prompt stands in a subgraph, or not."""
    place = {"pos": [500, 100], "size": [400, 200]}
    loader = {**json.loads(json.dumps(LOADER)), "pos": [60, 100], "size": [300, 100], "title": "My model"}
    clip = [("clip", "CLIP", 10)]
    if subgraph:
        positive = node(2, "sub", ["a cat"], [*clip, ("text", "STRING", None, True)], ("CONDITIONING",), **place)
    else:
        positive = node(2, "CLIPTextEncode", ["a cat"], clip, ("CONDITIONING",), title="My prompt", **place)
    negative = node(
        3, "CLIPTextEncode", ["nsfw"], [("clip", "CLIP", 11)], ("CONDITIONING",), pos=[500, 400], size=[400, 200]
    )
    sides = [("model", "MODEL", 14), ("positive", "CONDITIONING", 12), ("negative", "CONDITIONING", 13)]
    values = [7, "randomize", 20, 8.0, "euler", "normal", 1.0]
    sampler = node(4, "KSampler", values, sides, ("LATENT",), pos=[1000, 100], size=[300, 400])
    links = [
        *[(10, 1, 1, 2, 0, "CLIP"), (11, 1, 1, 3, 0, "CLIP"), (14, 1, 0, 4, 0, "MODEL")],
        *[(12, 2, 0, 4, 1, "CONDITIONING"), (13, 3, 0, 4, 2, "CONDITIONING")],
    ]
    for number, origin, slot, *_ in links:
        entry = next(one for one in (loader, positive, negative, sampler) if one["id"] == origin)
        entry["outputs"][slot] = {**entry["outputs"][slot], "links": [*entry["outputs"][slot].get("links", []), number]}
    inner = json.loads(json.dumps(SUBGRAPH))
    inner["nodes"][0] |= {"pos": [500, 100], "size": [400, 200]}
    more = {"groups": [{"title": "Prompts", "bounding": [480, 50, 450, 600]}], "definitions": {"subgraphs": [inner]}}
    return document(loader, positive, negative, sampler, links=links, **more)
