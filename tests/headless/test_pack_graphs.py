"""Graphs with the nodes of packs that people use: the positive side is guarded through them, the negative never is."""

from __future__ import annotations

import pytest

from dev.graphs import node
from headless.check import Policy, unguarded_samplers
from headless.guard import guard
from headless.workflow import Workflow

POLICY = Policy(concept_sets=("nudity",))
NEGATIVE = "nsfw, nude, blurry"
SAMPLING = {"model": ["1", 0], "cfg": 7.0}
SIDES = {"positive": ["2", 0], "negative": ["3", 0]}


def graph(**nodes: dict) -> dict:
    """A loader '1', a prompt '2', a negative prompt '3', and more nodes; n5 is node '5'."""
    base = {
        "1": node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
        "2": node("CLIPTextEncode", clip=["1", 1], text="a person"),
        "3": node("CLIPTextEncode", clip=["1", 1], text=NEGATIVE),
    }
    return base | {key.removeprefix("n"): value for key, value in nodes.items()}


def twin_of(before: dict) -> dict:
    """The guarded twin; its samplers pass the check, the ones before do not, and the negative prompt is as it was."""
    assert unguarded_samplers(before, None, POLICY)
    twin, report = guard(Workflow(before), POLICY, {})
    assert report.unguarded == [], report
    assert report.samplers
    assert twin.nodes["3"] == before["3"]
    return twin.nodes


def guards(twin: dict) -> list:
    return [entry["inputs"]["text"] for entry in twin.values() if entry["class_type"] == "SafreeConditioning"]


def sampler(positive: list, negative: list, **more) -> dict:
    return node("KSampler", positive=positive, negative=negative, **{**SAMPLING, **more})


PIPE = {"n5": node("ToBasicPipe", model=["1", 0], clip=["1", 1], **SIDES)}
ONE_PROMPT = {
    "KSampler (Efficient)": {"n5": node("KSampler (Efficient)", **SAMPLING, **SIDES)},
    "chained efficient samplers": {
        "n5": node("KSampler (Efficient)", **SAMPLING, **SIDES),
        "n6": node("KSampler (Efficient)", **SAMPLING, positive=["5", 1], negative=["5", 2]),
    },
    "UltimateSDUpscale": {"n5": node("UltimateSDUpscale", **SAMPLING, **SIDES)},
    "FaceDetailer": {"n5": node("FaceDetailer", **SAMPLING, **SIDES, clip=["1", 1], wildcard="")},
    "ClownsharKSampler_Beta": {"n5": node("ClownsharKSampler_Beta", **SAMPLING, **SIDES)},
    "KSampler //Inspire": {"n5": node("KSampler //Inspire", **SAMPLING, **SIDES)},
    "basic pipe": PIPE
    | {"n6": node("FromBasicPipe", basic_pipe=["5", 0]), "n7": sampler(["6", 3], ["6", 4], model=["6", 0])},
    "pipe sampler": PIPE | {"n6": node("ImpactKSamplerBasicPipe", basic_pipe=["5", 0], cfg=7.0)},
    "edited pipe": PIPE
    | {
        "n6": node("EditBasicPipe", basic_pipe=["5", 0], model=["1", 0]),
        "n7": node("KSamplerProvider", basic_pipe=["6", 0], cfg=7.0),
    },
    "detailer pipe": PIPE
    | {
        "n6": node("BasicPipeToDetailerPipe", basic_pipe=["5", 0], wildcard=""),
        "n7": node("FaceDetailerPipe", detailer_pipe=["6", 0], cfg=7.0),
    },
    "easy pipe": {
        "n5": node("easy pipeIn", pos=["2", 0], neg=["3", 0]),
        "n6": node("easy preSampling", pipe=["5", 0], cfg=7.0),
        "n7": node("easy kSampler", pipe=["6", 0]),
    },
    "rgthree context": {
        "n5": node("Context (rgthree)", **SIDES),
        "n6": node("Context Switch (rgthree)", ctx_01=["5", 0]),
        "n7": sampler(["6", 4], ["6", 5]),
    },
    "rgthree switch": {"n5": node("Any Switch (rgthree)", any_01=["2", 0]), "n6": sampler(["5", 0], ["3", 0])},
    "ImpactSwitch": {"n5": node("ImpactSwitch", input1=["2", 0], select=1), "n6": sampler(["5", 0], ["3", 0])},
    "InstantID": {
        "n5": node("ApplyInstantID", model=["1", 0], **SIDES),
        "n6": sampler(["5", 1], ["5", 2], model=["5", 0]),
    },
    "Advanced-ControlNet": {
        "n5": node("ACN_AdvancedControlNetApply", **SIDES),
        "n6": sampler(["5", 0], ["5", 1]),
    },
    "BrushNet": {"n5": node("BrushNet", model=["1", 0], **SIDES), "n6": sampler(["5", 1], ["5", 2])},
    "IC-Light": {"n5": node("ICLightConditioning", **SIDES), "n6": sampler(["5", 0], ["5", 1])},
    "KJNodes": {"n5": node("CondPassThrough", **SIDES), "n6": sampler(["5", 0], ["5", 1])},
    "WAS bus": {"n5": node("Bus Node", **SIDES), "n6": sampler(["5", 4], ["5", 5])},
    "Comfyroll pipe": {
        "n5": node("CR Module Pipe Loader", pos=["2", 0], neg=["3", 0]),
        "n6": node("CR Module Input", pipe=["5", 0]),
        "n7": sampler(["6", 2], ["6", 3]),
    },
    "AnimateDiff": {
        "n4": node("ADE_UseEvolvedSampling", model=["1", 0]),
        "n5": node("ADE_PairedConditioningSetMask", positive_ADD=["2", 0], negative_ADD=["3", 0]),
        "n6": sampler(["5", 0], ["5", 1], model=["4", 0]),
    },
    "video saver": {
        "n5": sampler(["2", 0], ["3", 0]),
        "n6": node("VAEDecode", samples=["5", 0]),
        "n7": node("VHS_VideoCombine", images=["6", 0]),
    },
    "WanVideo bridge": {
        "n5": node("WanVideoTextEmbedBridge", **SIDES),
        "n6": node("WanVideoSampler", text_embeds=["5", 0], cfg=6.0),
    },
}


