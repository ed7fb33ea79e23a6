"""A workflow under construction, and its two file formats: what the editor saves and what POST /prompt takes."""

from __future__ import annotations

import dataclasses

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
COLUMN, GAP, TOP, LEFT = 400, 50, 120, 60  # pixels of the layout
SLOT, WIDGET, MULTILINE = 22, 26, 90
PANELS = {"ConceptSubspace": 400, "SafreeConditioning": 150, "SelfValidatingSampler": 150}  # as after a run
PREVIEWS = {"SaveImage": 280, "PreviewImage": 280, "SaveAnimatedWEBP": 280, "LoadImage": 280, "PreviewAny": 160}


@dataclasses.dataclass(frozen=True)
class Output:
    """One output slot of a node."""

    node: Node
    slot: int


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    id: int
    kind: str
    title: str
    inputs: dict[str, object]  # values and Outputs

    def __getitem__(self, slot: int) -> Output:
        return Output(self, slot)


class Graph:
    """Nodes and their connections; `object_info` is the server's answer to GET /object_info."""

    def __init__(self, object_info: dict, note: str):
        self.info, self.note, self.nodes = object_info, note, []

    def add(self, kind: str, title: str = "", **inputs) -> Node:
        """A node with `inputs`, and the schema's defaults for the other widgets."""
        known = dict(self._inputs(kind))
        if unknown := inputs.keys() - known.keys():
            raise ValueError(f"{kind} has no input {', '.join(sorted(unknown))}")
        defaults = {name: _default(spec) for name, spec in known.items() if _is_widget(spec)}
        title = title or self.info[kind]["display_name"]
        self.nodes.append(Node(len(self.nodes) + 1, kind, title, {**defaults, **inputs}))
        return self.nodes[-1]

    def _inputs(self, kind: str):
        """(name, spec) of each input, in the order of the node."""
        for group in ("required", "optional"):
            yield from self.info[kind]["input"].get(group, {}).items()

    def api(self) -> dict:
        """The API format."""
        return {
            str(node.id): {
                "class_type": node.kind,
                "inputs": {
                    name: [str(value.node.id), value.slot] if isinstance(value, Output) else value
                    for name, value in node.inputs.items()
                },
                "_meta": {"title": node.title},
            }
            for node in self.nodes
        }

    def editor(self) -> dict:
        """The editor's format, nodes in columns from left to right."""
        links: list[list] = []
        slots = {node: self._slots(node) for node in self.nodes}
        for node in self.nodes:
            for slot, entry in enumerate(slots[node]):
                source = node.inputs.get(entry["name"])
                if isinstance(source, Output):
                    entry["link"] = len(links) + 1
                    links.append([len(links) + 1, source.node.id, source.slot, node.id, slot, entry["type"]])
        places = self._layout()
        nodes = [self._editor_node(node, slots[node], links, *places[node]) for node in self.nodes]
        nodes.append(self._note(len(nodes) + 1))
        return {
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def _slots(self, node: Node) -> list[dict]:
        """The input slots: everything that is no widget, and widgets that are connected."""
        slots = []
        for name, spec in self._inputs(node.kind):
            connected = isinstance(node.inputs.get(name), Output)
            if _is_widget(spec) and not connected:
                continue
            kind = spec[0] if isinstance(spec[0], str) else "COMBO"
            widget = {"widget": {"name": name}} if _is_widget(spec) else {}
            slots.append({"name": name, "type": kind, "link": None} | widget)
        return slots

    def _editor_node(self, node: Node, slots, links, position, size) -> dict:
        info = self.info[node.kind]
        outputs = [
            {
                "name": name,
                "type": kind,
                "links": [link[0] for link in links if link[1:3] == [node.id, slot]] or None,
            }
            for slot, (name, kind) in enumerate(zip(info["output_name"], info["output"], strict=True))
        ]
        return {
            "id": node.id,
            "type": node.kind,
            "pos": position,
            "size": size,
            "flags": {},
            "order": node.id - 1,
            "mode": 0,
            "inputs": slots,
            "outputs": outputs,
            "properties": {"Node name for S&R": node.kind},
            "widgets_values": list(self._widget_values(node)),
        } | ({"title": node.title} if node.title != info["display_name"] else {})

    def _widget_values(self, node: Node):
        for name, spec in self._inputs(node.kind):
            if not _is_widget(spec):
                continue
            value = node.inputs[name]
            yield _default(spec) if isinstance(value, Output) else value
            options = spec[1] if len(spec) > 1 else {}
            if options.get("control_after_generate"):
                yield "fixed"
            if options.get("image_upload"):
                yield "image"

    def _layout(self) -> dict[Node, tuple[list[int], list[int]]]:
        """(position, size) of each node: a column for each number of nodes before it."""
        depth: dict[Node, int] = {}
        bottom: dict[int, int] = {}
        places = {}
        for node in self.nodes:  # sources come first
            sources = [value.node for value in node.inputs.values() if isinstance(value, Output)]
            column = depth[node] = max((depth[source] + 1 for source in sources), default=0)
            size = [COLUMN - GAP, self._height(node)]
            y = bottom.get(column, TOP)
            places[node] = ([LEFT + column * COLUMN, y], size)
            bottom[column] = y + size[1] + GAP + 30  # 30: title bar
        return places

    def _height(self, node: Node) -> int:
        slots = max(len(self._slots(node)), len(self.info[node.kind]["output"]))
        widgets = [spec for _, spec in self._inputs(node.kind) if _is_widget(spec)]
        extra = sum(MULTILINE for spec in widgets if len(spec) > 1 and spec[1].get("multiline"))
        panel = (PANELS | PREVIEWS).get(node.kind, 0)
        return 20 + SLOT * slots + WIDGET * len(widgets) + extra + panel

    def _note(self, number: int) -> dict:
        return {
            "id": number,
            "type": "MarkdownNote",
            "pos": [LEFT, TOP - 40 - 200],
            "size": [2 * COLUMN - GAP, 150],
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {},
            "widgets_values": [self.note],
        }


def guard(graph: Graph, clip: Output, prompt: str, concept: str = "nudity", **options) -> Output:
    """ConceptSubspace and SafreeConditioning; the CONDITIONING."""
    concepts = graph.add("ConceptSubspace", clip=clip, concept_set=concept, **options)
    return conditioning(graph, clip, concepts[0], prompt)


def conditioning(graph: Graph, clip: Output, subspaces: Output, prompt: str) -> Output:
    return graph.add("SafreeConditioning", clip=clip, subspaces=subspaces, text=prompt)[0]


def negative(graph: Graph, clip: Output, text: str = "") -> Output:
    return graph.add("CLIPTextEncode", "Negative prompt", clip=clip, text=text)[0]


def save(graph: Graph, latent: Output, vae: Output, prefix: str) -> None:
    images = graph.add("VAEDecode", samples=latent, vae=vae)
    graph.add("SaveImage", images=images[0], filename_prefix=f"safree/{prefix}")


def sample(graph: Graph, model: Output, positive: Output, clip: Output, latent: Output, **options) -> Output:
    settings = {"sampler_name": "euler", "scheduler": "normal", "seed": 3} | options
    return graph.add(
        "SelfValidatingSampler",
        model=model,
        positive=positive,
        negative=negative(graph, clip),
        latent_image=latent,
        **settings,
    )[0]


def _is_widget(spec: list) -> bool:
    options = spec[1] if len(spec) > 1 else {}
    return (isinstance(spec[0], list) or spec[0] in WIDGETS) and not options.get("forceInput")


def _default(spec: list):
    """The value that the editor gives a fresh widget; None for a choice of files of which there are none."""
    options = spec[1] if len(spec) > 1 else {}
    if "default" in options:
        return options["default"]
    if isinstance(spec[0], list) or spec[0] == "COMBO":
        return next(iter(spec[0] if isinstance(spec[0], list) else options["options"]), None)
    return {"STRING": "", "BOOLEAN": False}.get(spec[0], 0)
