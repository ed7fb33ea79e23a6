"""What guard writes for each kind of encoder, link by link, and the options that it offers for unknown classes."""

from __future__ import annotations

import copy

import pytest

from dev.graphs import Run, node, unguarded
from headless.check import known_to, unguarded_samplers
from headless.graph_faults import graph_faults
from headless.guard import guard, options_for
from headless.link_types import LinkTypes
from headless.policy import Policy
from headless.workflow import Workflow

POLICY = Policy(concept_sets=("weapons", "nudity"))
SIZES = {"width": 1024, "height": 768, "crop_w": 0, "crop_h": 0, "target_width": 1024, "target_height": 768}
ENCODERS = {
    "plain": node("CLIPTextEncode", clip=["loader", 1], text="a gun"),
    "sizes": node("CLIPTextEncodeSDXL", clip=["loader", 1], text_l="a gun", text_g="a gun", **SIZES),
    "several": node("CLIPTextEncodeSDXL", clip=["loader", 1], text_l="a gun", text_g="a cat", **SIZES),
    "flux": node("CLIPTextEncodeFlux", clip=["loader", 1], clip_l="a gun", t5xxl="a gun", guidance=2.5),
    "sd3": node("CLIPTextEncodeSD3", clip=["loader", 1], clip_l="a", clip_g="b", t5xxl="c", empty_padding="none"),
}


@pytest.fixture(params=ENCODERS.values(), ids=ENCODERS)
def twin(request) -> dict:
    graph = copy.deepcopy(unguarded(Run("a cat"))) | {"prompt": copy.deepcopy(request.param)}
    nodes, report = guard(Workflow(graph), POLICY, {})
    assert report.unguarded == []
    return nodes.nodes


def test_every_link_of_a_twin_leads_to_the_first_output_of_a_node_that_is_there_and_its_types_fit(twin):
    workflow = Workflow(twin)
    known = known_to(POLICY, {})
    assert graph_faults(workflow, LinkTypes(workflow, known, {})) == []
    for name in twin:
        for _, (source, slot) in workflow.links(name):
            assert source in twin
            assert slot == 0 or source == "loader"
    assert unguarded_samplers(twin, None, POLICY) == []


def test_the_concepts_stand_in_one_chain_of_the_prompts_own_clip(twin):
    chain = {name: entry["inputs"] for name, entry in twin.items() if entry["class_type"] == "ConceptSubspace"}
    assert [one["concept_set"] for one in chain.values()] == ["weapons", "nudity"]
    first, second = chain
    assert chain[second]["subspaces"] == [first, 0]
    assert "subspaces" not in chain[first]
    guards = [entry["inputs"] for entry in twin.values() if entry["class_type"].startswith("Safree")]
    assert [one["subspaces"] for one in guards] == [[second, 0]]
    assert all(one["clip"] == ["loader", 1] for one in (*chain.values(), *guards))


@pytest.mark.parametrize(
    ("kind", "inputs", "option"),
    [
        ("Mine", {"positive": ["a", 0], "model": ["a", 0]}, "--treat Mine=sampler"),
        ("Mine", {"conditioning": ["a", 0], "latent_image": ["a", 0]}, "--treat Mine=sampler"),
        ("Mine", {"conditioning": ["a", 0], "x": "y"}, "--treat Mine=carrier"),
        ("Mine", {"clip": ["a", 0], "x": "y"}, "--treat Mine=encoder"),
        ("Mine", {"clip": ["a", 0], "text": ["a", 0]}, "--treat Mine=encoder"),
        ("Mine", {"clip": ["a", 0], "x": 5}, "--treat Mine=harmless"),
        ("Mine", {"image": ["a", 0], "text": "y"}, "--treat Mine=harmless"),
        ("Mine (theirs)", {}, '--treat "Mine (theirs)=harmless"'),
    ],
)
def test_an_unknown_class_is_offered_as_what_its_inputs_look_like(kind, inputs, option):
    workflow = Workflow({"a": node("CLIPTextEncode"), "1": node(kind, **inputs), "2": node(kind, **inputs)})
    assert options_for(workflow, known_to(POLICY, {})) == [option]
