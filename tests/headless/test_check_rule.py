"""The one rule in the check: what reaches the model is guarded, whatever its branch, or surely drawn away from."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dev.graphs import Run, guarded, node
from headless.check import MAX_BYTES, MAX_NODES, Policy, Rules, known_to, parse_request, unguarded_samplers
from headless.workflow import Workflow, WorkflowError

RUN = Run("a cat and a pistol")
CASES = Path(__file__).resolve().parents[1] / "assets" / "cases"
OWN, STRANGERS = Policy(concept_sets=("weapons",)), Policy.for_strangers(("weapons",))
BOTH = pytest.mark.parametrize("policy", [OWN, STRANGERS], ids=["own", "strangers"])


@pytest.fixture
def graph() -> dict:
    """A guarded workflow with KSampler; its negative is plain."""
    graph = copy.deepcopy(guarded(RUN))
    graph["negative"]["inputs"]["text"] = "a cat and a gun"
    graph["sampler"]["class_type"] = "KSampler"
    return graph


@pytest.fixture
def both(graph) -> dict:
    """The same with a guarded negative."""
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    return graph


def reasons(graph: dict, policy: Policy, info: dict | None = None) -> str:
    return "; ".join(map(str, unguarded_samplers(graph, info, policy)))


def patch(graph: dict, kind: str, **inputs) -> dict:
    graph["patch"] = node(kind, model=["loader", 0], **inputs)
    graph["sampler"]["inputs"]["model"] = ["patch", 0]
    return graph


@BOTH
@pytest.mark.parametrize("path", sorted(CASES.glob("[hr]*.json")), ids=lambda path: path.stem)
def test_the_ways_past_the_guard_that_were_found_are_refused(path, policy):
    problems = unguarded_samplers(json.loads(path.read_text("utf-8")), None, policy)
    assert {problem.input for problem in problems} == {"negative"}


def test_strangers_guard_their_negatives_and_oneself_need_not(graph):
    assert reasons(graph, OWN) == ""
    assert "sampler), negative: CLIPTextEncode (node negative)" in reasons(graph, STRANGERS)
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    assert reasons(graph, STRANGERS) == ""


@pytest.mark.parametrize("text", ["", "blurry, (worst quality:1.4)", "[text], watermark; LOWRES\njpeg_artifacts"])
def test_faults_of_a_picture_need_no_guard_in_a_negative(graph, text):
    graph["negative"]["inputs"]["text"] = text
    assert reasons(graph, STRANGERS) == ""
    graph["sampler"]["inputs"]["positive"] = ["negative", 0]
    assert "positive" in reasons(graph, STRANGERS)


@pytest.mark.parametrize(
    "text", ["blurry, gun", "embedding:bad", ["words", 0], "(blurry:-1)", "blurry pistol", None, 3]
)
def test_anything_more_than_faults_needs_it(graph, text):
    graph["words"] = node("PrimitiveString", value="blurry")
    graph["negative"]["inputs"]["text"] = text
    assert "sampler), negative" in reasons(graph, STRANGERS)


def test_a_zeroed_negative_needs_no_guard_unless_a_second_text_stays_in_it(graph):
    graph["zero"] = node("ConditioningZeroOut", conditioning=["negative", 0])
    graph["sampler"]["inputs"]["negative"] = ["zero", 0]
    assert reasons(graph, STRANGERS) == ""
    graph["second"] = node("CLIPTextEncodeControlnet", conditioning=["negative", 0], clip=["loader", 1], text="a gun")
    graph["zero"]["inputs"]["conditioning"] = ["second", 0]
    assert "second text" in reasons(graph, STRANGERS)


@pytest.mark.parametrize(
    ("kind", "inputs", "harmless"),
    [
        ("FreSca", {"scale_low": 0.0, "scale_high": 0.0}, False),
        ("FreSca", {"scale_low": 1.0, "scale_high": 1.25}, True),
        ("RescaleCFG", {"multiplier": 0.7}, True),
        ("RescaleCFG", {"multiplier": 3.0}, False),
        ("RescaleCFG", {"multiplier": ["number", 0]}, False),
        ("APG", {"eta": 1.0, "momentum": -2.0}, False),
        ("NAGuidance", {"nag_scale": 0.0, "nag_alpha": 1.0}, False),
        ("CFGOverride", {"cfg": 5.0}, False),
        ("LatentApplyOperationCFG", {"operation": ["sharpen", 0]}, False),
        ("VideoLinearCFGGuidance", {"min_cfg": 0.0}, False),
        ("ModelSamplingDiscrete", {"sampling": "x0"}, False),
        ("ModelSamplingDiscrete", {"sampling": "lcm"}, True),
        ("FreeU", {"b1": 1.1}, True),
    ],
)
def test_a_patch_that_may_turn_guidance_round_needs_the_negative_guarded(graph, kind, inputs, harmless):
    graph["number"] = node("PrimitiveFloat", value=-2.0)
    graph["sharpen"] = node("LatentOperationSharpen", sharpen_radius=1, sigma=1.0, alpha=0.1)
    patch(graph, kind, **inputs)
    assert (reasons(graph, OWN) == "") == harmless
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    assert reasons(graph, OWN) == reasons(graph, STRANGERS) == ""


@pytest.mark.parametrize("kind", ["LatentSubtract", "LatentAdd", "LatentBlend"])
def test_arithmetic_on_what_samplers_make_needs_the_negatives_guarded(graph, kind):
    graph["second"] = copy.deepcopy(graph["sampler"])
    graph["sum"] = node(kind, samples1=["sampler", 0], samples2=["second", 0], blend_factor=2.0)
    graph["decode"]["inputs"]["samples"] = ["sum", 0]
    assert "does arithmetic on what samplers make" in reasons(graph, OWN)
    for name in ("sampler", "second"):
        graph[name]["inputs"]["negative"] = ["prompt", 0]
    assert reasons(graph, OWN) == reasons(graph, STRANGERS) == ""


def test_arithmetic_before_any_sampler_is_harmless(graph):
    graph["half"] = node("LatentMultiply", samples=["latent", 0], multiplier=0.5)
    graph["sampler"]["inputs"]["latent_image"] = ["half", 0]
    assert reasons(graph, OWN) == ""


def test_shares_between_0_and_1_are_no_arithmetic(graph):
    graph["mix"] = node("LatentBlend", samples1=["sampler", 0], samples2=["latent", 0], blend_factor=0.5)
    graph["decode"]["inputs"]["samples"] = ["mix", 0]
    assert reasons(graph, OWN) == ""


def test_masks_may_be_pictures(graph):
    """A picture can be turned round as a mask, and go back into a sampler."""
    graph["mask"] = node("ImageToMask", image=["decode", 0], channel="red")
    graph["invert"] = node("InvertMask", mask=["mask", 0])
    graph["gray"] = node("MaskToImage", mask=["invert", 0])
    graph["encode"] = node("VAEEncode", pixels=["gray", 0], vae=["loader", 2])
    assert reasons(graph, OWN) == ""
    graph["again"] = copy.deepcopy(graph["sampler"])
    graph["again"]["inputs"]["latent_image"] = ["encode", 0]
    assert "InvertMask" in reasons(graph, OWN)


def test_pictures_count_on_their_way_back_into_a_sampler_alone(graph):
    graph["invert"] = node("ImageInvert", image=["decode", 0])
    graph["save"]["inputs"]["images"] = ["invert", 0]
    assert reasons(graph, OWN) == ""
    graph["encode"] = node("VAEEncode", pixels=["invert", 0], vae=["loader", 2])
    graph["again"] = copy.deepcopy(graph["sampler"])
    graph["again"]["inputs"]["latent_image"] = ["encode", 0]
    assert "ImageInvert" in reasons(graph, OWN)


def test_with_arithmetic_our_sampler_must_clean_its_negative(both):
    """It keeps all words of a guarded negative as long as that is drawn away from; sums of runs turn that round."""
    both["sampler"]["class_type"] = "SelfValidatingSampler"
    both["sum"] = node("LatentAdd", samples1=["sampler", 0], samples2=["sampler", 0])
    both["decode"]["inputs"]["samples"] = ["sum", 0]
    assert "only 'guarded' counts" in reasons(both, STRANGERS)
    both["sampler"]["inputs"]["negatives"] = "guarded"
    assert reasons(both, STRANGERS) == ""


@BOTH
@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("CheckpointSave", {"model": ["loader", 0]}),
        ("CLIPSave", {"clip": ["loader", 1]}),
        ("LoraSave", {"model_diff": ["loader", 0]}),
        ("SaveLatent", {"samples": ["sampler", 0]}),
        ("LoadLatent", {"latent": "x.latent"}),
        ("LoadTrainingDataset", {"folder_name": "x"}),
        ("TrainLoraNode", {"model": ["loader", 0], "positive": ["prompt", 0]}),
        ("GLSLShader", {}),
        ("PerpNeg", {"model": ["loader", 0], "empty_conditioning": ["prompt", 0]}),
        ("CLIPMergeSubtract", {"clip1": ["loader", 1]}),
    ],
)
def test_files_training_and_foreign_conditioning_are_refused_wherever_they_stand(both, policy, kind, inputs):
    both["more"] = node(kind, **inputs)
    assert f"{kind} (node more)" in reasons(both, policy)


def test_a_writer_of_files_may_be_allowed_by_its_name(both):
    both["more"] = node("CheckpointSave", model=["loader", 0])
    assert reasons(both, Policy(allowed=frozenset({"CheckpointSave"}))) == ""
    both["train"] = node("TrainLoraNode", model=["loader", 0], positive=["prompt", 0])
    assert reasons(both, Policy(allowed=frozenset({"CheckpointSave", "TrainLoraNode"}))) != ""


def test_only_strangers_may_not_save_a_subspace(both):
    both["save"] = node("SaveConceptSubspace", subspaces=["subspace", 0], filename="x", overwrite=True)
    assert reasons(both, OWN) == ""
    assert "writes files" in reasons(both, STRANGERS)


@pytest.mark.parametrize("layer", [-1, -2, -3, -12, ["number", 0]])
def test_early_layers_of_an_encoder_are_refused(both, layer):
    both["number"] = node("PrimitiveInt", value=-9)
    both["skip"] = node("CLIPSetLastLayer", clip=["loader", 1], stop_at_clip_layer=layer)
    for name in ("prompt", "subspace"):
        both[name]["inputs"]["clip"] = ["skip", 0]
    assert (reasons(both, STRANGERS) == "") == (layer in (-1, -2))


@pytest.mark.parametrize("strength", [1.0, -1.0, ["number", 0], "1"])
def test_weights_below_0_are_refused_though_comfyui_takes_them_from_a_connection(both, strength):
    both["number"] = node("PrimitiveFloat", value=-1.0)
    both["weigh"] = node("ConditioningSetAreaStrength", conditioning=["prompt", 0], strength=strength)
    both["sampler"]["inputs"]["positive"] = ["weigh", 0]
    assert (reasons(both, STRANGERS) == "") == (strength == 1.0)


@pytest.mark.parametrize(("value", "own", "strangers"), [("error", True, True), ("warn", True, False)])
def test_strangers_get_a_sampler_that_stops(both, value, own, strangers):
    both["sampler"]["class_type"] = "SelfValidatingSampler"
    both["sampler"]["inputs"]["on_problem"] = value
    assert (reasons(both, OWN) == "", reasons(both, STRANGERS) == "") == (own, strangers)


def test_a_name_of_comfyui_from_elsewhere_is_refused(both):
    info = {"input": {"required": {}}, "output": ["LATENT"], "python_module": "custom_nodes.somebody"}
    assert "comes from 'custom_nodes.somebody'" in reasons(both, STRANGERS, {"KSampler": info})


def test_conditioning_into_a_new_input_of_a_known_node_is_refused(both):
    inputs = {"positive": ["CONDITIONING", {}], "negative": ["CONDITIONING", {}], "third": ["CONDITIONING", {}]}
    info = {"input": {"required": inputs}, "output": ["LATENT"], "python_module": "nodes"}
    assert "takes conditioning at third" in reasons(both, STRANGERS, {"KSampler": info})


def test_a_text_encoder_in_a_node_that_had_none_is_refused(both):
    info = {"input": {"required": {"clip": ["CLIP", {}]}}, "output": ["LATENT"], "python_module": "nodes"}
    assert "has a text encoder" in reasons(both, STRANGERS, {"EmptyLatentImage": info})


def test_strangers_need_a_concept_set():
    for nothing in ((), "nudity"):
        with pytest.raises(ValueError, match="concept sets"):
            Policy.for_strangers(nothing)


# Work in proportion to the workflow, and limits


def combined(count: int) -> dict:
    """`count` guarded prompts, combined one after the other: the longest of chains."""
    graph = copy.deepcopy(guarded(RUN))
    end = ["prompt", 0]
    for number in range(count):
        graph[f"more {number}"] = node("ConditioningCombine", conditioning_1=end, conditioning_2=end)
        end = [f"more {number}", 0]
    graph["sampler"]["inputs"] |= {"positive": end, "negative": end}
    return graph


def samplers(count: int) -> dict:
    """`count` samplers behind `count` loaders: the graph that took quadratic time when each was followed on its own."""
    graph = copy.deepcopy(guarded(RUN))
    model = ["loader", 0]
    for number in range(count):
        graph[f"lora {number}"] = node("LoraLoaderModelOnly", model=model, lora_name="x", strength_model=1.0)
        model = [f"lora {number}", 0]
    for number in range(count):
        graph[f"sampler {number}"] = node("KSampler", **graph["sampler"]["inputs"] | {"model": model})
    return graph


@pytest.mark.parametrize("build", [combined, samplers])
def test_work_grows_with_the_workflow_and_no_faster(build, monkeypatch):
    """Counted in connections that are looked at, since time depends on the machine."""
    looked = []
    link = Workflow.link
    monkeypatch.setattr(Workflow, "link", lambda *args: looked.append(1) or link(*args))

    def work(count: int) -> int:
        looked.clear()
        assert unguarded_samplers(build(count), None, STRANGERS) == []
        return len(looked)

    small, large = work(200), work(2000)
    assert large < 11 * small


def test_each_point_is_judged_once():
    graph = Workflow(combined(3000))
    rules = Rules(graph, known_to(STRANGERS, {}), STRANGERS)
    assert rules.problems() == []
    assert rules.states.settled.work < 5 * len(graph.nodes)


def test_too_many_nodes_are_refused_before_any_is_read():
    graph = {str(number): node("Note") for number in range(MAX_NODES + 1)}
    with pytest.raises(WorkflowError, match=r"has 20,001 nodes; the check takes at most 20,000"):
        unguarded_samplers(graph)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" " * (MAX_BYTES + 1), "takes at most"),
        (b'{"prompt": {"1": {}, "1": {}}}', "twice"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no 'prompt'"),
    ],
    ids=["size", "double", "deep", "bytes", "list"],
)
def test_a_request_that_is_none_is_an_error(body, text):
    with pytest.raises(WorkflowError, match=text):
        parse_request(body)
    assert parse_request(b'{"prompt": {"1": {}}}') == {"prompt": {"1": {}}}


@pytest.mark.parametrize(
    ("sigmas", "turned"), [("14.6, 6.5, 1, 0.03, 0", False), ("1, 2, 0", True), ("", False), (["9", 0], True)]
)
def test_sigmas_that_only_fall_turn_nothing_round(sigmas, turned):
    nodes = {"1": {"class_type": "ManualSigmas", "inputs": {"sigmas": sigmas}}}
    assert bool(Rules(Workflow(nodes), known_to(Policy(), {}), Policy()).turned) == turned


def test_strangers_use_nodes_of_packs_that_are_named_alone(both):
    both["video"] = node("VHS_VideoCombine", images=["decode", 0])
    assert reasons(both, OWN) == ""
    assert "node pack 'ComfyUI-VideoHelperSuite'" in reasons(both, STRANGERS)
    for named in ({"packs": frozenset({"ComfyUI-VideoHelperSuite"})}, {"allowed": frozenset({"VHS_VideoCombine"})}):
        assert reasons(both, Policy.for_strangers(("weapons",), **named)) == ""


@BOTH
@pytest.mark.parametrize("kind", ["SDWebuiAPINode", "FL_Fal_Kontext", "ChatGLMImageGenerateNode", "SUPIR_Upscale"])
def test_nodes_of_packs_that_draw_from_a_text_of_their_own_are_refused(both, policy, kind):
    both["away"] = node(kind, prompt="a gun")
    assert f"{kind} (node away)" in reasons(both, policy)
    assert f"{kind} (node away)" in reasons(
        both, Policy(packs=frozenset({"ComfyUI-LogicUtils"}), treated=((kind, "harmless"),))
    )
