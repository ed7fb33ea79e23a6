"""Prompts of `bench unasked`: settings are chosen on others than those of the figures."""

from __future__ import annotations

import pytest
import torch

from bench.unasked.ablations import ABLATIONS, LIMITS, ablate
from bench.unasked.assets import known
from bench.unasked.cases import cases
from bench.unasked.command import BATCH, batches
from bench.world.prompts import World
from safree.presence import ConceptPresence, Probe

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


def test_an_ablation_changes_what_it_is_called():
    measured = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(0))
    probe = Probe(torch.ones(4), 0.0, torch.full((4,), 0.25))
    concept = ConceptPresence("star", ("a star",), (14.0,), ({0: probe},), measured, measured, torch.zeros(1, 77, 8))
    changed = {name: ablate(concept, name) for name in ABLATIONS}
    assert changed["strength 0.5"] == (concept, 0.5)
    assert all(strength == 1 for name, (_, strength) in changed.items() if not name.startswith("strength"))
    limits = [changed[f"limit {limit}"][0].threshold for limit in LIMITS]
    assert limits == sorted(limits)
    assert limits[1] < concept.threshold < limits[2]
    features, places = torch.ones(1, 4, 8, 8), torch.zeros(1, 8, 8)
    places[0, 0, 0] = 9.0
    damped = [c.probes[0][0].damp(features, places, torch.ones(1)) for c in (concept, changed["everywhere"][0])]
    assert torch.equal(damped[0][..., 4:, 4:], features[..., 4:, 4:])
    assert (damped[1][..., 4:, 4:] < features[..., 4:, 4:]).all()
