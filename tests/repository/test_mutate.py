"""`make mutate`: which faults are drawn, what counts as one, and which tests should notice."""

from __future__ import annotations

import collections

import pytest

from dev.mutate.__main__ import same_program
from dev.mutate.faults import Fault, drawn, program, read
from dev.mutate.sources import ROOT, TESTED_IN, files_testing, folder_of, sources

FAULTS = [
    Fault(f"safree/{name}.py", operator, n, (line, 4), (line, 5))
    for name in ("plan", "fill")
    for line in range(20)
    for n, operator in enumerate(("core/One", "core/Another", "core/Third")[: 1 + line % 3])
]


def test_a_seed_draws_the_same_faults_whatever_their_order_and_another_seed_others():
    assert list(drawn(FAULTS, 1)) == list(drawn(FAULTS[::-1], 1)) != list(drawn(FAULTS, 2))
    assert sorted(drawn(FAULTS, 1), key=str) == sorted(FAULTS, key=str)


def test_each_place_is_drawn_once_before_any_is_drawn_twice():
    places = [(fault.path, fault.start) for fault in drawn(FAULTS, 1)]
    counted = collections.Counter(places)
    assert set(places[: len(counted)]) == set(counted)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("def f(x: int | None) -> int | str: ...", "def f(x: int + None) -> int / str: ...", True),
        ("class A:\n    x: int | None = 1", "class A:\n    x: int & None = 1", True),
        ("x = 1  # one", "x = 1", True),
        ("x = 1 | 2", "x = 1 & 2", False),
        ("class A:\n    x: int = 1", "class A:\n    x = 1", False),
    ],
)
def test_annotations_and_comments_are_no_program(before, after, same):
    assert (program(before) == program(after)) is same


def test_every_source_has_tests_and_its_own_come_first():
    for path in sources(list(TESTED_IN)):
        assert all((ROOT / test).is_file() for test in files_testing(path))
        assert files_testing(path)
        assert files_testing(path)[0].startswith(folder_of(path))
    assert files_testing("safree/fill.py") == ("tests/safree/test_fill.py", "tests/repository/test_doctests.py")
    with pytest.raises(SystemExit, match="no source is under safree/none"):
        sources(["safree/none"])


def test_a_change_that_leaves_the_program_as_it_was_says_why_and_is_of_a_line_that_is_there():
    for (path, line, became), why in same_program().items():
        assert line != became
        assert line in " ".join(read(path).split()), path
        assert len(why) > 10
