"""Bring what guard did to a workflow into the editor's file of it: positions, groups, titles and subgraphs stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from .editor import Conversion, Graph
from .group_nodes import SUBGRAPH_INPUT
from .widgets import known_widgets, paired
from .workflow import WorkflowError, as_link

WIDTH, GAP, STEP = 340, 60, 40  # pixels
SLOT, WIDGET, TEXT = 24, 28, 90  # heights
LONG = ("text", "text_l", "text_g", "text_t5xxl", "text_llm", "text_bert", "phrases", "retain")  # of several lines
_PROMPT = {"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE", "like": "CONDITIONING"}
_PICTURES = {"vae": "VAE", "image1": "IMAGE", "image2": "IMAGE", "image3": "IMAGE"}
_PICTURES |= {"clip_vision_output": "CLIP_VISION_OUTPUT", "image_encoder": "CLIP_VISION"}
_REPORTING = ("CONDITIONING", "STRING", "INT")
# Of widgets that guard leaves out of the API format; those of text that are not here hold none.
DEFAULTS = {
    "image_interleave": 2,
    "auto_resize_images": True,
    "width": 0,
    "height": 0,
    "on_problem": "error",
    "negatives": "subtracting",
}
# Of the node classes that guard puts in: the inputs that are no widgets, in order, and the types of the outputs.
SOCKETS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "ConceptSubspace": ({"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE"}, ("CONCEPT_SUBSPACE",)),
    "SafreeConditioning": (_PROMPT, _REPORTING),
    "SafreeMultiTextConditioning": (_PROMPT, _REPORTING),
    "SafreePictureConditioning": (
        {"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE", **_PICTURES},
        _REPORTING,
    ),
    "SafreeFilterConditioning": ({"conditioning": "CONDITIONING", "subspaces": "CONCEPT_SUBSPACE"}, _REPORTING),
    "SelfValidationPatch": ({"model": "MODEL"}, ("MODEL",)),
    "FluxGuidance": ({"conditioning": "CONDITIONING"}, ("CONDITIONING",)),
    "ConditioningConcat": (
        {"conditioning_to": "CONDITIONING", "conditioning_from": "CONDITIONING"},
        ("CONDITIONING",),
    ),
    **dict.fromkeys(
        ("CLIPTextEncodeSDXL", "CLIPTextEncodeSDXLRefiner", "CLIPTextEncodePixArtAlpha"),
        ({"clip": "CLIP"}, ("CONDITIONING",)),
    ),
}


def edited(document: dict, before: dict, after: dict, object_info: dict | None = None) -> dict:
    """The editor's `document` of the nodes `before`, with the changes that lead to `after` (both in API format).

    Raises WorkflowError where they cannot be drawn there: inside group nodes, or where a new node would need a
    connection into a subgraph that is not there.
    """
    whole = copy.deepcopy(document)
    return _Editing(whole, Conversion(whole, object_info or {}), before, after).done()


class _Editing:
    def __init__(self, whole: dict, conversion: Conversion, before: dict, after: dict):
        self.whole, self.conversion, self.before, self.after = whole, conversion, before, after
        self.graphs = conversion.graphs()
        self.places = {path: dict(self._seen(graph)) for path, graph in self.graphs.items()}  # of API links, here
        every = list(_lists(whole))
        self.node_id = max((n["id"] for nodes, _ in every for n in nodes if isinstance(n["id"], int)), default=0)
        ids = [link["id"] if isinstance(link, dict) else link[0] for _, links in every for link in links if link]
        self.link_id = max((one for one in ids if isinstance(one, int)), default=0)
        self.used_by = {key: self._consumers(key) for key in after.keys() - before.keys()}

    def _seen(self, graph: Graph) -> Iterator[tuple[tuple, tuple]]:
        """((id, slot) in API format, (origin, slot, type) in this graph) of everything that can be connected here."""
        for node in graph.nodes.values():
            for slot in node.get("inputs") or []:
                link = graph.links.get(slot.get("link"))
                real = self.conversion.source(graph, slot, 0) if link else None
                if real and len(real) == 2:
                    yield real, (link[1], link[2], link[5])

    def _consumers(self, key: str) -> list[str]:
        return [
            user
            for user, node in self.after.items()
            if key in {v[0] for v in map(as_link, node["inputs"].values()) if v}
        ]

    def done(self) -> dict:
        changed = [key for key in self.after if key in self.before and self.after[key] != self.before[key]]
        for path in dict.fromkeys(map(_path, changed)):
            graph = self.graphs[path]
            if graph.interface.get("group"):
                raise WorkflowError("a prompt stands inside a group node, which cannot be edited here.")
            keys = [key for key in changed if _path(key) == path]
            for key in self._new_for(keys):
                self._add(graph, key)
            for key in keys:
                self._change(graph, key)
        self.whole["last_node_id"], self.whole["last_link_id"] = self.node_id, self.link_id
        return self.whole

    def _new_for(self, keys: list[str]) -> list[str]:
        """The new nodes that nodes `keys` need, sources first."""
        found: dict[str, None] = {}

        def visit(key: str) -> None:
            for link in filter(None, map(as_link, self.after[key]["inputs"].values())):
                if link[0] in self.used_by and link[0] not in found:
                    visit(link[0])
                    found[link[0]] = None

        for key in keys:
            visit(key)
        return list(found)

    def _add(self, graph: Graph, key: str) -> None:
        """A new node to the left of what it is for."""
        self.node_id += 1
        entry = self.after[key]
        node = {"id": self.node_id, "type": entry["class_type"], "flags": {}, "order": 0, "mode": 0, "inputs": []}
        node |= {"outputs": [], "properties": {"Node name for S&R": entry["class_type"]}, "widgets_values": []}
        if entry["_meta"]["title"] != entry["class_type"]:
            node["title"] = entry["_meta"]["title"]
        self._fill(graph, node, entry)
        height = (
            40 + SLOT * max(len(SOCKETS[node["type"]][0]), len(node["outputs"])) + WIDGET * len(node["widgets_values"])
        )
        node["size"] = [WIDTH, height + TEXT * sum(name in LONG for name in known_widgets()[node["type"]])]
        node["pos"] = _free_place(graph, node["size"], self._user(graph, key))
        graph.nodes[self.node_id] = node
        graph.interface["nodes"].append(node)
        for slot, kind in enumerate(SOCKETS[node["type"]][1]):
            self.places[graph.path][(key, slot)] = (self.node_id, slot, kind)

    def _user(self, graph: Graph, key: str) -> dict:
        """A node of this graph that a new node is for, by way of other new ones."""
        waiting = list(self.used_by[key])
        while waiting:
            user = waiting.pop(0)
            if user in self.used_by:
                waiting += self.used_by[user]
            elif _path(user) == graph.path:
                return _node(graph, user)
        raise WorkflowError("a new node would stand in another graph than what it is for.")

    def _change(self, graph: Graph, key: str) -> None:
        node, entry, old = _node(graph, key), self.after[key], self.before[key]
        if entry["class_type"] != old["class_type"]:
            fed = list(self._values_from_elsewhere(graph, node, old))
            for slot in node.get("inputs") or []:
                self._disconnect(graph, slot)
            kept = node["outputs"]
            node |= {"type": entry["class_type"], "inputs": [], "outputs": [], "widgets_values": []}
            node.setdefault("properties", {})["Node name for S&R"] = entry["class_type"]
            self._fill(graph, node, entry)
            node["outputs"] = kept + node["outputs"][len(kept) :]
            for value, place in fed:
                same = [name for name in known_widgets()[node["type"]] if entry["inputs"].get(name) == value]
                if not same:
                    raise WorkflowError("a value from outside a subgraph, or from a primitive node, would be lost.")
                self._tie(graph, node, same[0], place)
            return
        for name, value in entry["inputs"].items():
            if value != old["inputs"].get(name):
                self._set(graph, node, name, value)

    def _values_from_elsewhere(self, graph: Graph, node: dict, old: dict) -> Iterator[tuple[object, tuple]]:
        """(value, (origin, slot, type)) of inputs whose value a primitive node, or the subgraph's own widget, gives."""
        for slot in node.get("inputs") or []:
            link, value = graph.links.get(slot.get("link")), old["inputs"].get(slot["name"])
            if link and value is not None and not as_link(value):
                yield value, (link[1], link[2], link[5])

    def _fill(self, graph: Graph, node: dict, entry: dict) -> None:
        """Inputs, widgets and outputs of a node whose class is `entry`'s."""
        kind, inputs = entry["class_type"], entry["inputs"]
        if kind not in SOCKETS or kind not in known_widgets():
            raise WorkflowError(f"a {kind} cannot be drawn here.")
        sockets, outputs = SOCKETS[kind]
        widgets = known_widgets()[kind]
        node["inputs"] = [{"name": name, "type": type_, "link": None} for name, type_ in sockets.items()]
        node["inputs"] += [{"name": name, "type": "*", "widget": {"name": name}, "link": None} for name in widgets]
        node["outputs"] = [{"name": output, "type": output, "links": []} for output in outputs]
        node["widgets_values"] = [
            "" if as_link(inputs.get(name)) else inputs.get(name, DEFAULTS.get(name, "")) for name in widgets
        ]
        for name, value in inputs.items():
            if as_link(value):
                self._connect(graph, node, name, value)

    def _set(self, graph: Graph, node: dict, name: str, value) -> None:
        """Give an input of a node another value or connection."""
        slot = next((one for one in node.get("inputs") or [] if one["name"] == name), None)
        if slot is not None:
            self._disconnect(graph, slot)
        if as_link(value):
            self._connect(graph, node, name, value)
            return
        values = node["widgets_values"]
        names = self.conversion.widget_names(graph, node, values)
        at = [n for n, given in enumerate(paired(names, list(range(len(values))))) if given[0] == name]
        if not at:
            raise WorkflowError(f"{node['type']} has no {name} that could be changed here.")
        values[at[0]] = value

    def _connect(self, graph: Graph, node: dict, name: str, value: list) -> None:
        self._tie(graph, node, name, self._place(graph, (value[0], value[1])))

    def _tie(self, graph: Graph, node: dict, name: str, place: tuple) -> None:
        """Connect an input of a node with `place`, the (origin, slot, type) of an output in this graph."""
        origin, origin_slot, kind = place
        slot = next((one for one in node["inputs"] if one["name"] == name), None)
        if slot is None:
            widget = {"widget": {"name": name}} if name in known_widgets().get(node["type"], ()) else {}
            slot = {"name": name, "type": kind, "link": None} | widget
            node["inputs"].append(slot)
        self.link_id += 1
        slot |= {"link": self.link_id, "type": kind if slot["type"] == "*" else slot["type"]}
        link = (self.link_id, origin, origin_slot, node["id"], node["inputs"].index(slot), kind)
        graph.links[self.link_id] = link
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        graph.interface["links"].append(dict(zip(keys, link, strict=True)) if graph.outer else list(link))
        self._ends(graph, origin, origin_slot).append(self.link_id)

    def _disconnect(self, graph: Graph, slot: dict) -> None:
        link = graph.links.pop(slot.get("link"), None)
        slot["link"] = None
        if link is not None:
            graph.interface["links"][:] = [
                one for one in graph.interface["links"] if (one["id"] if isinstance(one, dict) else one[0]) != link[0]
            ]
            ends = self._ends(graph, link[1], link[2])
            ends[:] = [one for one in ends if one != link[0]]

    def _ends(self, graph: Graph, origin, slot: int) -> list:
        """The ids of the links that begin at an output."""
        if origin == SUBGRAPH_INPUT:
            return graph.interface["inputs"][slot].setdefault("linkIds", [])
        output = graph.nodes[origin]["outputs"][slot]
        output["links"] = output.get("links") or []
        return output["links"]

    def _place(self, graph: Graph, link: tuple) -> tuple:
        """(origin, slot, type) in this graph of a link in API format."""
        if link in self.places[graph.path]:
            return self.places[graph.path][link]
        if link[0] in self.before and _path(link[0]) == graph.path:
            node = _node(graph, link[0])
            return node["id"], link[1], node["outputs"][link[1]].get("type", "*")
        raise WorkflowError("a new node would need a connection into a subgraph that is not there.")


