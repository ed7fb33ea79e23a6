"""A short run of `bench soak`: queued prompts with mixed guards, cancellations and interrupts on the real server."""

from __future__ import annotations

import pytest

from bench.cost import soak

PROMPTS, STEPS = 12, 2
fault = pytest.mark.fault


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return soak.run(tmp_path_factory.mktemp("soak"), PROMPTS, STEPS, size=64, seed=2, wave=6, again=3)


@fault("many queued prompts with different guards, some cancelled or interrupted", "every report is that of its prompt")
def test_every_prompt_ends_as_planned_with_its_own_report(result, record_property):
    record_property("cases", PROMPTS)
    assert result["faults"] == []
    assert result["reports compared"] >= 4
    assert result["ends"]["error"] == 0
    assert result["ends"]["run"] >= 3
    assert result["ends"]["interrupt"] >= 1
    assert result["ends"]["cancel"] >= 1


@fault("interrupts before, restarts and cache hits", "the same workflow gives the same bytes")
def test_pictures_are_those_of_a_fresh_server(result, record_property):
    record_property("cases", result["pictures made again"])
    assert result["pictures made again"] >= 6
    assert result["pictures that differ"] == []
    assert result["repeats that differ"] == 0
