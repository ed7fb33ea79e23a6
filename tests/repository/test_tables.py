"""Generated tables: only what passed is in them, and they replace nothing but themselves."""

from __future__ import annotations

import pytest

from dev.generate import encoder_table, family_table, fault_table, tables


def fault(what: str, passed: bool, cases: int = 1) -> dict:
    return {"what": what, "outcome": "refused", "cases": cases, "passed": passed}


def test_a_fault_is_listed_once_with_all_its_cases_and_only_if_each_test_passed():
    noted = {
        "tests/a.py::one[1]": fault("lost file", True, 1000),
        "tests/a.py::one[2]": fault("lost file", True, 500),
        "tests/a.py::two": fault("lost mark", True),
        "tests/b.py::two": fault("lost mark", False),
    }
    lines = fault_table.table(noted).splitlines()
    assert lines[2:] == ["| lost file | refused | 1,500 | `tests/a.py` |"]


def test_a_run_replaces_its_own_results_and_drops_those_of_tests_that_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(fault_table, "RESULTS", tmp_path / "work" / "faults.json")
    fault_table.record({"a.py::old": fault("x", True), "b.py::kept": fault("y", True)}, {"a.py::old", "b.py::kept"})
    fault_table.record({"a.py::new": fault("z", True)}, {"a.py::new", "a.py::left_out"})
    assert fault_table.results().keys() == {"b.py::kept", "a.py::new"}
    fault_table.record({"b.py::kept": fault("y", False)}, {"b.py::kept"})
    assert not fault_table.results()["b.py::kept"]["passed"]


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- x -->\nold\n<!-- x -->\nafter \\1\n")
    tables.put(path, "<!-- x -->", r"new \1")
    assert path.read_text() == "before\n<!-- x -->\nnew \\1\n<!-- x -->\nafter \\1\n"
    with pytest.raises(SystemExit, match="no pair of markers"):
        tables.put(path, "<!-- y -->", "new")


def test_an_encoder_is_listed_with_the_versions_that_ran_it_and_only_what_they_showed():
    steered = {"steered": "yes", "encoders": "l", "extras": "pooled_output", "unflagged": "bit-identical"}
    refused = {"steered": "refused: it makes music"}
    newer = {"B": steered, "A": {**steered, "measured": "yes"}}
    made = encoder_table.table({"0.29.0": newer, "0.3.75": {"C": refused}})
    assert made.splitlines()[2:] == [
        "| A | l | the token states, `pooled_output` | bit-identical | yes | 0.29.0 |",
        "| B | l | the token states, `pooled_output` | bit-identical | no | 0.29.0 |",
        "| C |  | refused: it makes music |  |  | 0.3.75 |",
    ]


def test_a_family_is_listed_with_the_versions_that_sampled_it_and_the_cells_of_the_oldest():
    row = dict.fromkeys(family_table.COLUMNS, "yes")
    older = {"A": {**row, "paper": "refused"}}
    newer = {"A": row, "B": {**row, "sampled": "image"}, "C": {"steering": "yes"}}
    lines = family_table.table({"0.29.0": newer, "0.3.75": older}).splitlines()[2:]
    yes = len(row)
    assert lines[0] == f"| A | {' | '.join(['yes'] * (yes - 3))} | refused | yes | yes | 0.3.75, 0.29.0 |"
    assert lines[1] == f"| B | {' | '.join(['yes'] * (yes - 1))} | image | 0.29.0 |"
    assert lines[2].count("not tested") == yes - 1
    assert lines[2].endswith("|  |")
