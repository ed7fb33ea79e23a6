"""Guarding any workflow: which encoders are replaced, how, and what is reported instead of replaced."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dev.graphs import Run, node, unguarded
from headless.check import Policy, unguarded_samplers
from headless.commands.guard import main
from headless.guard import guard
from headless.workflow import Workflow

RUN = Run("a cat and a pistol")
POLICY = Policy(concept_sets=("weapons",))
TEMPLATES = sorted((Path(__file__).parents[1] / "assets" / "templates").glob("*.json"))


@pytest.fixture
def graph() -> dict:
    return copy.deepcopy(unguarded(RUN))


def guarded(graph: dict, policy: Policy = POLICY, **options):
    twin, report = guard(Workflow(graph), policy, {}, **options)
    return twin.nodes, report


def nodes(graph: dict, kind: str) -> dict[str, dict]:
    """The inputs of all nodes of a class, by id."""
    return {key: node["inputs"] for key, node in graph.items() if node["class_type"] == kind}


def test_the_positive_encoder_is_replaced_in_place_and_nothing_else_changes(graph):
    before = copy.deepcopy(graph)
    twin, report = guarded(graph)
    assert graph == before
    assert report.unguarded == []
    (subspace,) = nodes(twin, "ConceptSubspace")
    assert twin["prompt"]["class_type"] == "SafreeConditioning"
    inputs = twin["prompt"]["inputs"]
    assert (inputs["clip"], inputs["text"], inputs["subspaces"]) == (["loader", 1], RUN.prompt, [subspace, 0])
    assert {key: twin[key] for key in graph if key != "prompt"} == {k: v for k, v in graph.items() if k != "prompt"}


def test_concept_sets_are_chained_once_for_each_clip(graph):
    graph["lora"] = node("LoraLoader", model=["loader", 0], clip=["loader", 1])
    graph["skip"] = node("CLIPSetLastLayer", clip=["lora", 1], stop_at_clip_layer=-2)
    graph["other"] = node("CLIPTextEncode", clip=["skip", 0], text="a gun")
    graph["more"] = node("CLIPTextEncode", clip=["skip", 0], text="a knife")
    graph["two"] = node("ConditioningCombine", conditioning_1=["other", 0], conditioning_2=["more", 0])
    graph["both"] = node("ConditioningCombine", conditioning_1=["prompt", 0], conditioning_2=["two", 0])
    graph["sampler"]["inputs"]["positive"] = ["both", 0]
    twin, report = guarded(graph, Policy(concept_sets=("weapons", "violence")))
    assert report.unguarded == []
    assert len(nodes(twin, "SafreeConditioning")) == 3
    chains = nodes(twin, "ConceptSubspace").values()
    assert sorted((c["clip"][0], c["concept_set"], "subspaces" in c) for c in chains) == [
        ("loader", "violence", True),
        ("loader", "weapons", False),
        ("skip", "violence", True),
        ("skip", "weapons", False),
    ]


def test_a_connected_text_stays_connected(graph):
    graph["text"] = node("StringConcatenate", string_a="a cat", string_b="a gun", delimiter=" and ")
    graph["prompt"]["inputs"]["text"] = ["text", 0]
    twin, report = guarded(graph)
    assert report.unguarded == []
    assert twin["prompt"]["inputs"]["text"] == ["text", 0]


def test_a_negative_prompt_stays_plain_unless_it_is_drawn_or_asked_for(graph):
    graph["negative"]["inputs"]["text"] = "a gun"
    assert guarded(graph)[0]["negative"]["class_type"] == "CLIPTextEncode"
    asked = guarded(graph, Policy(concept_sets=("weapons",), negatives=True))[0]
    assert asked["negative"]["class_type"] == "SafreeConditioning"
    graph["sampler"]["inputs"]["cfg"] = 0.0
    assert guarded(graph)[0]["negative"]["class_type"] == "SafreeConditioning"


def test_a_prompt_shared_by_positive_and_negative_is_copied_and_said(graph):
    graph["zero"] = node("ConditioningZeroOut", conditioning=["prompt", 0])
    graph["sampler"]["inputs"]["negative"] = ["zero", 0]
    twin, report = guarded(graph)
    (guard_id,) = nodes(twin, "SafreeConditioning")
    assert twin["sampler"]["inputs"]["positive"] == [guard_id, 0]
    assert (twin["prompt"], twin["zero"]) == (graph["prompt"], graph["zero"])
    assert ["its copy is guarded" in note for note in report.notes] == [True]
    assert report.unguarded == []


@pytest.mark.parametrize(
    ("kind", "pictures"),
    [
        ("TextEncodeQwenImageEdit", {"image": ["9", 0], "vae": ["loader", 2]}),
        ("TextEncodeQwenImageEditPlus", {"image1": ["9", 0], "image3": ["9", 0]}),
        ("TextEncodeHunyuanVideo_ImageToVideo", {"clip_vision_output": ["eyes", 0], "image_interleave": 2}),
        ("TextEncodeZImageOmni", {"image_encoder": ["see", 0], "image2": ["9", 0], "auto_resize_images": False}),
        ("TextEncodeJoyImageEdit", {"vae": ["loader", 2], "images.image0": ["9", 0], "images.image2": ["9", 0]}),
    ],
)
def test_prompts_with_pictures_keep_their_pictures(graph, kind, pictures):
    graph["9"] = node("LoadImage", image="x.png")
    graph["see"] = node("CLIPVisionLoader", clip_name="v")
    graph["eyes"] = node("CLIPVisionEncode", clip_vision=["see", 0], image=["9", 0], crop="none")
    graph["prompt"] = node(kind, clip=["loader", 1], prompt="a gun", **pictures)
    twin, report = guarded(graph)
    assert report.unguarded == []
    inputs = twin["prompt"]["inputs"]
    assert twin["prompt"]["class_type"] == "SafreePictureConditioning"
    assert (inputs["encoder"], inputs["text"]) == (kind, "a gun")
    ours = {"image": "image1", "images.image0": "image1", "images.image2": "image3"}
    expected = {ours.get(name, name): value for name, value in pictures.items()}
    assert {name: inputs[name] for name in expected} == expected
    assert unguarded_samplers(graph, None, POLICY)


@pytest.mark.parametrize("kind", ["TextEncodeBooguEdit", "TextEncodeMageFlowEdit"])
def test_an_edit_node_with_both_prompts_stays_for_the_negative_one(graph, kind):
    graph["9"] = node("LoadImage", image="x.png")
    size = {"width": 512, "height": 0, "batch_size": 1} if "Mage" in kind else {}
    pictures = {"vae": ["loader", 2], "images.image_1": ["9", 0], "images.image_3": ["9", 0], **size}
    texts = {"prompt": "a gun", "negative_prompt": "ugly hands"}
    graph["prompt"] = node(kind, clip=["loader", 1], **texts, **pictures)
    graph["sampler"]["inputs"]["negative"] = ["prompt", 1]
    twin, report = guarded(graph)
    assert report.unguarded == []
    assert twin["prompt"] == graph["prompt"]
    ((guard, inputs),) = nodes(twin, "SafreePictureConditioning").items()
    assert twin["sampler"]["inputs"]["positive"] == [guard, 0]
    assert twin["sampler"]["inputs"]["negative"] == ["prompt", 1]
    assert (inputs["encoder"], inputs["text"]) == (kind, "a gun")
    assert (inputs["image1"], inputs["image3"], inputs.get("width")) == (["9", 0], ["9", 0], size.get("width"))
    assert "image2" not in inputs
    assert "batch_size" not in inputs
    graph["prompt"]["inputs"]["images.image_4"] = ["9", 0]
    _, report = guarded(graph)
    assert [problem.node for problem in report.unguarded] == ["sampler"]
    assert any("takes images.image_4, and" in note for note in report.notes)


def test_for_strangers_mage_flows_negative_prompt_is_guarded_with_its_pictures(graph):
    graph["9"] = node("LoadImage", image="x.png")
    texts = {"prompt": "a gun", "negative_prompt": "a naked man"}
    more = {"width": 0, "height": 0, "batch_size": 1, "images.image_1": ["9", 0]}
    graph["prompt"] = node("TextEncodeMageFlowEdit", clip=["loader", 1], **texts, **more)
    graph["sampler"]["inputs"]["negative"] = ["prompt", 1]
    twin, report = guarded(graph, Policy.for_strangers(("weapons",)))
    assert report.unguarded == []
    guards = nodes(twin, "SafreePictureConditioning")
    assert {inputs["text"] for inputs in guards.values()} == set(texts.values())
    assert all(inputs["image1"] == ["9", 0] for inputs in guards.values())
    assert guards[twin["sampler"]["inputs"]["negative"][0]]["text"] == "a naked man"


def test_what_goes_into_both_sides_in_one_node_is_guarded_for_both_and_said(graph):
    graph["shared"] = node("ConditioningSetTimestepRange", conditioning=["prompt", 0], start=0.0, end=1.0)
    graph["sampler"]["inputs"] |= {"positive": ["shared", 0], "negative": ["shared", 0]}
    twin, report = guarded(graph)
    assert twin["prompt"]["class_type"] == "SafreeConditioning"
    assert ["guarded there as well" in note for note in report.notes] == [True]


def test_flux_and_sd3_encoders_are_replaced_when_their_texts_are_the_same(graph):
    graph["prompt"] = node("CLIPTextEncodeFlux", clip=["loader", 1], clip_l="a gun", t5xxl="a gun", guidance=2.5)
    twin, report = guarded(graph)
    assert report.unguarded == []
    assert twin["prompt"]["class_type"] == "FluxGuidance"
    assert twin["prompt"]["inputs"]["guidance"] == 2.5
    (guard_inputs,) = nodes(twin, "SafreeConditioning").values()
    assert guard_inputs["text"] == "a gun"
    texts = {"clip_l": "a gun", "clip_g": "a gun", "t5xxl": "a gun"}
    graph["prompt"] = node("CLIPTextEncodeSD3", clip=["loader", 1], **texts, empty_padding="none")
    assert guarded(graph)[1].unguarded == []
    graph["prompt"]["inputs"]["clip_g"] = ""  # encoded to no token at all
    twin, report = guarded(graph)
    assert [problem.node for problem in report.unguarded] == ["sampler"]
    assert any("no token where a text is empty" in note for note in report.notes)


@pytest.mark.parametrize(
    ("kind", "inputs", "texts"),
    [
        ("CLIPTextEncodeSDXL", {"text_l": "a cat", "text_g": "a gun"}, {"l": "a cat", "g": "a gun"}),
        (
            "CLIPTextEncodeFlux",
            {"clip_l": "a cat", "t5xxl": "a gun", "guidance": 2.5},
            {"l": "a cat", "t5xxl": "a gun"},
        ),
        (
            "CLIPTextEncodeSD3",
            {"clip_l": "a cat", "clip_g": "a dog", "t5xxl": "a gun"},
            {"l": "a cat", "g": "a dog", "t5xxl": "a gun"},
        ),
        (
            "CLIPTextEncodeHiDream",
            {"clip_l": "a cat", "clip_g": "a dog", "t5xxl": "a fish", "llama": "a gun"},
            {"l": "a cat", "g": "a dog", "t5xxl": "a fish", "llm": "a gun"},
        ),
        ("CLIPTextEncodeHunyuanDiT", {"bert": "a cat", "mt5xl": "a gun"}, {"bert": "a cat", "t5xxl": "a gun"}),
        ("CLIPTextEncodeKandinsky5", {"clip_l": "a cat", "qwen25_7b": "a gun"}, {"l": "a cat", "llm": "a gun"}),
    ],
)
def test_a_text_for_each_encoder_stays_with_its_encoder(graph, kind, inputs, texts):
    graph["prompt"] = node(kind, clip=["loader", 1], **inputs)
    twin, report = guarded(graph)
    assert report.unguarded == []
    (guard_inputs,) = nodes(twin, "SafreeMultiTextConditioning").values()
    given = {name: value for name, value in guard_inputs.items() if name.startswith("text_")}
    assert given == {"text_l": "", "text_g": "", "text_t5xxl": ""} | {f"text_{name}": t for name, t in texts.items()}
    assert unguarded_samplers(graph, None, POLICY)


def test_sdxl_sizes_come_from_an_encoder_without_text(graph):
    sizes = {"width": 1024, "height": 768, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 768}
    graph["prompt"] = node("CLIPTextEncodeSDXL", clip=["loader", 1], text_l="a gun", text_g="a gun", **sizes)
    twin, report = guarded(graph)
    assert report.unguarded == []
    guard_inputs = twin["prompt"]["inputs"]
    assert (twin["prompt"]["class_type"], guard_inputs["text"]) == ("SafreeConditioning", "a gun")
    source = twin[guard_inputs["like"][0]]
    assert source["class_type"] == "CLIPTextEncodeSDXL"
    assert source["inputs"] == sizes | {"clip": ["loader", 1], "text_l": "", "text_g": ""}


def test_sdxl_sizes_are_kept_by_the_filter_when_it_is_accepted(graph):
    inputs = {"width": 1024, "height": 768, "text_g": "a gun", "text_l": "a pistol", "clip": ["loader", 1]}
    graph["prompt"] = node("CLIPTextEncodeSDXL", **inputs)
    twin, report = guarded(graph, Policy(concept_sets=("weapons",), filters=True))
    assert report.unguarded == []
    assert "weaker" in report.guarded[0]
    encoder = twin["prompt"]["inputs"]["conditioning"][0]
    assert twin[encoder]["class_type"] == "CLIPTextEncodeSDXL"
    assert twin[encoder]["inputs"] == inputs


def test_a_patch_is_put_before_each_model_when_asked_for(graph):
    graph["sampler 2"] = copy.deepcopy(graph["sampler"])
    twin, report = guarded(graph, self_validation=True)
    assert report.unguarded == []
    (patch,) = nodes(twin, "SelfValidationPatch")
    assert twin[patch]["inputs"]["model"] == ["loader", 0]
    assert twin["sampler"]["inputs"]["model"] == twin["sampler 2"]["inputs"]["model"] == [patch, 0]


def test_new_ids_collide_with_none_of_a_subgraph(graph):
    twin, _ = guarded({f"12:{key}": value for key, value in renamed(graph, "12:").items()} | {"31:40": node("Note")})
    assert "41" in twin


def renamed(graph: dict, prefix: str) -> dict:
    return json.loads(json.dumps(graph).replace('["', f'["{prefix}'))


def test_unsupported_text_encoders_are_named(graph):
    graph["clip"] = node("CLIPLoader", clip_name="x", type="stable_audio")
    graph["prompt"]["inputs"]["clip"] = ["clip", 0]
    assert any("stable_audio" in note for note in guarded(graph)[1].notes)


UNGUARDABLE = {
    "audio_ace_step_1_t2a_instrumentals": "tags and lyrics for music",
    "flux_redux_model_example": "tokens of a picture",
}
WORDLESS = {"3d_hunyuan3d-v2.1"}  # from a picture alone


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_of_comfyui_are_guarded_or_refused_with_the_reason(path):
    graph = json.loads(path.read_text())
    twin, report = guarded(graph)
    if path.stem in UNGUARDABLE:
        assert UNGUARDABLE[path.stem] in str(report.unguarded[0])
        return
    assert report.unguarded == []
    assert unguarded_samplers(twin, None, POLICY) == []
    assert bool(unguarded_samplers(graph)) == (path.stem not in WORDLESS)
    encoders = [entry["inputs"] for entry in graph.values() if entry["class_type"].startswith("CLIPTextEncode")]
    texts = [(text, inputs["clip"]) for inputs in encoders for text in inputs.values() if not isinstance(text, float)]
    assert all((inputs["text"], inputs["clip"]) in texts for inputs in nodes(twin, "SafreeConditioning").values())


def test_there_are_templates_of_many_families():
    assert len(TEMPLATES) > 25


@pytest.fixture
def files(tmp_path, graph):
    source = tmp_path / "in.json"
    source.write_text(json.dumps(graph))
    return str(source), str(tmp_path / "out.json")


def test_the_command_writes_the_twin_once(files, graph, capsys):
    assert main([*files, "--concept-set", "weapons"]) == 0
    assert json.loads(Path(files[1]).read_text()) == guarded(graph)[0]
    assert main([*files]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*files, "--overwrite"]) == 0
    assert main([files[0], files[0], "--overwrite"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert json.loads(Path(files[0]).read_text()) == graph
    assert sorted(path.name for path in Path(files[0]).parent.iterdir()) == ["in.json", "out.json"]


def test_the_command_writes_nothing_that_is_only_half_guarded_unless_told_to(files, graph, capsys):
    graph["second"] = node("CLIPTextEncode", clip=["loader", 1], text="a gun")
    graph["another"] = node("SomebodysSampler", positive=["second", 0], negative=["negative", 0])
    Path(files[0]).write_text(json.dumps(graph))
    assert main([*files, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [problem["node"] for problem in report["unguarded"]] == ["another"]
    assert not Path(files[1]).exists()
    assert main([*files, "--partial"]) == 0
    twin = json.loads(Path(files[1]).read_text())
    assert nodes(twin, "SafreeConditioning").keys() == {"prompt", "second"}
    assert main([files[0], files[1], "--overwrite", "--allow", "SomebodysSampler"]) == 0


def test_the_command_names_a_folder_that_is_not_there(files, capsys):
    assert main([files[0], str(Path(files[1]).parent / "none" / "out.json")]) == 2
    assert "No such file" in capsys.readouterr().err
