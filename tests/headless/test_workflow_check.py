"""The check for servers: every way past the guard that the workflow shows is refused, and guarded ones pass."""

from __future__ import annotations

import copy
import json

import pytest

from dev.graphs import Run, guarded, node, unguarded
from headless.check import Policy, unguarded_samplers

RUN = Run("a cat and a pistol")


@pytest.fixture
def graph() -> dict:
    """A guarded workflow: CONDITIONING 'prompt' into the positive input of 'sampler', a plain text at its negative."""
    graph = copy.deepcopy(guarded(RUN))
    graph["negative"]["inputs"]["text"] = "a cat and a gun"
    return graph


def reasons(graph: dict, **policy) -> str:
    return "; ".join(map(str, unguarded_samplers(graph, None, Policy(**policy))))


def via(graph: dict, *chain: dict, start="prompt", input="positive") -> dict:
    """`graph` with nodes between `start` and the sampler; each takes the one before at inputs that are None."""
    link = [start, 0]
    for n, link_node in enumerate(chain):
        name = f"12:{n}"  # as inside a subgraph
        graph[name] = link_node
        for key, value in link_node["inputs"].items():
            if value is None:
                link_node["inputs"][key] = link
        link = [name, 0]
    graph["sampler"]["inputs"][input] = link
    return graph


def test_a_guarded_workflow_passes(graph):
    assert unguarded_samplers(graph) == []
    assert unguarded_samplers(graph, None, Policy(concept_sets=("weapons",))) == []


def test_an_unguarded_workflow_is_refused_with_node_and_input():
    (problem,) = unguarded_samplers(unguarded(RUN))
    assert (problem.node, problem.class_type, problem.input) == ("sampler", "KSampler", "positive")
    assert "CLIPTextEncode (node prompt) encodes its text without the guard" in str(problem)


def test_one_of_two_samplers_is_enough_to_be_refused(graph):
    second = copy.deepcopy(unguarded(RUN))
    graph |= {f"7:{key}": value for key, value in json.loads(json.dumps(second).replace('["', '["7:')).items()}
    (problem,) = unguarded_samplers(graph)
    assert problem.node == "7:sampler"


@pytest.mark.parametrize(
    "chain",
    [
        [node("ConditioningSetTimestepRange", conditioning=None, start=0.0, end=0.5)],
        [node("FluxGuidance", conditioning=None), node("ConditioningZeroOut", conditioning=None)],
        [node("ControlNetApplyAdvanced", positive=None, negative=["negative", 0])],
        [node("ConditioningCombine", conditioning_1=None, conditioning_2=None)],
        [node("WanImageToVideo", positive=None, negative=["negative", 0])],
        [node("WanAnimate2ToVideo", positive=None, negative=["negative", 0])],
    ],
    ids=lambda chain: chain[-1]["class_type"],
)
def test_guarded_conditioning_may_pass_through_nodes_that_carry_it(graph, chain):
    assert unguarded_samplers(via(graph, *chain)) == []
    assert "without the guard" in reasons(via(unguarded(RUN), *copy.deepcopy(chain)))


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (node("ConditioningCombine", conditioning_1=None, conditioning_2=["negative", 0]), "without the guard"),
        (node("ConditioningAverage", conditioning_to=["negative", 0], conditioning_from=None), "without the guard"),
        (node("ControlNetApplyAdvanced", positive=["negative", 0], negative=None), "without the guard"),
        (node("ConditioningCombine", conditioning_1=None, conditioning_2="a gun"), "is no connection"),
        (node("GLIGENTextBoxApply", conditioning_to=None, clip=["loader", 1], text="a gun"), "second text"),
        (node("CLIPTextEncodeControlnet", conditioning=None, clip=["loader", 1], text="a gun"), "second text"),
        (node("SomebodysConditioningEdit", conditioning=None), "unknown to this check"),
        (node("FluxGuidance", conditioning=["gone", 0]), "node gone is not in the workflow"),
        (node("FluxGuidance", conditioning=["12:0", 0]), "circle"),
        (node("FluxGuidance", conditioning=["prompt", 1]), "no conditioning at this output"),
        (node("WanAnimate2ToVideo", positive=None, positive_pose=["negative", 0]), "without the guard"),
        (
            node("LTXVReferenceAudio", positive=None, negative=["negative", 0]),
            "no conditioning at this output",
        ),  # a model
    ],
    ids=lambda value: value["class_type"] if isinstance(value, dict) else value,
)
def test_half_guarded_conditioning_is_refused(graph, chain, reason):
    assert reason in reasons(via(graph, copy.deepcopy(chain)))


