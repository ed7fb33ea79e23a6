"""The editor's own workflow format to API format, as the editor converts it when it queues: subgraphs, group nodes,
bypassed and muted nodes, reroutes, primitives, choices in texts. Standard library alone.

The file names the values of a node's widgets by their order only. Which names they have is told by a running server
(GET /object_info), by the file itself where a newer editor wrote it, or by widgets.json. The values of all other
classes are named as the editor names those of a node that it does not have: UNKNOWN, UNKNOWN_1, ...
"""

from __future__ import annotations

from collections.abc import Iterator

from ..names_by_rule import original
from ..workflow import WorkflowError, as_link
from .dynamic_text import resolved
from .everywhere import KINDS as EVERYWHERE
from .everywhere import add_wires
from .graph import Graph, refuse_contradictions
from .group_nodes import spread, subgraph_of_group
from .promoted import NOT_GIVEN
from .sources import Given, Sources, is_off
from .values import as_sent, controls_among, restored
from .widgets import Widget, known_widgets, widgets_of

DEEPEST = 50  # subgraphs within each other
# Nodes of the editor alone, which the server never sees.
NOTES = {"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"}
SWITCHES = (
    "Fast ",
    "Mute / Bypass",
    "Random Unmuter",
    "Node Collector",
)  # of rgthree: they change modes, saved as such
UNKNOWN = "UNKNOWN"  # the name of the first value of a node whose widgets nobody knows


def to_api(document: dict, object_info: dict | None = None, choose=None) -> dict:
    """The nodes of a saved workflow in API format, with every value that the editor would send.

    object_info: a server's answer to GET /object_info, for the widgets of node classes that are not known here
    choose: picks one word of a choice {a|b} in a text; at random where it is not given
    Raises WorkflowError where the editor itself would be needed; the text says for what.
    """
    conversion = read(document, object_info)
    return {key: conversion.as_sent(key, node, choose) for key, node in conversion.nodes().items()}


def read(document: dict, object_info: dict | None = None) -> Conversion:
    """A conversion whose nodes are read: WorkflowError where the file is damaged, or holds too little."""
    try:
        conversion = Conversion(document, object_info or {})
        conversion.nodes()
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        if isinstance(error, WorkflowError):
            raise
        raise WorkflowError(f"this workflow of the editor is damaged ({type(error).__name__}: {error}).") from error
    return conversion


def prepare(graph: Graph) -> None:
    """Refuse what a graph of the file says twice and differently, and add what its packs noted beside its links."""
    refuse_contradictions(graph)
    add_wires(graph)