@pytest.mark.parametrize("nodes", ONE_PROMPT.values(), ids=ONE_PROMPT.keys())
def test_a_prompt_is_guarded_and_its_negative_stays(nodes):
    assert guards(twin_of(graph(**nodes))) == ["a person"]


ENCODERS = {
    "Text to Conditioning": node("Text to Conditioning", clip=["1", 1], text=["4", 0]),
    "BNK_CLIPTextEncodeAdvanced": node("BNK_CLIPTextEncodeAdvanced", clip=["1", 1], text=["4", 0]),
    "PCLazyTextEncode": node("PCLazyTextEncode", clip=["1", 1], text=["4", 0]),
    "smZ CLIPTextEncode": node("smZ CLIPTextEncode", clip=["1", 1], text=["4", 0]),
}


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS.keys())
def test_encoders_of_other_packs_are_replaced(encoder):
    text = node("Text Multiline", text="a person")
    twin = twin_of(graph(n4=text, n5=encoder, n6=sampler(["5", 0], ["3", 0])))
    assert guards(twin) == [["4", 0]]


def test_a_loader_that_encodes_keeps_its_other_outputs():
    loader = node("Efficient Loader", ckpt_name="m", positive="a person", negative=NEGATIVE)
    before = graph(
        n5=loader, n6=node("KSampler (Efficient)", model=["5", 0], positive=["5", 1], negative=["5", 2], cfg=7.0)
    )
    twin = twin_of(before)
    (guard_id,) = [key for key, entry in twin.items() if entry["class_type"] == "SafreeConditioning"]
    assert twin[guard_id]["inputs"]["clip"] == ["5", 5]
    assert twin["6"]["inputs"] == before["6"]["inputs"] | {"positive": [guard_id, 0]}
    assert twin["5"] == before["5"]


