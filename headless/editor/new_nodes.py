"""How the nodes that guard puts in are drawn in the editor's file: their sockets, sizes and places."""

from __future__ import annotations

from ..workflow import WorkflowError, as_link
from .graph import Graph
from .widgets import NOTHING, Widget, known_widgets

WIDTH, GAP, STEP = 340, 60, 40  # pixels
SLOT, WIDGET, TEXT = 24, 28, 90  # heights
LONG = ("text", "text_l", "text_g", "text_t5xxl", "text_llm", "text_bert", "phrases", "retain")  # of several lines
PROMPT = {"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE", "like": "CONDITIONING"}
PICTURES = {"vae": "VAE", "image1": "IMAGE", "image2": "IMAGE", "image3": "IMAGE"}
PICTURES |= {"clip_vision_output": "CLIP_VISION_OUTPUT", "image_encoder": "CLIP_VISION"}
REPORTING = ("CONDITIONING", "STRING", "INT")
# Of the node classes that guard puts in: the inputs that are no widgets, in order, and the types of the outputs.
SOCKETS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "ConceptSubspace": ({"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE"}, ("CONCEPT_SUBSPACE",)),
    "SafreeConditioning": (PROMPT, REPORTING),
    "SafreeMultiTextConditioning": (PROMPT, REPORTING),
    "SafreePictureConditioning": (
        {"clip": "CLIP", "subspaces": "CONCEPT_SUBSPACE", **PICTURES},
        REPORTING,
    ),
    "SafreeFilterConditioning": ({"conditioning": "CONDITIONING", "subspaces": "CONCEPT_SUBSPACE"}, REPORTING),
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


def blank(node_id: int, entry: dict) -> dict:
    """A node of the class and title of an `entry` in API format, without inputs, outputs, values and a place."""
    kind, title = entry["class_type"], entry["_meta"]["title"]
    node = {"id": node_id, "type": kind, "flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": []}
    node |= {"properties": {"Node name for S&R": kind}, "widgets_values": []}
    return node | ({"title": title} if title != kind else {})


def fill(node: dict, entry: dict) -> None:
    """Give `node` the unconnected inputs, widgets and outputs of the class of `entry`, with its values."""
    kind, inputs = entry["class_type"], entry["inputs"]
    if kind not in SOCKETS or kind not in known_widgets():
        raise WorkflowError(f"a {kind} cannot be drawn here.")
    sockets, outputs = SOCKETS[kind]
    widgets = known_widgets()[kind]
    node["inputs"] = [{"name": name, "type": type_, "link": None} for name, type_ in sockets.items()]
    node["inputs"] += [
        {"name": widget.name, "type": "*", "widget": {"name": widget.name}, "link": None}
        for widget in widgets
        if widget.sent
    ]
    node["outputs"] = [{"name": output, "type": output, "links": []} for output in outputs]
    node["widgets_values"] = [_value(widget, inputs) for widget in widgets]


def _value(widget: Widget, inputs: dict):
    """What the file holds for a widget; beside a connection its default."""
    default = "" if widget.default is NOTHING else widget.default
    return default if as_link(inputs.get(widget.name)) else inputs.get(widget.name, default)


def size(node: dict) -> list:
    """[width, height] that show all of a node, in pixels."""
    kind, widgets = node["type"], known_widgets()[node["type"]]
    slots = max(len(SOCKETS[kind][0]), len(node["outputs"]))
    return [WIDTH, 40 + SLOT * slots + WIDGET * len(widgets) + TEXT * sum(widget.name in LONG for widget in widgets)]


def free_place(graph: Graph, room: list, user: dict) -> list:
    """[x, y] of a place of this size to the left of `user`, as high as it is or further down, where no node stands."""
    x, y = _pair(user["pos"])
    taken = [(_pair(node["pos"]), _pair(node.get("size") or [WIDTH, 100])) for node in graph.nodes.values()]
    left, top = x - room[0] - GAP, y
    while any(_overlap((left, top), room, *other) for other in taken):
        top += STEP
    return [left, top]


def _overlap(at: tuple, room: list, other: tuple, other_room: tuple) -> bool:
    """Whether two rectangles touch, or nearly do."""
    beside = at[0] < other[0] + other_room[0] + GAP / 3 and other[0] < at[0] + room[0] + GAP / 3
    level = at[1] < other[1] + other_room[1] + STEP and other[1] < at[1] + room[1] + STEP
    return beside and level


def _pair(value) -> tuple[float, float]:
    """A position or a size, of either way to write it down."""
    return (value["0"], value["1"]) if isinstance(value, dict) else (value[0], value[1])
