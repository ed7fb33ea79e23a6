"""What a check costs, whatever it is sent; and the ways past it that were found, each as a kind."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest

from dev.graphs import Run, guarded, node
from headless.bounds import DEEPEST, LONGEST_NAME, MOST_PROBLEMS, shown
from headless.check import Policy, unguarded_samplers
from headless.limits import LONGEST_SIGMAS, falling
from headless.workflow import WorkflowError

RUN = Run("a cat and a pistol")
OWN, STRANGERS = Policy(concept_sets=("weapons",)), Policy.for_strangers(("weapons",))
BOTH = pytest.mark.parametrize("policy", [OWN, STRANGERS], ids=["own", "strangers"])


@pytest.fixture
def graph() -> dict:
    """A guarded workflow with a guarded negative, at KSampler."""
    graph = copy.deepcopy(guarded(RUN))
    graph["sampler"]["class_type"] = "KSampler"
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    return graph


def reasons(graph: dict, policy: Policy) -> str:
    return "; ".join(map(str, unguarded_samplers(graph, None, policy)))


def nested(depth: int):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.fault("workflows of huge names, depths and numbers of faults", "refused with a reason of bounded length")
@pytest.mark.parametrize(
    "change",
    [
        {"x" * (LONGEST_NAME + 1): node("Note")},
        {"more": node("x" * 200_000)},
        {"more": node("Note") | {"inputs": {"y" * 200_000: 1}}},
        {"more": node("Note") | {"inputs": {"a": nested(DEEPEST + 2)}}},
        {"more": node("Note") | {"inputs": {"a": nested(950)}}},
        {"more": node("Note") | {"inputs": {str(n): 1 for n in range(5000)}}},
    ],
    ids=["id", "class", "input", "depth", "great depth", "inputs"],
)
def test_what_is_beyond_the_bounds_is_refused_with_a_short_reason(graph, change):
    with pytest.raises(WorkflowError) as error:
        unguarded_samplers(graph | change, None, STRANGERS)
    assert len(str(error.value)) < 400


def test_reasons_are_short_and_few(graph):
    text = "x" * 1_000_000
    for name in ("mode", "strength", "threshold", "self_validation"):
        graph["prompt"]["inputs"][name] = [text, text, {text: text}]
    graph |= {f"more {n}": node("SomebodysNode") for n in range(2000)}
    problems = unguarded_samplers(graph, None, STRANGERS)
    assert len(problems) == MOST_PROBLEMS
    assert len(json.dumps([vars(problem) for problem in problems])) < 100_000
    assert len(shown(text)) < 100


@pytest.mark.parametrize(
    ("text", "falls"),
    [
        ("." * 24_000, False),
        ("1." * 1_000_000, False),
        ("3, 2..5, 1", False),
        ("-" * 10_000, False),
        ("14.6,6.5;1 .03 0", True),
        ("0.5 1", False),
        ("5, 1" + " " * LONGEST_SIGMAS, False),
    ],
)
def test_sigmas_are_read_in_no_time(text, falls):
    assert falling(text) == falls


@pytest.mark.parametrize("sigmas", ["." * 24_000, "1..2", ["text", 0], None, 3])
def test_strangers_write_sigmas_that_comfyui_reads_in_no_time(graph, sigmas):
    graph["sigmas"] = node("ManualSigmas", sigmas=sigmas)
    assert "no short list of numbers" in reasons(graph, STRANGERS)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("RegexMatch", "runs what the workflow brings"),
        ("RegexExtract", "runs what the workflow brings"),
        ("RegexReplace", "runs what the workflow brings"),
        ("ConceptPresence", "learns from"),
        ("LoadConceptPresence", "reads files"),
        ("LoadConceptSubspace", "reads files"),
        ("LoadImageDataSetFromFolder", "reads files"),
        ("SetClipHooks", "changes the text encoder"),
    ],
)
def test_strangers_may_not_burden_the_server(graph, kind, text):
    graph["more"] = node(kind)
    assert text in reasons(graph, STRANGERS)
    assert reasons(graph, OWN) == ""


@BOTH
@pytest.mark.parametrize(
    "change", [{"retain": "a pistol"}, {"strength": 0.5}, {"strength": ["x", 0]}, {"concept_set": ["x", 0]}]
)
def test_a_faulty_link_beside_the_required_one_is_a_refusal(graph, policy, change):
    """What one subspace leaves alone, and how strong it is, once counted for all of them."""
    own = {"concept_set": "(phrases only)", "phrases": "beer", "strength": 1.0, "clip": ["loader", 1]}
    graph["more"] = node("ConceptSubspace", **own, subspaces=["subspace", 0])
    graph["prompt"]["inputs"]["subspaces"] = ["more", 0]
    assert reasons(graph, OWN) == ""
    graph["more"]["inputs"] |= change
    assert "ConceptSubspace (node more)" in reasons(graph, policy)


def test_strangers_bring_no_phrases(graph):
    own = {"concept_set": "(phrases only)", "phrases": "a wolf and a pistol", "strength": 1.0, "clip": ["loader", 1]}
    graph["more"] = node("ConceptSubspace", **own, subspaces=["subspace", 0])
    graph["prompt"]["inputs"]["subspaces"] = ["more", 0]
    assert "of its own" in reasons(graph, STRANGERS)
    graph["more"]["inputs"] |= {"concept_set": "nudity", "phrases": ""}
    assert reasons(graph, STRANGERS) == ""


@BOTH
@pytest.mark.parametrize(
    ("loader", "encoder", "zero"),
    [
        (node("CheckpointLoaderSimple"), "CLIPTextEncode", True),
        (node("CLIPLoader", type="wan"), "CLIPTextEncode", True),
        (node("CLIPLoader", type="hidream"), "CLIPTextEncode", False),
        (node("CLIPLoader", type=["x", 0]), "CLIPTextEncode", False),
        (node("DualCLIPLoader", type="flux"), "CLIPTextEncode", True),
        (node("DualCLIPLoader", type="hidream"), "CLIPTextEncode", False),
        (node("TripleCLIPLoader"), "CLIPTextEncode", True),
        (node("QuadrupleCLIPLoader"), "CLIPTextEncode", False),
        (node("CheckpointLoaderSimple"), "CLIPTextEncodeHunyuanDiT", False),
        (node("CheckpointLoaderSimple"), "CLIPTextEncodeHiDream", False),
    ],
)
def test_a_zeroed_text_counts_as_zero_where_one_encoder_read_it(graph, policy, loader, encoder, zero):
    graph["clip"] = loader
    texts = ("text", "bert", "mt5xl", "clip_l", "clip_g", "t5xxl", "llama")
    link = ["clip", 0 if "CLIP" in loader["class_type"] else 1]
    graph["text"] = node(encoder, clip=link, **dict.fromkeys(texts, "a pistol"))
    graph["zero"] = node("ConditioningZeroOut", conditioning=["text", 0])
    graph["sampler"]["inputs"] |= {"negative": ["zero", 0], "cfg": 0.0}
    assert (reasons(graph, policy) == "") == zero
    graph["zero"]["inputs"]["conditioning"] = ["prompt", 0]  # behind the guard it is nothing or cleaned
    assert reasons(graph, policy) == ""


@pytest.mark.parametrize("kind", ["PrimitiveFloat", "FloatConstant"])
def test_an_input_that_a_node_does_not_have_is_not_believed(graph, kind):
    graph["plain"] = node("CLIPTextEncode", clip=["loader", 1], text="a pistol")
    graph["number"] = node(kind, value=0.0, cfg=7.5, float=7.5)
    graph["sampler"]["inputs"] |= {"negative": ["plain", 0], "cfg": ["number", 0]}
    assert "because of its guidance scale" in reasons(graph, OWN)


@pytest.mark.parametrize(
    "share", [0.5, 0, 1.0, -0.1, 1.1, "0.5", True, None, ["number", 0], ["sum", 0], {"__value__": 2}]
)
def test_shares_of_prompts_lie_in_0_to_1_however_they_arrive(graph, share):
    graph["number"] = node("PrimitiveFloat", value=-2.0)
    graph["sum"] = node("ComfyMathExpression", expression="3")
    pair = {"conditioning_to": ["prompt", 0], "conditioning_from": ["prompt", 0]}
    graph["mix"] = node("ConditioningAverage", **pair, conditioning_to_strength=share)
    graph["sampler"]["inputs"]["positive"] = ["mix", 0]
    fine = share in (0.5, 0, 1.0) and not isinstance(share, bool)
    assert (reasons(graph, STRANGERS) == "") == fine


def with_two_runs(graph: dict, end: dict) -> dict:
    graph["plain"] = node("CLIPTextEncode", clip=["loader", 1], text="a pistol")
    graph["sampler"]["inputs"]["negative"] = ["plain", 0]
    graph["second"] = copy.deepcopy(graph["sampler"])
    graph["end"] = end
    graph["decode"]["inputs"]["samples"] = ["end", 0]
    return graph


@pytest.mark.parametrize(
    "end",
    [
        node("LatentCompositeMasked", destination=["sampler", 0], source=["second", 0], mask=["mask", 0]),
        node("LatentComposite", samples_to=["sampler", 0], samples_from=["second", 0]),
        node("AddNoise", latent_image=["sampler", 0]),
    ],
)
def test_in_ones_own_workflow_a_plain_negative_needs_a_sampler_with_nothing_behind_it(graph, end):
    assert "does arithmetic on what samplers make" in reasons(with_two_runs(graph, end), OWN)


@pytest.mark.parametrize(("method", "wild"), [("bicubic", True), ("nearest-exact", False), (["x", 0], True)])
def test_masks_that_overshoot_are_arithmetic(graph, method, wild):
    graph["scale"] = node("ImageScale", image=["decode", 0], upscale_method=method)
    graph["mask"] = node("ImageToMask", image=["scale", 0], channel="red")
    end = node("VAEEncode", pixels=["decode", 0])
    with_two_runs(graph, end)
    graph["decode"]["inputs"]["samples"] = ["sampler", 0]
    graph["masked"] = node("SetLatentNoiseMask", samples=["end", 0], mask=["mask", 0])
    graph["second"]["inputs"]["latent_image"] = ["masked", 0]
    assert ("outside 0 to 1" in reasons(graph, OWN)) == wild


def test_scaling_a_picture_between_two_samplers_is_none(graph):
    """High-resolution fixes do it, and their negatives keep their words."""
    with_two_runs(graph, node("VAEEncode", pixels=["scale", 0]))
    graph["decode"]["inputs"]["samples"] = ["sampler", 0]
    graph["scale"] = node("ImageScale", image=["decode", 0], upscale_method="bicubic")
    graph["second"]["inputs"]["latent_image"] = ["end", 0]
    assert reasons(graph, OWN) == ""


def test_a_policy_may_refuse_lists_of_faults(graph):
    graph["faults"] = node("CLIPTextEncode", clip=["loader", 1], text="blurry, watermark")
    graph["sampler"]["inputs"]["negative"] = ["faults", 0]
    assert reasons(graph, STRANGERS) == ""
    assert "negative" in reasons(graph, dataclasses.replace(STRANGERS, faults=False))
