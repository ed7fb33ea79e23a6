"""What a run keeps on disk: entries in order, each measured once, whatever stopped the run before."""

from __future__ import annotations

import json

import pytest

from bench.run import cluster, kept


class Squares:
    """Its own Measurer; notes what it is asked for."""

    identity, about = "squares", None

    def __init__(self):
        self.asked = []

    def start(self, gpu: bool) -> Squares:
        return self

    def measure(self, shard: list[int]) -> list[dict]:
        self.asked += shard
        return [{"square": number**2} for number in shard]


@pytest.fixture
def measure(tmp_path):
    """Measures numbers as a new run in the same folder: (entries, what was asked for)."""

    def measure(*numbers: int) -> tuple[list[int], list[int]]:
        plan, known = Squares(), kept.Kept(tmp_path / "out" / "rows.jsonl")
        with cluster.Here().open(plan) as pool:
            found = kept.measure(pool, list(numbers), [kept.digest(n) for n in numbers], known, 2, disable=True)
        return [entry["square"] for entry in found], plan.asked

    return measure


def test_a_run_goes_on_where_another_stopped_and_measures_equal_items_once(measure, tmp_path):
    assert measure(3, 1, 3, 2) == ([9, 1, 9, 4], [3, 1, 2])
    assert measure(2, 5, 3) == ([4, 25, 9], [5])
    assert measure() == ([], [])
    assert len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == 4


def test_a_line_cut_short_is_measured_again_and_spoils_none_after_it(measure, tmp_path):
    measure(3, 1)
    path = tmp_path / "out" / "rows.jsonl"
    path.write_text(path.read_text()[:-9])
    assert measure(3, 1) == ([9, 1], [1])
    assert measure(3, 1) == ([9, 1], [])
    assert json.loads(path.read_text().splitlines()[-1])["square"] == 1


def test_a_checkout_with_other_code_is_refused():
    kept.check_method(kept.method())
    with pytest.raises(ValueError, match="differs from the one that the run was started from"):
        kept.check_method("another")