def test_the_guard_on_the_negative_alone_is_refused(graph):
    inputs = graph["sampler"]["inputs"]
    inputs["positive"], inputs["negative"] = inputs["negative"], inputs["positive"]
    assert "sampler), positive" in reasons(graph)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": {"strength": 0.0}}, "strength 0.0, less than 1"),
        ({"prompt": {"strength": "1.0"}}, "strength '1.0'"),
        ({"prompt": {"strength": ["latent", 0]}}, "strength"),
        ({"prompt": {"strength": float("nan")}}, "strength nan"),
        ({"prompt": {"strength": {"__value__": 0.0}}}, "strength"),
        ({"prompt": {"threshold": 1.0}}, "threshold 1.0"),
        ({"prompt": {"mode": "reference"}}, "mode 'reference'"),
        ({"prompt": {"self_validation": "paper"}}, "ends the filter early"),
        ({"prompt": {"subspaces": ["loader", 0]}}, "no source of subspaces"),
        ({"subspace": {"strength": 0.0}}, "strength 0.0"),
        ({"subspace": {"concept_set": "(phrases only)"}}, "no phrases"),
        ({"subspace": {"concept_set": ["loader", 0]}}, "no concept_set that can be read"),
        ({"sampler": {"filtered_steps": 0}}, "filtered_steps 0"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value),
)
def test_a_guard_that_does_nothing_is_refused(graph, change, reason):
    for key, inputs in change.items():
        graph[key]["inputs"].update(inputs)
    assert reason in reasons(graph)


@pytest.mark.parametrize(
    "change",
    [{"concept_set": "nudity"}, {"retain": "pistol"}, {"phrases": "a cat"}, {"strength": 0.5}, {"clip": ["lora", 1]}],
    ids=lambda change: next(iter(change)),
)
def test_a_required_concept_set_must_be_there_as_shipped(graph, change):
    graph["subspace"]["inputs"].update(change)
    assert "does not guard against 'weapons'" in reasons(graph, concept_sets=("weapons",))


def test_a_required_concept_set_may_stand_anywhere_in_the_chain(graph):
    graph["more"] = node(
        "ConceptSubspace", concept_set="(phrases only)", phrases="beer", strength=1.0, subspaces=["subspace", 0]
    )
    graph["prompt"]["inputs"]["subspaces"] = ["more", 0]
    assert reasons(graph, concept_sets=("weapons",)) == ""
    assert "'nudity'" in reasons(graph, concept_sets=("weapons", "nudity"))


def test_a_self_validation_patch_may_not_end_the_filter(graph):
    graph["patch"] = node("SelfValidationPatch", model=["loader", 0], unit="share", filtered_steps=0)
    graph["lora"] = node("LoraLoaderModelOnly", model=["patch", 0])
    graph["sampler"]["inputs"]["model"] = ["lora", 0]
    assert "filtered_steps 0" in reasons(graph)
    graph["sampler"]["inputs"]["model"] = {"__value__": ["lora", 0]}  # for ComfyUI the same connection
    assert "filtered_steps 0" in reasons(graph)
    graph["patch"]["inputs"]["filtered_steps"] = -1
    assert reasons(graph) == ""


def test_a_node_whose_first_output_is_a_model_carries_by_its_other_ones(graph):
    graph = via(graph, node("LTXVReferenceAudio", positive=None, negative=["negative", 0]))
    graph["sampler"]["inputs"] |= {"positive": ["12:0", 1], "negative": ["12:0", 2]}
    assert unguarded_samplers(graph) == []
    graph["sampler"]["inputs"]["positive"] = ["12:0", 2]
    assert "without the guard" in reasons(graph)


