"""Where the check draws its lines: each setting at its bound and just beyond, one at a time."""

from __future__ import annotations

import copy
import math

import pytest

from dev.graphs import Run, guarded, node
from headless.check import Policy, Rules, known_to, unguarded_samplers
from headless.guards import LONGEST_CHAIN
from headless.knowledge import Source
from headless.workflow import Workflow

RUN = Run("a cat and a pistol")
OWN, STRANGERS = Policy(concept_sets=("weapons",)), Policy.for_strangers(("weapons",))


@pytest.fixture
def graph() -> dict:
    """Guarded, with a plain negative and our sampler."""
    graph = copy.deepcopy(guarded(RUN))
    graph["negative"]["inputs"]["text"] = "a cat and a gun"
    return graph


def problems(graph: dict, policy: Policy = OWN, info: dict | None = None) -> list[tuple[str, str]]:
    return [(problem.node, problem.input) for problem in unguarded_samplers(graph, info, policy)]


def reasons(graph: dict, policy: Policy = OWN) -> str:
    return "; ".join(map(str, unguarded_samplers(graph, None, policy)))


@pytest.mark.parametrize("place", ["prompt", "subspace"])
@pytest.mark.parametrize(
    ("strength", "passes"),
    [
        *((value, True) for value in (1.0, 1, 2.0)),
        *((value, False) for value in (0.999, 0, -1.0, True, "1.0", math.inf, math.nan, None, ["other", 0])),
    ],
)
def test_a_guard_counts_from_the_policys_strength_on(graph, place, strength, passes):
    graph[place]["inputs"]["strength"] = strength
    assert (problems(graph) == []) is passes
    if strength == 0.999:
        assert problems(graph, Policy(concept_sets=("weapons",), strength=0.5)) == []


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 0.5), ("threshold", None), ("mode", "paper"), ("self_validation", "reference")]
)
def test_settings_that_let_more_pass_count_where_any_mode_does(graph, name, value):
    graph["prompt"]["inputs"][name] = value
    assert problems(graph) == [("sampler", "positive")]
    assert problems(graph, Policy(concept_sets=("weapons",), any_mode=True)) == []


@pytest.mark.parametrize("value", ["auto", "whole schedule"])
def test_self_validation_may_be_automatic_or_whole(graph, value):
    graph["prompt"]["inputs"]["self_validation"] = value
    assert problems(graph) == []


@pytest.mark.parametrize(("count", "passes"), [(LONGEST_CHAIN, True), (LONGEST_CHAIN + 1, False)])
def test_a_chain_of_subspaces_is_followed_up_to_a_bound(graph, count, passes):
    """The concept that is asked for comes last in it."""
    for n in range(count - 1):
        graph[f"s{n}"] = copy.deepcopy(graph["subspace"])
        graph[f"s{n}"]["inputs"] |= {"concept_set": "violence", "subspaces": [f"s{n + 1}", 0]}
    graph[f"s{count - 1}"] = graph.pop("subspace")
    graph["prompt"]["inputs"]["subspaces"] = ["s0", 0]
    assert (problems(graph) == []) is passes
    assert passes or "too many to follow" in reasons(graph)


def test_a_chain_that_runs_in_a_circle_ends(graph):
    graph["subspace"]["inputs"]["subspaces"] = ["subspace", 0]
    assert ("sampler", "positive") not in problems(graph)
    assert "'violence'" in reasons(graph, Policy(concept_sets=("weapons", "violence")))


def test_every_concept_that_is_asked_for_must_be_in_the_chain(graph):
    assert "does not guard against 'violence' and 'nudity'" in reasons(
        graph, Policy(concept_sets=("violence", "weapons", "nudity"))
    )
    graph["prompt"]["inputs"]["subspaces"] = "weapons"
    assert "does not guard against a concept" in reasons(graph, Policy())


def test_a_saved_subspace_passes_what_it_saves_and_a_loaded_one_has_no_known_concept(graph):
    graph["save"] = node("SaveConceptSubspace", subspace=["subspace", 0], subspaces=["subspace", 0], name="x")
    graph["prompt"]["inputs"]["subspaces"] = ["save", 0]
    assert problems(graph) == []
    graph["prompt"]["inputs"]["subspaces"] = ["file", 0]
    graph["file"] = node("LoadConceptSubspace", name="x", strength=1.0)
    assert problems(graph, Policy()) == []
    assert problems(graph) == [("sampler", "positive")]


