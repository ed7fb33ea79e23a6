"""Connections in a circle and types that do not fit, on graphs of any form."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dev.graphs import node
from headless.check import known_to
from headless.graph_faults import graph_faults
from headless.link_types import LinkTypes
from headless.policy import Policy
from headless.workflow import Workflow

KNOWN = known_to(Policy(), {})
FAST = settings(max_examples=100, deadline=None)


def faults(nodes: dict, info: dict | None = None) -> list[tuple[str, str]]:
    workflow = Workflow(nodes)
    return [(fault.node, fault.input) for fault in graph_faults(workflow, LinkTypes(workflow, KNOWN, info or {}))]


@FAST
@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 11), max_size=3), min_size=1, max_size=10))
def test_a_node_is_in_a_circle_when_it_leads_to_one_and_comes_from_one(needs):
    nodes = {str(n): node("A", **{f"x{i}": [str(i), 0] for i in own}) for n, own in needs.items()}
    ways = {n: {one for one in own if one in needs} for n, own in needs.items()}
    for _ in range(4):  # all that some steps lead to
        ways = {n: own.union(*(ways[one] for one in own)) for n, own in ways.items()}
    circle = {n for n, own in ways.items() if n in own}
    between = {n for n in needs if (ways[n] | {n}) & circle and any(n in ways[one] or n == one for one in circle)}
    assert {name for name, _ in faults(nodes)} == set(map(str, between))


def info(inputs: dict[str, str], *outputs: str) -> dict:
    return {"input": {"required": {name: [kind, {}] for name, kind in inputs.items()}}, "output": list(outputs)}


def test_a_link_fits_when_one_type_is_among_those_of_the_other_or_comfyui_converts_it():
    told = {
        "Giver": info({}, "MODEL", "INT", "CLIP,VAE", "*"),
        "Taker": info({"m": "MODEL", "s": "STRING", "v": "VAE"}),
    }

    def fits(slot: int, name: str) -> bool:
        graph = {"1": node("Giver"), "2": node("Taker", **{name: ["1", slot]})}
        assert faults(graph) == []  # nobody tells
        return faults(graph, told) == []

    assert [fits(0, name) for name in "msv"] == [True, True, False]
    assert [fits(1, name) for name in "msv"] == [True, True, True]
    assert [fits(2, name) for name in "msv"] == [False, True, True]
    assert [fits(slot, "m") for slot in (3, 4, -1)] == [True, True, True]


def test_comfyuis_own_types_are_known_without_a_server():
    loader, prompt = node("CheckpointLoaderSimple"), node("CLIPTextEncode", clip=["1", 1], text="a cat")
    assert faults({"1": loader, "2": prompt}) == []
    prompt["inputs"]["clip"] = ["1", 0]
    assert faults({"1": loader, "2": prompt}) == [("2", "clip")]
