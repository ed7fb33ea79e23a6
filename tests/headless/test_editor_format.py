"""The editor's own format, converted as the editor does: its own conversions are the measure where we have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.drawn import LOADER, PROMPT, SUBGRAPH, document, drawn, node
from headless.check import Policy, unguarded_samplers
from headless.commands.guard import main
from headless.editor import edited, to_api
from headless.editor.new_nodes import SOCKETS
from headless.editor.widgets import known_widgets
from headless.guard import guard
from headless.workflow import Workflow, WorkflowError

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))


def inputs(api: dict, key: str) -> dict:
    return api[key]["inputs"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_workflows_become_their_api_twins(path):
    twin = json.loads((path.parent / "api" / path.name).read_text())
    converted = to_api(json.loads(path.read_text()))
    assert converted.keys() == twin.keys()
    for key, entry in converted.items():  # a widget that is newer than the file has its default
        defaults = {one.name: one.default for one in known_widgets()[entry["class_type"]] if one.sent}
        assert entry["inputs"] == defaults | twin[key]["inputs"]


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
    links = [(10, 1, 1, 8, 0, "CLIP"), (12, 8, 0, 9, 0, "CONDITIONING")]
    links += [(11, 5, 0, 8, 1, "STRING")] * linked
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
    unnamed = to_api(document(node(5, "SomebodysNode", [1, 2, 3])))
    assert inputs(unnamed, "5") == {"UNKNOWN": 1, "UNKNOWN_1": 2, "UNKNOWN_2": 3}
    info = {"input": {"required": {"one": ["INT"], "two": ["FLOAT", {}], "three": ["STRING", {}]}}}
    assert inputs(to_api(document(node(5, "SomebodysNode", [1, 2, "x"])), {"SomebodysNode": info}), "5") == {
        "one": 1,
        "two": 2,
        "three": "x",
    }
    everywhere = node(5, "Anything Everywhere", inputs=[("anything", "*", 10)])
    prompt = node(2, "CLIPTextEncode", ["a cat"], [("clip", "CLIP", None)], ("CONDITIONING",))
    with pytest.raises(WorkflowError, match="makes connections"):
        to_api(document(LOADER, everywhere, prompt, links=[(10, 1, 1, 5, 0, "CLIP")]))


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


@pytest.mark.parametrize("subgraph", [False, True], ids=["flat", "in a subgraph"])
def test_the_twin_of_an_editors_file_keeps_its_layout(tmp_path, subgraph):
    before = drawn(subgraph=subgraph)
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(before))
    assert main([str(source), str(target), "--concept-set", "nudity"]) == 0
    after = json.loads(target.read_text())
    old = {entry["id"]: entry for entry in before["nodes"]}
    assert after["groups"] == before["groups"]
    assert all(entry["pos"] == old[entry["id"]]["pos"] for entry in after["nodes"] if entry["id"] in old)
    assert {entry.get("title") for entry in after["nodes"]} >= {entry.get("title") for entry in before["nodes"]}
    api = to_api(after)
    assert unguarded_samplers(api, None, Policy(concept_sets=("nudity",))) == []
    (guard_id,) = [key for key, entry in api.items() if entry["class_type"] == "SafreeConditioning"]
    assert guard_id == ("2:4" if subgraph else "2")
    assert (inputs(api, guard_id)["text"], inputs(api, "3")["text"]) == ("a cat", "nsfw")
    if subgraph:  # the promoted widget still gives the prompt
        next(entry for entry in after["nodes"] if entry["id"] == 2)["widgets_values"] = ["a dog"]
        assert inputs(to_api(after), guard_id)["text"] == "a dog"
    changed = after["definitions"]["subgraphs"][0]["nodes"] if subgraph else after["nodes"]
    boxes = [(*entry["pos"], *entry["size"]) for entry in changed]
    assert len(boxes) == len(changed)
    for n, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[n + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_every_link_of_a_twin_is_known_at_both_ends(tmp_path):
    before = drawn(subgraph=False)
    api = to_api(before)
    twin, _ = guard(Workflow(api), Policy(concept_sets=("nudity", "violence")), {})
    after = edited(before, api, twin.nodes)
    nodes = {entry["id"]: entry for entry in after["nodes"]}
    assert len(nodes) == len(after["nodes"]) == len(before["nodes"]) + 2
    for number, origin, slot, target, target_slot, _ in after["links"]:
        assert number in nodes[origin]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][target_slot]["link"] == number
    ends = [link for entry in after["nodes"] for output in entry["outputs"] for link in output.get("links") or []]
    assert sorted(ends) == sorted(link[0] for link in after["links"])
    assert after["last_node_id"] == max(nodes)
    assert before == drawn(subgraph=False)


def test_what_cannot_be_drawn_is_written_in_api_format(tmp_path, capsys):
    before = json.loads((ROOT / "tests" / "assets" / "group_node.json").read_text())
    group = before["extra"]["groupNodes"]["guard"]
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    group["nodes"] = [entry for entry in group["nodes"] if entry["type"] == "SafreeConditioning"]
    group["nodes"][0] |= {"type": "CLIPTextEncode", "inputs": [group["nodes"][0]["inputs"][0]], "widgets_values": ["x"]}
    group["nodes"][0]["outputs"] = group["nodes"][0]["outputs"][:1]
    group |= {"links": [[None, 1, 0, 0, 1, "CLIP"]], "external": []}
    use = next(entry for entry in before["nodes"] if entry["type"] == "workflow>guard")
    link = next(slot["link"] for slot in use["inputs"] if slot["link"] is not None)
    conditioning = use["outputs"][1]["links"][0]
    text = {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": None}
    use |= {"inputs": [{"name": "clip", "type": "CLIP", "link": link}, text], "widgets_values": ["a pistol"]}
    use["outputs"] = [use["outputs"][1]]
    for entry in before["links"]:
        if entry[0] == conditioning:
            entry[2] = 0
    before["nodes"] = [entry for entry in before["nodes"] if entry["type"] not in ("SafetyReportPlot", "PreviewImage")]
    source.write_text(json.dumps(before))
    assert main([str(source), str(target), "--concept-set", "nudity"]) == 0
    assert "written in API format" in capsys.readouterr().err
    assert unguarded_samplers(json.loads(target.read_text()), None, Policy(concept_sets=("nudity",))) == []


def test_widgets_that_guard_leaves_out_are_drawn_with_the_nodes_own_defaults():
    interface = json.loads((ROOT / "tests" / "assets" / "interface.json").read_text())
    for kind in SOCKETS.keys() & interface.keys():
        inputs = interface[kind]["inputs"]
        widgets = {widget.name: widget for widget in known_widgets()[kind]}
        defaults = {name: inputs[name]["default"] for name in widgets if "default" in inputs[name]}
        assert defaults == {name: widgets[name].default for name in defaults}, kind
        sockets = [name for name in inputs if name not in widgets]
        assert set(SOCKETS[kind][0]) <= set(sockets), kind
