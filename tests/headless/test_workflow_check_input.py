"""The check for servers, given what is no workflow, or one with junk in it; and its command."""

from __future__ import annotations

import copy
import itertools
import json

import pytest

from dev.graphs import Run, guarded
from headless.check import Policy, unguarded_samplers
from headless.commands.check import main
from headless.workflow import WorkflowError

RUN = Run("a cat and a pistol")
JUNK = [
    None,
    True,
    -2,
    0.5,
    float("inf"),
    "",
    "x",
    [],
    ["prompt"],
    ["negative", 0],
    ["negative", 0.0],
    ["negative", True],
]
JUNK += [["prompt", 1e300], [1, 0], [["prompt", 0]], {}, {"__value__": ["negative", 0]}, {"__value__": {}}]


def test_no_junk_in_a_workflow_is_more_than_refused():
    """A value of any kind anywhere never raises, and never lets the unguarded prompt through to the positive."""
    inputs = [(key, name) for key, entry in guarded(RUN).items() for name in entry["inputs"]]
    for (key, name), value in itertools.product(inputs, JUNK):
        graph = copy.deepcopy(guarded(RUN))
        graph[key]["inputs"][name] = value
        problems = unguarded_samplers(graph, None, Policy(concept_sets=("weapons",)))
        assert problems or (key, name) not in GUARDING, (key, name, value)


GUARDING = {("sampler", "positive"), ("prompt", "subspaces"), ("prompt", "strength"), ("prompt", "mode")}
GUARDING |= {("subspace", "concept_set"), ("subspace", "strength"), ("sampler", "filtered_steps")}
GUARDING |= {("prompt", "threshold"), ("prompt", "self_validation")}


@pytest.mark.parametrize(
    ("workflow", "text"),
    [
        ({"nodes": [], "links": []}, r"Export \(API\)"),
        ([], "API format"),
        ({}, "API format"),
        ({"1": {"inputs": {}}}, "'1'"),
        ({"1": {"class_type": "KSampler", "inputs": []}}, "'1'"),
        ({"1": {"class_type": ["KSampler"]}}, "'1'"),
    ],
)
def test_other_json_is_an_error(workflow, text):
    with pytest.raises(WorkflowError, match=text):
        unguarded_samplers(workflow)


def test_the_command_tells_guarded_unguarded_and_unreadable_apart(tmp_path, capsys):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(guarded(RUN)))
    assert main([str(path), "--concept-set", "weapons"]) == 0
    assert main([str(path), "--concept-set", "nudity", "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert problem["node"] == "sampler"
    path.write_text("{")
    assert main([str(path)]) == 2
    assert "is not JSON" in capsys.readouterr().err
    assert main([str(tmp_path / "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err
