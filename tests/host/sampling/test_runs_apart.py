"""One patched MODEL, as ComfyUI caches it, is sampled again and again, with clones: no run can see another one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tracing import sample

STEPS = 5


@pytest.fixture
def run(comfy_nodes, empty, latent):
    """Sample with ComfyUI's KSampler."""

    def run(model, positive, steps=STEPS):
        return sample(comfy_nodes, model, positive, empty, latent, steps=steps)

    return run


@pytest.fixture
def patched(pack, model):
    """(a model that validates itself and warns, a list that gets the record of each of its runs)."""
    records = []
    switch = pack.host.sampling.switching.Switch(on_problem="warn")
    return pack.host.sampling.run.self_validating(model, switch, records.append), records


def test_each_run_has_a_record_of_its_own(run, patched, swapped, guarded, pistol):
    model, records = patched
    run(model, swapped)
    run(model, pistol)  # unguarded
    run(model.clone(), guarded, steps=3)
    run(model, swapped)
    assert [record.filtered for record in records] == [[2], [], [3], [2]]
    assert [record.part.count for record in records] == [STEPS, STEPS, 3, STEPS]
    assert [len(record.problems) for record in records] == [0, 1, 0, 0]
    assert [record.report().state for record in records] == ["filtered", "inactive", "filtered", "filtered"]
    assert len({id(record) for record in records}) == 4


def test_a_run_does_not_depend_on_the_ones_before(run, patched, pack, model, swapped, pistol):
    cached, _ = patched
    switch = pack.host.sampling.switching.Switch(on_problem="warn")
    fresh = run(pack.host.sampling.run.self_validating(model, switch), swapped)
    for other in (pistol, swapped):
        run(cached, other)
        run(cached.clone(), other, steps=2)
    assert torch.equal(run(cached, swapped), fresh)


def test_a_run_leaves_nothing_on_the_model(run, patched, swapped):
    model, _ = patched
    before = {key: dict(value) for key, value in model.wrappers.items()}
    attachments, options = dict(model.attachments), dict(model.model_options["transformer_options"])
    run(model, swapped)
    assert {key: dict(value) for key, value in model.wrappers.items()} == before
    assert model.attachments == attachments
    assert model.model_options["transformer_options"] == options


def test_settings_cannot_be_changed(pack, patched, run, swapped):
    model, records = patched
    run(model, swapped)
    with pytest.raises(dataclasses.FrozenInstanceError):
        records[0].switch.fixed = 0


def test_a_run_that_fails_leaves_the_next_one_as_it_was(pack, run, model, swapped, pistol):
    records = []
    switch = pack.host.sampling.switching.Switch()
    strict = pack.host.sampling.run.self_validating(model, switch, records.append)
    first = run(strict, swapped)
    with pytest.raises(pack.safree.SafreeError, match="guard not active"):
        run(strict, pistol)
    assert torch.equal(run(strict, swapped), first)
    assert [record.filtered for record in records] == [[2], [2]]


def test_a_clone_that_is_patched_again_reports_to_its_own_caller(pack, run, patched, swapped):
    model, records = patched
    others = []
    switch = pack.host.sampling.switching.Switch(fixed=1)
    other = pack.host.sampling.run.self_validating(model, switch, others.append)
    run(other, swapped)
    run(model, swapped)
    assert [record.filtered for record in others] == [[1]]
    assert [record.filtered for record in records] == [[2]]