class Conversion:
    """One file. unnamed: ids in API format of the nodes whose values have no names, which nobody could send."""

    def __init__(self, document: dict, object_info: dict):
        self.info = object_info
        self.unnamed: list[str] = []
        definitions = document.get("definitions") or {}
        self.subgraphs = {graph["id"]: graph for graph in definitions.get("subgraphs") or []}
        for name, group in ((document.get("extra") or {}).get("groupNodes") or {}).items():
            for kind in (f"workflow>{name}", f"workflow/{name}"):
                self.subgraphs[kind] = subgraph_of_group(group)
        self.root = Graph(document)
        self.sources = Sources(self.inside, self.subgraphs)
        self._nodes: dict | None = None
        self._plain: set[tuple[str, str]] = set()  # (node, input) of texts whose choices the editor leaves
        prepare(self.root)

    def nodes(self) -> dict:
        """The nodes in API format, with texts as they stand in the file."""
        if self._nodes is None:
            found = {graph.name(node): self._node(graph, node) for graph, node in self._all(self.root, 0)}
            if not found:
                raise WorkflowError("no node of this workflow would run: all are muted, bypassed or notes.")
            for node in found.values():  # as the editor does with what a muted node leaves
                node["inputs"] = {
                    name: value
                    for name, value in node["inputs"].items()
                    if not as_link(value) or as_link(value)[0] in found
                }
            self._nodes = found
        return self._nodes

    def as_sent(self, key: str, node: dict, choose=None) -> dict:
        """A node of `nodes` with its texts as the editor sends them: without comments, one word of each choice."""
        dynamic = {widget.name for widget in self._widgets(node["class_type"]) or () if widget.dynamic}
        more = {"choose": choose} if choose else {}
        texts = [name for name in dynamic if isinstance(node["inputs"].get(name), str)]
        sent = {name: resolved(node["inputs"][name], **more) for name in texts if (key, name) not in self._plain}
        return {**node, "inputs": {**node["inputs"], **sent}}

    def types(self) -> dict[tuple[str, int | str], str]:
        """The types that the file names: of outputs by (id, slot), of inputs by (id, name); '*' names none."""
        found: dict[tuple[str, int | str], str] = {}
        for graph, node in self._all(self.root, 0):
            key = graph.name(node)
            found |= {(key, slot["name"]): slot.get("type") for slot in node.get("inputs") or []}
            found |= {(key, place): slot.get("type") for place, slot in enumerate(node.get("outputs") or [])}
        return {place: kind for place, kind in found.items() if isinstance(kind, str) and kind not in ("*", "")}

    def graphs(self) -> dict[str, Graph]:
        """Every graph of the file that runs, by the path before the ids of its nodes."""
        return {graph.path: graph for graph, _ in self._all(self.root, 0)} | {"": self.root}

    def _all(self, graph: Graph, depth: int) -> Iterator[tuple[Graph, dict]]:
        """Every node that runs, with the graph that it stands in."""
        if depth > DEEPEST:
            raise WorkflowError("the subgraphs of this workflow contain each other.")
        for node in sorted(graph.nodes.values(), key=lambda node: node.get("order", 0)):
            if is_off(node) or self._is_virtual(node):
                continue
            if node["type"] in self.subgraphs:
                yield from self._all(self.inside(graph, node), depth + 1)
            else:
                yield graph, node

    def inside(self, graph: Graph, node: dict) -> Graph:
        """The graph inside a node that is a subgraph or a group."""
        if node["id"] not in graph.inner:
            data = self.subgraphs[node["type"]]
            inner = graph.inner[node["id"]] = Graph(data, f"{graph.name(node)}:", (graph, node))
            if data.get("group"):
                spread(inner, node, lambda one: [widget.name for widget, _, _ in self.widgets(inner, one)])
            else:
                prepare(inner)
        return graph.inner[node["id"]]

    @staticmethod
    def _is_virtual(node: dict) -> bool:
        kind = node["type"]
        rgthree = kind.endswith("(rgthree)") and kind.startswith(SWITCHES)
        return rgthree or kind in NOTES or kind in EVERYWHERE or Sources.passes_on(kind)

    def _node(self, graph: Graph, node: dict) -> dict:
        inputs = {widget.name: as_sent(value) for widget, value, _ in self.widgets(graph, node) if widget.sent}
        key = graph.name(node)
        if graph.outer and not graph.interface.get("group"):
            outside = self._given_outside(graph, node, inputs)
            inputs |= outside
            self._plain |= {(key, name) for name in outside}
        for slot in node.get("inputs") or []:
            source = self.sources.of(graph, slot) if slot.get("link") is not None else None
            if isinstance(source, Given):
                self._give(key, inputs, slot["name"], source)
            elif source is not None:
                inputs[slot["name"]] = list(source)
            elif slot.get("link") is not None and "widget" not in slot:
                inputs.pop(slot["name"], None)
        return {"inputs": inputs, "class_type": node["type"], "_meta": {"title": node.get("title") or node["type"]}}

    def _give(self, key: str, inputs: dict, name: str, source: Given) -> None:
        """Let a value arrive at an input. The choices in one that a subgraph shows stay: the editor leaves them."""
        if source.value is not NOT_GIVEN:
            inputs[name] = as_sent(source.value)
            if source.promoted:
                self._plain.add((key, name))

    def _given_outside(self, graph: Graph, node: dict, inputs: dict) -> dict:
        """The values that the node of a subgraph shows for widgets inside that no wire leads to."""
        given = self.sources.promoted(graph).inner
        mine = {name: value for (node_id, name), value in given.items() if node_id == str(node["id"])}
        return {name: as_sent(value) for name, value in mine.items() if name in inputs}

    def widgets(self, graph: Graph, node: dict) -> Iterator[tuple[Widget, object, int | str | None]]:
        """(widget, value, its place in `widgets_values`) of each widget of a node; no place for a default."""
        values = node.get("widgets_values")
        if isinstance(values, dict):  # some packs write names
            yield from ((Widget(name), value, name) for name, value in values.items() if name != "videopreview")
            return
        values = list(values or [])
        yield from restored(self._widgets_of(graph, node, values), values)

    def _widgets(self, kind: str) -> tuple[Widget, ...] | None:
        """The widgets of a class, if known. A server has its version's, the table what the editor adds to them."""
        table, told = known_widgets().get(kind), widgets_of(self.info[kind]) if kind in self.info else None
        if table is None and told is None and (made := original(kind)):
            base = self._widgets(made.kind)
            return base and (*base, *map(Widget, made.widgets))
        if told is None or (table is not None and {one.name for one in told} <= {one.name for one in table}):
            return table
        return told

    def _widgets_of(self, graph: Graph, node: dict, values: list) -> tuple[Widget, ...]:
        """The widgets of a node, in the order of their values."""
        told = [slot["widget"]["name"] for slot in node.get("inputs") or [] if "widget" in slot]
        known = self._widgets(node["type"])
        if known is not None and (node["type"] in self.info or len(told) <= len(known)):
            return known
        named = node.get("widgets_values_named")
        if isinstance(named, dict) and list(named.values()) == values:
            return tuple(map(Widget, named))
        names = tuple(map(Widget, told))
        if len(list(restored(names, values))) == len(told) >= len(values) - controls_among(values) - 1:
            return names
        if values:
            self.unnamed.append(graph.name(node))
        return tuple(Widget(f"{UNKNOWN}_{n}" if n else UNKNOWN) for n in range(len(values)))