def test_a_loader_that_also_applies_a_controlnet_is_refused_with_the_reason():
    loader = node("Efficient Loader", positive="a person", negative=NEGATIVE, cnet_stack=["4", 0])
    before = graph(n4=node("Control Net Stacker"), n5=loader, n6=sampler(["5", 1], ["5", 2]))
    _, report = guard(Workflow(before), POLICY, {})
    assert report.unguarded
    assert "cnet_stack" in str(report)


def test_a_prompt_in_a_pipe_is_put_into_it():
    loader = node("easy comfyLoader", positive="a person", negative=NEGATIVE)
    before = graph(
        n5=loader, n6=node("easy preSampling", pipe=["5", 0], cfg=7.0), n7=node("easy kSampler", pipe=["6", 0])
    )
    twin = twin_of(before)
    into = twin["6"]["inputs"]["pipe"][0]
    assert twin[into]["class_type"] == "easy pipeIn"
    assert twin[into]["inputs"]["pipe"] == ["5", 0]
    assert guards(twin) == ["a person"]


@pytest.mark.parametrize("text", ["a nude person", "[CONCAT]a nude person"])
def test_a_detailers_own_prompt_is_guarded(text):
    before = graph(n5=node("FaceDetailer", **SAMPLING, **SIDES, clip=["1", 1], wildcard=text))
    twin = twin_of(before)
    assert twin["5"]["inputs"]["wildcard"] == ""
    assert sorted(guards(twin)) == ["a nude person", "a person"]
    joined = twin[twin["5"]["inputs"]["positive"][0]]["class_type"] == "ConditioningConcat"
    assert joined == text.startswith("[CONCAT]")


@pytest.mark.parametrize("text", ["[SEP]one[SEP]two", "__animals__", "{a|b}", "<lora:nude:1>"])
def test_a_detailers_own_prompt_that_only_it_can_read_is_refused(text):
    before = graph(n5=node("FaceDetailer", **SAMPLING, **SIDES, clip=["1", 1], wildcard=text))
    twin, report = guard(Workflow(before), POLICY, {})
    assert [problem.input for problem in report.unguarded] == ["wildcard"]
    assert "only it can read" in str(report)
    assert unguarded_samplers(twin.nodes, None, POLICY)


def test_a_prompt_that_is_no_text_is_refused():
    before = graph(n5=sampler(["2", 0], ["3", 0]))
    before["2"]["inputs"]["text"] = None
    _, report = guard(Workflow(before), POLICY, {})
    assert report.unguarded
    assert "None for text, which is no text" in str(report)


@pytest.mark.parametrize(
    ("scale", "changed"),
    [(["4", 0], False), (["9", 0], True)],
)
def test_a_scale_is_read_through_the_primitive_nodes_of_packs(scale, changed):
    before = graph(n4=node("easy float", value=6.0), n9=node("easy float", value=0.0))
    before["5"] = sampler(["2", 0], ["3", 0], cfg=scale)
    twin, report = guard(Workflow(before), POLICY, {})
    assert report.unguarded == []
    assert (twin.nodes["3"] != before["3"]) == changed


@pytest.mark.parametrize("kind", ["SomebodysSampler", "Somebody's Sampler"])
def test_an_unknown_class_is_never_silent_and_comes_with_a_line_to_paste(kind):
    before = graph(n5=node(kind, **SAMPLING, **SIDES))
    twin, report = guard(Workflow(before), POLICY, {})
    assert report.unguarded
    assert twin.nodes["3"] == before["3"]
    assert "no sampler" not in str(report)
    assert [option.strip('"').split("=")[-1].strip('"') for option in report.options] == ["sampler"]
    treated = Policy(concept_sets=("nudity",), treated=((kind, "sampler"),))
    again, report = guard(Workflow(before), treated, {})
    assert report.unguarded == []
    assert (report.samplers, guards(again.nodes)) == (1, ["a person"])


def test_unknown_classes_that_are_called_harmless_still_get_guarded_conditioning_only():
    before = graph(n5=node("SomebodysSampler", **SAMPLING, **SIDES))
    harmless = Policy(concept_sets=("nudity",), allowed=frozenset({"SomebodysSampler"}))
    assert unguarded_samplers(before, None, harmless)
    twin, report = guard(Workflow(before), harmless, {})
    assert report.unguarded == []
    assert guards(twin.nodes) == ["a person"]
