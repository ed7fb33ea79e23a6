"""What a batch says while it runs, and the table that it reads."""

from __future__ import annotations

import sys

import pytest

from dev.graphs import Run, guarded, node
from headless.batch import BAR, prompt_input, read_table, show
from headless.workflow import Workflow, WorkflowError


@pytest.mark.parametrize(
    ("number", "count", "filled", "left"), [(1, 4, 6, "6 s left"), (3, 4, 18, "2 s left"), (4, 4, BAR, "done")]
)
def test_a_line_tells_how_far_it_is_and_how_long_it_takes(capsys, number, count, filled, left):
    show(number, count, 2.0, "")
    assert capsys.readouterr().err == f"[{'#' * filled}{'.' * (BAR - filled)}] {number} of {count}, {left}" + "\n"


def test_a_failed_row_is_named(capsys):
    show(2, 3, 1.0, "out of memory")
    assert capsys.readouterr().err.startswith("\rrow 2: out of memory")


def test_on_a_terminal_the_line_is_written_over_until_the_last(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show(1, 2, 1.0, "")
    show(2, 2, 1.0, "")
    first, last = capsys.readouterr().err.split("\r")[1:]
    assert "1 of 2" in first
    assert not first.endswith("\n")
    assert last.endswith("\n")
    assert len(first) == len(last) - 1 == 79


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs a line of column names"),
        ("prompt,seed\n", "needs a line of column names"),
        ("prompt,\na,b\n", "needs a line of column names"),
        ("prompt,seed\na,1\n\nb\n", "row 2 has not as many values"),
        ("prompt,seed\na,1,5\n", "row 1 has not as many values"),
        ('prompt\n"a\n', "is no CSV file"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_row(tmp_path, text, reason):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(WorkflowError, match=reason):
        read_table(tmp_path / "t.csv")


def test_lines_without_a_value_are_left_out(tmp_path):
    (tmp_path / "t.csv").write_text("prompt,seed\na,1\n,\nb,2\n")
    assert [row["prompt"] for row in read_table(tmp_path / "t.csv")] == ["a", "b"]


def test_the_prompt_is_the_one_text_that_is_drawn_and_none_where_there_are_several():
    graph = guarded(Run("a cat"))
    graph["unused"] = node("CLIPTextEncode", clip=["loader", 1], text="x")
    assert prompt_input(Workflow(graph)) == ("prompt", "text")
    graph["prompt"]["inputs"]["text"] = ["other", 0]
    with pytest.raises(WorkflowError, match="this one has 0"):
        prompt_input(Workflow(graph))
    graph["prompt"] = node("CLIPTextEncode", clip=["loader", 1], text="a cat")
    assert prompt_input(Workflow(graph)) == ("prompt", "text")
    graph["second"] = node("KSampler", positive=["unused", 0])
    with pytest.raises(WorkflowError, match="this one has 2"):
        prompt_input(Workflow(graph))