@pytest.mark.parametrize(("phrases", "passes"), [("a gun", True), ("  \n", False)])
def test_phrases_alone_are_a_concept_where_none_is_asked_for(graph, phrases, passes):
    graph["subspace"]["inputs"] |= {"concept_set": "(phrases only)", "phrases": phrases}
    assert (problems(graph, Policy()) == []) is passes
    assert problems(graph) != []


def test_a_chain_that_gives_no_subspace_is_told(graph):
    graph["subspace"] = node("SomebodysSubspace", strength=1.0)
    assert "is no source of subspaces that this check knows" in reasons(graph)
    graph["subspace"] = node("ConceptSubspace", clip=["loader", 1], concept_set=5, phrases="", strength=1.0)
    assert "no concept_set that can be read" in reasons(graph)


def arithmetic(graph: dict) -> dict:
    """With latents added up behind the sampler."""
    graph["sum"] = node("LatentAdd", samples1=["sampler", 0], samples2=["sampler", 0])
    graph["decode"]["inputs"]["samples"] = ["sum", 0]
    return graph


@pytest.mark.parametrize(("negatives", "passes"), [("subtracting", False), (None, False), ("guarded", True)])
def test_with_arithmetic_our_patch_must_clean_the_negatives_whatever_is_connected(graph, negatives, passes):
    """The patch does not see what its samplers will be given."""
    graph["patch"] = node("SelfValidationPatch", model=["loader", 0], unit="share", filtered_steps=-1)
    graph["patch"]["inputs"] |= {"negatives": negatives} if negatives else {}
    graph["sampler"]["class_type"] = "KSampler"
    graph["sampler"]["inputs"] |= {"model": ["patch", 0], "negative": ["zero", 0]}
    graph["zero"] = node("ConditioningZeroOut", conditioning=["negative", 0])
    assert problems(graph) == []  # nothing is added up yet
    assert problems(arithmetic(graph)) == ([] if passes else [("patch", "negatives")])


def test_with_arithmetic_our_sampler_must_clean_a_guarded_negative_alone(graph):
    graph["zero"] = node("ConditioningZeroOut", conditioning=["negative", 0])
    graph["sampler"]["inputs"]["negative"] = ["zero", 0]
    assert problems(arithmetic(graph)) == []
    graph["sampler"]["inputs"]["negative"] = ["prompt", 0]
    assert problems(graph) == [("sampler", "negatives")]
    graph["sampler"]["inputs"]["negatives"] = "guarded"
    assert problems(graph) == []


@pytest.mark.parametrize(("value", "own", "strangers"), [("error", 0, 0), ("warn", 0, 1), (None, 0, 0)])
def test_strangers_samplers_stop_on_a_problem(graph, value, own, strangers):
    graph["sampler"]["inputs"] |= {"negative": ["prompt", 0]} | ({"on_problem": value} if value else {})
    assert len(problems(graph)) == own
    assert len(problems(graph, STRANGERS)) == strangers


@pytest.mark.parametrize(("steps", "passes"), [(-1, True), (0, False), (20, False), (1, False), (None, False)])
def test_only_the_guard_decides_how_many_steps_are_filtered(graph, steps, passes):
    graph["sampler"]["inputs"]["filtered_steps"] = steps
    assert (problems(graph) == []) is passes
    assert problems(graph, Policy(concept_sets=("weapons",), any_mode=True)) == []


@pytest.mark.parametrize(
    ("cfg", "passes"),
    [
        *((value, True) for value in (1.0, 1, 30, "x", "nan")),
        *((value, False) for value in (0.999, 0, -5, True, "5", None, ["gone", 0])),
    ],
)
def test_a_plain_negative_is_drawn_away_from_where_guidance_scales_are_1_and_more(graph, cfg, passes):
    """A text that is no number stops the run, so nothing is drawn; one that is could be any."""
    graph["sampler"]["inputs"]["cfg"] = cfg
    assert problems(graph) == ([] if passes else [("sampler", "negative")])
    if not passes:
        assert "because of its guidance scale" in reasons(graph)