def test_a_node_that_draws_nothing_may_read_an_unguarded_prompt(graph):
    graph["find"] = node("SAM3_Detect", model=["loader", 0], image=["decode", 0], conditioning=["negative", 0])
    assert unguarded_samplers(graph) == []
    assert "no conditioning at this output" in reasons(via(graph, start="find"))


@pytest.mark.parametrize("scale", [0.0, 0.99, ["number", 0], None, "5"])
def test_a_guidance_scale_that_draws_the_negative_needs_it_guarded(graph, scale):
    assert reasons(graph) == ""
    graph["sampler"]["inputs"]["cfg"] = scale
    assert "sampler), negative" in reasons(graph)


def test_a_guidance_scale_is_read_from_a_primitive_node(graph):
    graph["sampler"]["inputs"]["cfg"] = ["number", 0]
    graph["number"] = node("PrimitiveFloat", value=4.5)
    assert reasons(graph) == ""
    graph["number"]["inputs"]["value"] = 0.5
    assert "sampler), negative" in reasons(graph)


def test_a_video_patch_with_a_small_scale_needs_the_negative_guarded(graph):
    graph["video"] = node("VideoLinearCFGGuidance", model=["loader", 0], min_cfg=0.0)
    graph["sampler"]["inputs"]["model"] = ["video", 0]
    assert "sampler), negative" in reasons(graph)


def test_negatives_are_checked_when_asked_for(graph):
    assert "sampler), negative" in reasons(graph, negatives=True)
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    assert reasons(graph, negatives=True) == ""


@pytest.mark.parametrize(
    ("kind", "inputs", "bad"),
    [
        ("BasicGuider", {"conditioning": ["negative", 0]}, "conditioning"),
        ("CFGGuider", {"positive": ["negative", 0], "negative": ["prompt", 0], "cfg": 5}, "positive"),
        (
            "DualCFGGuider",
            {"cond1": ["prompt", 0], "cond2": ["negative", 0], "negative": ["negative", 0]}
            | {"cfg_conds": 5, "cfg_cond2_negative": 5},
            "cond2",
        ),
        ("DualModelGuider", {"positive": ["negative", 0], "cfg": 5}, "positive"),
        (
            "LTXVDualCFGGuider",
            {"positive": ["prompt", 0], "negative": ["negative", 0], "video_cfg": 3, "audio_cfg": 0.5},
            "negative",
        ),
    ],
    ids=["BasicGuider", "CFGGuider", "DualCFGGuider", "DualModelGuider", "LTXVDualCFGGuider"],
)
def test_guiders_are_checked(graph, kind, inputs, bad):
    graph["guider"] = node(kind, model=["loader", 0], **inputs)
    (problem,) = unguarded_samplers(graph)
    assert (problem.node, problem.input) == ("guider", bad)


def test_unknown_nodes_are_refused_unless_someone_vouches_for_them(graph):
    graph["all in one"] = node("SomebodysPipeline", prompt="a gun")
    assert "SomebodysPipeline (node all in one): is unknown" in reasons(graph)
    assert reasons(graph, treated=(("SomebodysPipeline", "harmless"),)) == ""


def test_what_a_carrier_is_said_to_pass_on_keeps_its_state(graph):
    treated = (("SomebodysNode", "carrier"),)
    assert reasons(via(graph, node("SomebodysNode", conditioning=None)), treated=treated) == ""
    assert "without the guard" in reasons(
        via(unguarded(RUN), node("SomebodysNode", conditioning=None)), treated=treated
    )
    assert "no connection" in reasons(via(graph, node("SomebodysNode", conditioning="x")), treated=treated)


def test_nobody_can_vouch_for_unguarded_conditioning(graph):
    """A sampler that is called harmless still gets guarded conditioning only."""
    treated = (("SomebodysSampler", "harmless"),)
    graph["mine"] = node("SomebodysSampler", positive=["prompt", 0], negative=["negative", 0], model=["loader", 0])
    assert reasons(graph, treated=treated) == ""
    graph["mine"]["inputs"]["positive"] = ["negative", 0]
    assert "SomebodysSampler (node mine), positive" in reasons(graph, treated=treated)
    assert reasons(graph, treated=(("SomebodysSampler", "sampler"),)) != ""


