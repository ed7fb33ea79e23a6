"""A workflow as a graph: what counts as a connection, what leads where, and which numbers can be read."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.graphs import node
from headless.check import known_to
from headless.flow import LONGEST, Point, Trace, carried, consumers, effective, is_conditioning, number
from headless.knowledge import Source
from headless.limits import beyond, falling, within
from headless.policy import Policy
from headless.settle import Settled
from headless.states import MOST_REASONS, State, merged
from headless.workflow import Workflow, WorkflowError, as_link, read_json, write

KNOWN = known_to(Policy(), {})
FAST = settings(max_examples=60, deadline=None)


def workflow(**nodes: dict) -> Workflow:
    return Workflow(nodes)


@pytest.mark.parametrize(
    ("value", "link"),
    [
        (["4", 0], ("4", 0)),
        (["4", True], ("4", 1)),
        (["4", 0.5], ("4", -1)),  # ComfyUI takes it for a connection, to no output
        (["4", -2], ("4", -2)),
        ({"__value__": ["4", 1]}, ("4", 1)),
        *((value, None) for value in (["4"], ["4", 0, 1], [4, 0], ["4", "0"], "4", 4, None, {}, {"x": ["4", 0]})),
    ],
)
def test_a_connection_is_a_list_of_an_id_and_a_number(value, link):
    assert as_link(value) == link


def test_an_input_is_followed_back_to_everything_it_is_made_from_once():
    graph = workflow(
        a=node("A"),
        b=node("B", x=["a", 0], y=["gone", 0]),
        c=node("C", x=["b", 0], y=["a", 1]),
        d=node("D", x=["c", 0], y=5, z=["d", 0]),
    )
    assert graph.before("d", "x") == {"a", "b", "c"}
    assert graph.before("d", "y") == graph.before("d", "w") == set()
    assert graph.before("d", "z") == {"a", "b", "c", "d"}
    assert list(graph.links("c")) == [("x", ("b", 0)), ("y", ("a", 1))]
    assert (graph.label("a"), graph.label("gone")) == ("A (node a)", "node gone")
    assert graph.inputs("a") == {}
    assert consumers(graph, ("a", 0)) == [("b", "x")]
    assert consumers(graph, ("a", 1)) == [("c", "y")]


@pytest.mark.parametrize(
    ("ids", "new"), [(["1", "7"], "8"), (["12:9", "3"], "13"), (["x"], "1"), (["x:4:y", "\u0664"], "5"), (["0"], "1")]
)
def test_a_new_id_is_above_every_number_in_use(ids, new):
    assert Workflow({key: node("A") for key in ids}).new_id() == new


@pytest.mark.parametrize("nodes", [{"1": {"inputs": {}}}, {"1": {"class_type": 5}}, {"1": node("A"), "2": []}, {}, []])
def test_what_is_no_node_is_no_workflow(nodes):
    with pytest.raises(WorkflowError):
        Workflow(nodes)
    assert Workflow({"1": {"class_type": "A"}}).inputs("1") == {}


def test_a_file_is_written_whole_and_an_older_one_stays_unless_told(tmp_path):
    path = tmp_path / "out.json"
    write({"a": "\u00e9"}, path)
    assert path.read_text("utf-8") == '{\n "a": "\u00e9"\n}\n'
    with pytest.raises(WorkflowError, match=r"exists already.*--overwrite"):
        write({"b": 1}, path)
    write({"b": 1}, path, overwrite=True)
    assert read_json(path) == {"b": 1}
    with pytest.raises(TypeError):
        write({"c": object()}, path, overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]
    assert json.loads(path.read_text()) == {"b": 1}
    with pytest.raises(WorkflowError, match="No such file"):
        read_json(tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(WorkflowError, match="is not JSON"):
        read_json(path)


def test_a_fallback_counts_where_nothing_before_it_is_connected():
    sources = (Source("pipe", "positive"), Source("text", fallback=True), Source("any_*"))
    both, one = workflow(n=node("A", pipe=["x", 0], text=["y", 0])), workflow(n=node("A", pipe="p", text=["y", 0]))
    assert effective(both, "n", sources) == (Source("pipe", "positive"), Source("any_*"))
    assert effective(one, "n", sources, "lane") == (
        Source("pipe", "positive"),
        Source("text", "lane"),
        Source("any_*", "lane"),
    )


def test_conditioning_is_traced_through_what_passes_it_on_to_where_it_begins():
    graph = workflow(
        text=node("CLIPTextEncode", clip=["loader", 1], text="a"),
        other=node("CLIPTextEncode", clip=["loader", 1], text="b"),
        both=node("ConditioningCombine", conditioning_1=["text", 0], conditioning_2=["other", 0]),
        more=node("FluxGuidance", conditioning=["both", 0], guidance=3.5),
        sampler=node("KSampler", positive=["more", 0], negative=["text", 0]),
    )
    trace = Trace()
    trace.follow(graph, KNOWN, "sampler", (Source("positive"),))
    assert trace.ends == {Point("text", 0), Point("other", 0)}
    assert trace.inputs == {
        *(("sampler", "positive", ""), ("more", "conditioning", "")),
        *(("both", "conditioning_1", ""), ("both", "conditioning_2", "")),
    }
    assert carried(graph, KNOWN, Point("text", 0)) is None
    assert carried(graph, KNOWN, Point("gone", 0)) is None
    assert carried(graph, KNOWN, Point("more", 1)) is None
    assert carried(graph, KNOWN, Point("more", 0)) == (Source("conditioning"),)


def test_only_what_is_known_to_give_none_gives_no_conditioning():
    graph = workflow(
        text=node("CLIPTextEncode", clip=["loader", 1], text="a"),
        guard=node("SafreeConditioning"),
        more=node("FluxGuidance", conditioning=["text", 0]),
        loader=node("CheckpointLoaderSimple"),
        theirs=node("NobodyKnowsThis"),
    )
    giving = [("text", 0), ("guard", 0), ("more", 0), ("theirs", 0), ("gone", 0)]
    assert all(is_conditioning(graph, KNOWN, Point(*link)) for link in giving)
    assert not any(is_conditioning(graph, KNOWN, Point(*link)) for link in [("loader", 1), ("guard", 1), ("text", 1)])


def test_a_number_is_read_through_comfyuis_primitives_however_many_up_to_a_bound():
    graph = {"one": node("PrimitiveFloat", value=2.5), "n": node("KSampler", cfg=["one", 0], steps=20)}
    assert number(Workflow(graph), KNOWN, "n", "cfg") == 2.5
    assert number(Workflow(graph), KNOWN, "n", "cfg", primitives_only=True) == 2.5
    assert number(Workflow(graph), KNOWN, "n", "steps") == 20
    assert number(Workflow(graph), KNOWN, "n", "none") is None
    for count, value in ((LONGEST - 2, 4), (LONGEST + 2, None)):
        chain = {f"p{i}": node("PrimitiveInt", value=[f"p{i + 1}", 0]) for i in range(count)}
        chain |= {f"p{count}": node("PrimitiveInt", value=4), "n": node("KSampler", steps=["p0", 0])}
        assert number(Workflow(chain), KNOWN, "n", "steps") == value
    graph["one"] = node("NobodyKnowsThis", value=2.5)
    assert number(Workflow(graph), KNOWN, "n", "cfg") is None


@pytest.mark.parametrize(
    ("value", "limit", "inside"),
    [
        *((value, [0, 1], True) for value in (0, 1, 0.5, 1.0)),
        *((value, [0, 1], False) for value in (-0.001, 1.001, True, False, "0.5", None, ["x", 0], math.nan)),
        ("add", ["add", "multiply"], True),
        *((value, ["add", "multiply"], False) for value in ("Add", "", 0, None, ["add"])),
    ],
)
def test_limits_are_numbers_between_two_or_one_of_some_texts(value, limit, inside):
    assert within(value, limit) is inside


def test_settings_beyond_their_limits_are_told_by_name_with_what_is_harmless():
    graph = workflow(n=node("A", b=2, a="x", c=0.5, p=["one", 0]), one=node("PrimitiveFloat", value=3.0))
    limits = {"a": ["y", "z"], "b": [0, 1], "c": [0, 1], "d": [0, 1], "p": [0, 5]}
    assert beyond(graph, KNOWN, "n", limits) == (
        "a is 'x'; known to be harmless is only 'y' or 'z'",
        "b is 2; known to be harmless is only 0 to 1",
    )
    assert beyond(graph, KNOWN, "n", {"p": [0, 2]}) != ()


@FAST
@given(st.lists(st.floats(0, 100).map(lambda value: round(value, 3)), max_size=8))
def test_sigmas_fall_when_none_is_above_the_one_before(sigmas):
    text = ", ".join(f"{value:.3f}" for value in sigmas)
    assert falling(text) == all(one >= other for one, other in itertools.pairwise(sigmas))
    assert not falling(None)


NEEDS = st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12), max_size=4), max_size=13)


def reachable(needs: dict[int, set[int]], key: int) -> set[int]:
    found, waiting = {key}, [key]
    while waiting:
        fresh = needs.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


@FAST
@given(NEEDS, st.booleans())
def test_values_are_worked_out_once_from_all_that_they_depend_on_and_a_circle_adds_nothing(needs, circles):
    if not circles:
        needs = {key: {one for one in own if one > key} for key, own in needs.items()}
    expanded: list[int] = []

    def expand(key: int):
        expanded.append(key)
        return sorted(needs.get(key, ())), lambda values: frozenset({key}).union(*values)

    settled = Settled(expand, frozenset())
    for key in needs:
        value = settled[key]
        assert key in settled
        assert {key} <= value <= reachable(needs, key)
        assert circles or value == reachable(needs, key)
    assert len(expanded) == len(set(expanded))
    assert settled.work == len(expanded) + sum(len(needs.get(key, ())) for key in expanded)


def test_a_long_chain_is_settled_without_recursion():
    settled = Settled(lambda key: ([key + 1] if key < 5000 else [], lambda values: 1 + sum(values)), 0)
    assert settled[0] == 5001
    assert 5000 in settled
    assert 5001 not in settled


def test_reasons_are_merged_once_each_up_to_a_bound_and_one_guard_is_enough_to_be_marked():
    one = State(("a", "b"))
    assert merged([one]) is one
    assert merged([]) == State()
    assert merged([one, State(("b", "c"), True)]) == State(("a", "b", "c"), True)
    assert merged([one, one]) == State(("a", "b"), False)
    assert merged([State((str(n),)) for n in range(9)]).reasons == tuple(map(str, range(MOST_REASONS)))
