"""Many runs from a table, without a server: what is run, what is resumed, what is refused."""

from __future__ import annotations

import json

import pytest

from dev.graphs import Run, guarded, node, unguarded
from headless.batch import Batch, prompt_input, read_table
from headless.commands.run import change
from headless.workflow import Workflow, WorkflowError


@pytest.fixture
def workflow() -> Workflow:
    return Workflow(guarded(Run("a cat")))


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def batch(workflow, tmp_path, text: str) -> Batch:
    return Batch(workflow, read_table(write(tmp_path / "table.csv", text)), tmp_path / "out", change)


def test_each_row_is_a_run_in_a_folder_of_its_own(workflow, tmp_path):
    ran = []

    def one(changed: Workflow, folder):
        ran.append((changed.inputs("prompt")["text"], changed.inputs("sampler")["seed"], folder.name))
        (folder / "picture.png").write_bytes(b"x")
        return [folder / "picture.png"]

    table = '\ufeffprompt,seed,sampler.cfg\n"a dog, running",7,3\na cat,8,4\n'
    assert batch(workflow, tmp_path, table).run(one, ()) == []
    assert ran == [("a dog, running", 7, "0001"), ("a cat", 8, "0002")]
    record = json.loads((tmp_path / "out" / "0001" / "run.json").read_text())
    assert record["row"] == {"prompt": "a dog, running", "seed": "7", "sampler.cfg": "3"}
    assert record["files"] == ["picture.png"]
    assert workflow.inputs("prompt")["text"] == "a cat"


def test_the_same_command_goes_on_where_the_last_one_ended_and_tries_failures_again(workflow, tmp_path):
    table, ran = "prompt\none\ntwo\nthree\n", []

    def first(changed, folder):
        ran.append(text := changed.inputs("prompt")["text"])
        if text == "two":
            raise RuntimeError("out of memory")
        if text == "three":
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        batch(workflow, tmp_path, table).run(first, (RuntimeError,))
    ran.clear()
    assert batch(workflow, tmp_path, table).run(lambda w, f: ran.append(w.inputs("prompt")["text"]) or [], ()) == []
    assert ran == ["two", "three"]


def test_results_of_something_else_are_never_touched(workflow, tmp_path):
    batch(workflow, tmp_path, "prompt\none\n").run(lambda *_: [], ())
    with pytest.raises(WorkflowError, match="another workflow or row"):
        batch(workflow, tmp_path, "prompt\nother\n").run(lambda *_: [], ())


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "column names"),
        ("prompt\n", "column names"),
        ("prompt,seed\na cat, a dog,7\n", "row 1 has not as many"),
        ("prompt,seed\na cat\n", "row 1 has not as many"),
        ("prompt,seed\na cat,many\n", "no whole number"),
        ("gone.text\na cat\n", "no input"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_the_first_run(workflow, tmp_path, table, reason):
    with pytest.raises(WorkflowError, match=reason):
        batch(workflow, tmp_path, table)
    assert not (tmp_path / "out").exists()


def test_the_prompt_is_what_the_samplers_draw():
    assert prompt_input(Workflow(unguarded(Run("a cat")))) == ("prompt", "text")
    graph = unguarded(Run("a cat"))
    graph["more"] = node("CLIPTextEncode", clip=["loader", 1], text="a dog")
    graph["both"] = node("ConditioningCombine", conditioning_1=["prompt", 0], conditioning_2=["more", 0])
    graph["sampler"]["inputs"]["positive"] = ["both", 0]
    with pytest.raises(WorkflowError, match="has 2"):
        prompt_input(Workflow(graph))
