"""The editor's own format, converted as the editor does: its own conversions are the measure where we have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headless.editor import to_api
from headless.workflow import WorkflowError

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))


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


def inputs(api: dict, key: str) -> dict:
    return api[key]["inputs"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_workflows_become_their_api_twins(path):
    twin = json.loads((path.parent / "api" / path.name).read_text())
    converted = to_api(json.loads(path.read_text()))
    assert {k: (v["class_type"], v["inputs"]) for k, v in converted.items()} == {
        k: (v["class_type"], v["inputs"]) for k, v in twin.items()
    }


def test_a_seed_keeps_its_control_to_itself():
    sampler = node(3, "KSampler", [7, "randomize", 20, 8.0, "euler", "normal", 1.0])
    assert inputs(to_api(document(sampler)), "3") == {
        "seed": 7,
        "steps": 20,
        "cfg": 8.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }


def test_notes_and_muted_nodes_are_left_out_with_what_they_give():
    muted = {**LOADER, "mode": 2}
    api = to_api(document(muted, PROMPT, node(9, "Note", ["hello"]), links=[(10, 1, 1, 2, 0, "CLIP")]))
    assert api.keys() == {"2"}
    assert inputs(api, "2") == {"text": "a cat"}


def test_a_bypassed_node_passes_on_what_fits():
    lora = node(5, "LoraLoader", ["l", 1, 1], [("model", "MODEL", 11), ("clip", "CLIP", 12)], ("MODEL", "CLIP"), mode=4)
    links = [(11, 1, 0, 5, 0, "MODEL"), (12, 1, 1, 5, 1, "CLIP"), (10, 5, 1, 2, 0, "CLIP")]
    api = to_api(document(LOADER, lora, PROMPT, links=links))
    assert api.keys() == {"1", "2"}
    assert inputs(api, "2")["clip"] == ["1", 1]


def test_reroutes_and_set_and_get_nodes_are_followed():
    way = node(5, "Reroute", inputs=[("", "*", 11)], outputs=("CLIP",))
    put = node(6, "SetNode", ["my clip"], [("CLIP", "CLIP", 12)], ("CLIP",))
    take = node(7, "GetNode", ["my clip"], outputs=("CLIP",))
    links = [(11, 1, 1, 5, 0, "CLIP"), (12, 5, 0, 6, 0, "CLIP"), (10, 7, 0, 2, 0, "CLIP")]
    api = to_api(document(LOADER, way, put, take, PROMPT, links=links))
    assert api.keys() == {"1", "2"}
    assert inputs(api, "2")["clip"] == ["1", 1]


def test_a_primitive_node_gives_its_value():
    primitive = node(5, "PrimitiveNode", ["a dog"], outputs=("STRING",))
    prompt = node(
        2, "CLIPTextEncode", ["a cat"], [("clip", "CLIP", 10), ("text", "STRING", 11, True)], ("CONDITIONING",)
    )
    api = to_api(document(LOADER, primitive, prompt, links=[(10, 1, 1, 2, 0, "CLIP"), (11, 5, 0, 2, 1, "STRING")]))
    assert inputs(api, "2") == {"clip": ["1", 1], "text": "a dog"}


SUBGRAPH = {
    "id": "sub",
    "name": "Encode",
    "inputs": [{"name": "clip", "type": "CLIP"}, {"name": "text", "type": "STRING"}],
    "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING"}],
    "nodes": [
        node(4, "CLIPTextEncode", ["inside"], [("clip", "CLIP", 1), ("text", "STRING", 2, True)], ("CONDITIONING",))
    ],
    "links": [
        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 4, "target_slot": 0, "type": "CLIP"},
        {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 4, "target_slot": 1, "type": "STRING"},
        {"id": 3, "origin_id": 4, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "CONDITIONING"},
    ],
}


@pytest.mark.parametrize("linked", [False, True])
def test_a_subgraph_is_flattened_with_its_promoted_values(linked):
    use = node(
        8,
        "sub",
        ["promoted"],
        [("clip", "CLIP", 10), ("text", "STRING", 11 if linked else None, True)],
        ("CONDITIONING",),
    )
    sampler = node(9, "KSampler", [], [("positive", "CONDITIONING", 12)])
    primitive = node(5, "PrimitiveNode", ["a dog"], outputs=("STRING",))
    links = [(10, 1, 1, 8, 0, "CLIP"), (11, 5, 0, 8, 1, "STRING"), (12, 8, 0, 9, 0, "CONDITIONING")]
    api = to_api(document(LOADER, use, sampler, primitive, links=links, definitions={"subgraphs": [SUBGRAPH]}))
    assert api.keys() == {"1", "8:4", "9"}
    assert inputs(api, "8:4") == {"clip": ["1", 1], "text": "a dog" if linked else "promoted"}
    assert inputs(api, "9")["positive"] == ["8:4", 0]


def test_a_group_node_of_older_editors_is_flattened():
    api = to_api(json.loads((ROOT / "tests" / "assets" / "group_node.json").read_text()))
    (subspace,) = [v["inputs"] for v in api.values() if v["class_type"] == "ConceptSubspace"]
    (guard_id,) = [k for k, v in api.items() if v["class_type"] == "SafreeConditioning"]
    loader = next(k for k, v in api.items() if v["class_type"] == "CheckpointLoaderSimple")
    assert (subspace["clip"], subspace["concept_set"]) == ([loader, 1], "weapons")
    assert inputs(api, guard_id)["clip"] == [loader, 1]
    assert inputs(api, guard_id)["text"] == "a monkey and a pistol on a pink background"
    assert inputs(api, guard_id)["subspaces"][0].rsplit(":", 1)[0] == guard_id.rsplit(":", 1)[0]
    assert any([guard_id, 0] in v["inputs"].values() for v in api.values())


def test_what_only_the_editor_knows_is_refused_with_the_reason():
    with pytest.raises(WorkflowError, match="--server"):
        to_api(document(node(5, "SomebodysNode", [1, 2, 3])))
    info = {"input": {"required": {"one": ["INT"], "two": ["FLOAT", {}], "three": ["STRING", {}]}}}
    assert inputs(to_api(document(node(5, "SomebodysNode", [1, 2, "x"])), {"SomebodysNode": info}), "5") == {
        "one": 1,
        "two": 2,
        "three": "x",
    }
    with pytest.raises(WorkflowError, match="makes connections"):
        to_api(document(LOADER, node(5, "Anything Everywhere")))


@pytest.mark.parametrize(
    "broken",
    [
        document({"type": "KSampler"}),
        document(node(1, "Note")),
        document(node(3, "sub"), definitions={"subgraphs": [SUBGRAPH | {"nodes": [node(4, "sub")]}]}),
        document(
            node(5, "Reroute", inputs=[("", "*", 1)]), PROMPT, links=[(1, 5, 0, 5, 0, "*"), (10, 5, 0, 2, 0, "*")]
        ),
    ],
    ids=["no id", "only notes", "subgraph in itself", "circle"],
)
def test_a_damaged_file_is_refused(broken):
    with pytest.raises(WorkflowError):
        to_api(broken)