def test_the_inputs_to_guard_are_the_positive_and_a_negative_that_might_be_drawn(graph):
    def inputs(policy: Policy) -> tuple[Source, ...]:
        workflow = Workflow(graph)
        return Rules(workflow, known_to(policy, {}), policy).inputs_to_guard("sampler")

    positive, negative = Source("positive"), Source("negative")
    assert inputs(OWN) == (positive,)
    assert inputs(STRANGERS) == (positive, negative)
    graph["sampler"]["inputs"]["cfg"] = 0.5
    assert inputs(OWN) == (positive, negative)
    graph["negative"]["inputs"]["text"] = "blurry"
    assert inputs(OWN) == (positive,)


def vouched(kind: str, **inputs) -> tuple[dict, Policy]:
    return node(kind, **inputs), Policy(concept_sets=("weapons",), treated=((kind, "harmless"),))


def test_a_vouched_nodes_negative_need_not_be_guarded_unless_negatives_must_be_or_guidance_may_turn(graph):
    graph["mine"], policy = vouched("Mine", positive=["prompt", 0], negative=["negative", 0])
    assert problems(graph, policy) == []
    everywhere = Policy(("weapons",), negatives=True, treated=policy.treated)
    assert ("mine", "negative") in problems(graph, everywhere)
    arithmetic(graph)
    assert ("mine", "negative") in problems(graph, policy)


def test_a_vouched_nodes_other_inputs_get_guarded_conditioning_only(graph):
    graph["mine"], policy = vouched("Mine", anything=["negative", 0], model=["loader", 0], text="x")
    assert problems(graph, policy) == [("mine", "anything")]
    graph["mine"]["inputs"]["anything"] = ["prompt", 0]
    assert problems(graph, policy) == []


def info(**fields) -> dict:
    return {"input": {"required": {}}, "output": [], "python_module": "custom_nodes.x"} | fields


@pytest.mark.parametrize(
    ("inputs", "outputs", "passes"),
    [
        ({"image": ["IMAGE", {}]}, ["IMAGE", "MASK"], True),
        ({"image": ["IMAGE", {}]}, ["MYTYPE"], False),
        ({"thing": ["MYTYPE", {}]}, ["IMAGE"], False),
        ({"thing": ["MYTYPE", {}]}, ["STRING"], True),
        ({"thing": ["MYTYPE", {}]}, [], False),
        ({"thing": ["IMAGE,MYTYPE", {}]}, ["IMAGE"], False),
        ({"thing": [["a", "b"], {}]}, ["IMAGE"], True),
        ({"latent": ["LATENT", {}]}, ["LATENT"], False),  # it may add them up
        ({"text": ["STRING", {}]}, ["CONDITIONING"], False),
    ],
)
def test_what_a_server_tells_of_an_unknown_node_is_believed_where_no_prompt_fits(graph, inputs, outputs, passes):
    told = {"Theirs": info(input={"required": inputs}, output=outputs)}
    facts = known_to(OWN, told).get("Theirs")
    assert (facts is not None and facts.inert and not facts.changes) is passes
    graph["theirs"] = node("Theirs", **dict.fromkeys(inputs, "x"))
    assert ("theirs", "") in problems(graph, STRANGERS, told)


def test_a_node_that_runs_on_another_machine_is_refused(graph):
    graph["theirs"] = node("Theirs")
    told = info(output=["IMAGE"], input={"required": {"image": ["IMAGE", {}]}})
    assert problems(graph, OWN, {"Theirs": told}) == []
    assert problems(graph, OWN, {"Theirs": told | {"api_node": True}}) == [("theirs", "")]


def test_a_known_name_from_elsewhere_is_another_node(graph):
    graph["scale"] = node("ImageInvert", image=["decode", 0])
    own = info(python_module="nodes", input={"required": {"image": ["IMAGE", {}]}}, output=["IMAGE"])
    assert problems(graph, OWN, {"ImageInvert": own}) == []
    assert problems(graph, OWN, {"ImageInvert": own | {"python_module": "custom_nodes.nodes"}}) == [("scale", "")]
    assert problems(graph, OWN, {"ImageInvert": own | {"python_module": "comfy_extras.nodes_x"}}) == []