def _lists(whole: dict) -> Iterator[tuple[list, list]]:
    yield whole["nodes"], whole.get("links") or []
    for graph in (whole.get("definitions") or {}).get("subgraphs") or []:
        yield graph["nodes"], graph.get("links") or []


def _path(key: str) -> str:
    return key[: key.rfind(":") + 1]


def _node(graph: Graph, key: str) -> dict:
    return next(node for node in graph.nodes.values() if graph.name(node) == key)


def _free_place(graph: Graph, size: list, user: dict) -> list:
    """A place of this size to the left of `user`, as high as it is or further down, where no node stands."""
    (x, y), taken = (
        _pair(user["pos"]),
        [(_pair(n["pos"]), _pair(n.get("size") or [WIDTH, 100])) for n in graph.nodes.values()],
    )
    left, top = x - size[0] - GAP, y
    while any(
        left < at[0] + room[0] + GAP / 3
        and at[0] < left + size[0] + GAP / 3
        and top < at[1] + room[1] + STEP
        and at[1] < top + size[1] + STEP
        for at, room in taken
    ):
        top += STEP
    return [left, top]


def _pair(value) -> tuple[float, float]:
    """A position or a size, of either way to write it down."""
    return (value["0"], value["1"]) if isinstance(value, dict) else (value[0], value[1])