def test_nobody_can_vouch_for_what_is_known(graph):
    graph["sampler"]["inputs"]["positive"] = ["negative", 0]
    assert "without the guard" in reasons(graph, treated=(("SelfValidatingSampler", "harmless"),))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"output": ["CONDITIONING"]},
        {"output": ["MODEL"], "input": {"required": {"model": ["MODEL", {}]}}},
        {"python_module": "custom_nodes.x", "input": {"required": {"prompt": ["STRING", {}]}}},
        {"python_module": "comfy_api_nodes.nodes_x", "api_node": True},
    ],
    ids=["core", "conditioning", "patch", "pack", "api node"],
)
def test_a_newer_comfyui_adds_nothing_silently(graph, change):
    """A class that no table names is refused, though the server calls it one of its own."""
    graph["new"] = node("NewerNode")
    info = {
        "input": {"required": {"image": ["IMAGE", {}]}},
        "output": ["IMAGE"],
        "python_module": "comfy_extras.nodes_x",
    }
    (problem,) = unguarded_samplers(graph, {"NewerNode": info | change})
    assert problem.class_type == "NewerNode"


def test_the_server_tells_which_custom_nodes_no_prompt_fits_in(graph):
    info = {"input": {"required": {"image": ["IMAGE", {}]}}, "output": ["IMAGE"], "python_module": "custom_nodes.x"}
    graph["new"] = node("TheirNode", image=["decode", 0], prompt="a cat")
    assert "is unknown" in reasons(graph)
    assert unguarded_samplers(graph, {"TheirNode": info}) == []
    assert unguarded_samplers(graph, {"TheirNode": info | {"output": ["STRING"]}}) == []  # judged where it is encoded
    assert len(unguarded_samplers(graph, {"TheirNode": info | {"output": ["GUIDER"]}})) == 1


def test_the_weaker_filter_counts_only_when_accepted(graph):
    graph["prompt"] = node(
        "SafreeFilterConditioning",
        conditioning=["negative", 0],
        subspaces=["subspace", 0],
        strength=1.0,
        threshold=0.0,
    )
    assert "weaker" in reasons(graph)
    assert reasons(graph, filters=True) == ""
    graph["prompt"]["inputs"]["threshold"] = 1.0
    assert "threshold" in reasons(graph, filters=True)


def test_long_chains_are_followed_to_their_end(graph):
    assert reasons(via(graph, *[node("FluxGuidance", conditioning=None) for _ in range(5000)])) == ""
    chain = [node("FluxGuidance", conditioning=None) for _ in range(5000)]
    assert "without the guard" in reasons(via(graph, *chain, start="negative"))


def test_what_a_bypassed_guard_leaves_is_judged_as_the_editor_exports_it(graph):
    """Bypassed, SafreeConditioning passes no CONDITIONING on: the sampler's input is gone."""
    del graph["prompt"], graph["sampler"]["inputs"]["positive"]
    assert "nothing is connected" in reasons(graph)
    graph["sampler"]["inputs"]["positive"] = ["prompt", 0]
    assert "node prompt is not in the workflow" in reasons(graph)


def test_a_bypassed_filter_passes_its_unguarded_conditioning_on(graph):
    """The editor connects the sampler to what SafreeFilterConditioning took."""
    graph["sampler"]["inputs"]["positive"] = ["negative", 0]
    assert "without the guard" in reasons(graph, filters=True)


def test_the_workflow_stays_as_it_is(graph):
    before = copy.deepcopy(graph)
    unguarded_samplers(graph)
    assert graph == before


@pytest.mark.parametrize("text", [None, 7, {"a": 1}])
def test_a_text_that_is_none_is_refused(graph, text):
    graph["prompt"]["inputs"]["text"] = text
    assert "which is no text" in reasons(graph)
