"""Prompts of `bench unasked`: settings are chosen on others than those of the figures."""

from __future__ import annotations

import pytest

from bench.unasked import BATCH, batches
from bench.unasked_assets import known
from bench.unasked_cases import cases
from bench.world import World

COUNT = 40


@pytest.fixture(scope="module")
def world():
    return World()


def test_every_way_has_as_many_cases(world):
    ways = [case.way for case in cases(world, COUNT)]
    assert {ways.count(way) for way in ways} == {COUNT}


def test_tuning_and_figures_share_neither_objects_nor_seeds(world):
    figures, tuning = cases(world, COUNT), cases(world, COUNT, tuning=True)
    assert not {case.kept for case in figures} & {case.kept for case in tuning}
    assert not {case.seed for case in figures} & {case.seed for case in tuning}


def test_a_longer_run_begins_with_the_shorter_one(world):
    assert cases(world, COUNT)[: 6 * 10] == cases(world, 10)


def test_what_is_drawn_at_once_is_of_one_way_and_denoise(world):
    made = cases(world, COUNT)
    groups = batches(made)
    assert sorted(map(id, made)) == sorted(id(case) for group in groups for case in group)
    assert all(len(group) <= BATCH for group in groups)
    assert all(len({(case.way, case.denoise, case.lora, case.concept) for case in group}) == 1 for group in groups)


def test_phrases_that_the_checkpoint_cannot_draw_are_left_out(world):
    phrases = known(world, world.concepts()["weapon"])
    assert {"knife", "bow and arrow"} <= set(phrases)
    assert "uzi" not in phrases
