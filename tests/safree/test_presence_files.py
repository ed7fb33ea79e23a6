"""Presence files: everything comes back, and each way to be damaged is told apart from what is just allowed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from safree import SafreeError, presence_storage
from safree.presence import ConceptPresence, Probe


@pytest.fixture
def concept() -> ConceptPresence:
    """The smallest that is allowed: two noise levels, two pictures; two blocks of different widths."""
    draw = torch.Generator().manual_seed(0)
    probes = tuple(
        {block: Probe(torch.randn(width, generator=draw), 0.5, torch.randn(width, generator=draw), -0.25, 2.0)}
        | {7: Probe(torch.randn(3, generator=draw), -1.5, torch.randn(3, generator=draw), 0.0, 0.125)}
        for block, width in ((1, 5), (1, 5))
    )
    measured = torch.randn(2, 2, 2, 2, generator=draw)
    return ConceptPresence(
        *("star", ("a star", "ein Stern"), (2.0, 0.5), probes),
        *(measured[0], measured[1], torch.zeros(1, 4, 3)),
        also={"pooled_output": torch.ones(1, 6), "attention_mask": torch.ones(1, 4)},
    )


def changed(concept: ConceptPresence, step: int, **fields) -> ConceptPresence:
    """With other fields in the probe of block 7 at `step`."""
    probes = [dict(own) for own in concept.probes]
    probes[step][7] = dataclasses.replace(probes[step][7], **fields)
    return dataclasses.replace(concept, probes=tuple(probes))


def test_every_field_comes_back_bit_for_bit(concept, tmp_path):
    path = tmp_path / "deeper" / "star.safetensors"
    presence_storage.save(concept, path)
    found = presence_storage.load(path)
    assert (found.name, found.phrases, found.sigmas) == (concept.name, concept.phrases, concept.sigmas)
    for field in ("clean", "shown", "empty"):
        assert torch.equal(getattr(found, field), getattr(concept, field))
    assert found.also.keys() == concept.also.keys() == {"pooled_output", "attention_mask"}
    assert all(torch.equal(found.also[name], tensor) for name, tensor in concept.also.items())
    for own, other in zip(found.probes, concept.probes, strict=True):
        assert own.keys() == other.keys() == {1, 7}
        for block, probe in own.items():
            assert torch.equal(probe.weight, other[block].weight)
            assert torch.equal(probe.direction, other[block].direction)
            for number in ("offset", "mean", "deviation"):
                assert getattr(probe, number) == getattr(other[block], number)


def test_a_file_is_replaced_where_that_is_asked_for(concept, tmp_path):
    path = tmp_path / "star.safetensors"
    presence_storage.save(concept, path)
    presence_storage.save(dataclasses.replace(concept, name="moon"), path, overwrite=True)
    assert presence_storage.load(path).name == "moon"
    with pytest.raises(SafreeError, match="exists"):
        presence_storage.save(concept, path)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda c: dataclasses.replace(c, shown=torch.full_like(c.shown, torch.inf)), "not finite"),
        (lambda c: dataclasses.replace(c, sigmas=(2.0,), probes=c.probes[:1]), "noise levels"),
        (lambda c: dataclasses.replace(c, sigmas=(2.0, 0.0)), "noise levels"),
        (lambda c: dataclasses.replace(c, sigmas=(2.0, -1.0)), "noise levels"),
        (lambda c: dataclasses.replace(c, sigmas=(0.5, 2.0)), "noise levels"),
        (lambda c: dataclasses.replace(c, clean=c.clean[..., :1]), "calibration has shape"),
        (lambda c: dataclasses.replace(c, shown=c.shown[..., :1]), "calibration has shape"),
        (lambda c: dataclasses.replace(c, shown=c.shown[:1]), "calibration has shape"),
        (lambda c: dataclasses.replace(c, clean=c.clean[..., None]), "calibration has shape"),
        (lambda c: dataclasses.replace(c, probes=({}, {})), "differ from step to step"),
        (lambda c: dataclasses.replace(c, probes=(c.probes[0], {1: c.probes[1][1]})), "differ from step to step"),
        (lambda c: changed(c, 1, weight=torch.ones(4), direction=torch.ones(4)), "differ from step to step"),
        (lambda c: changed(c, 1, direction=torch.ones(4)), "wrong shape"),
        (lambda c: changed(c, 0, weight=torch.ones(3, 3), direction=torch.ones(3, 3)), "wrong shape"),
        (lambda c: changed(c, 1, deviation=0.0), "not positive"),
        (lambda c: changed(c, 0, deviation=-1.0), "not positive"),
        (lambda c: dataclasses.replace(c, empty=torch.zeros(4, 3)), "empty prompt has shape"),
    ],
)
def test_each_kind_of_damage_is_named(concept, tmp_path, damage, told):
    presence_storage.save(damage(concept), tmp_path / "bad.safetensors")
    with pytest.raises(SafreeError, match=rf"'bad.safetensors' is damaged.*{told}.*Learn and save it again"):
        presence_storage.load(tmp_path / "bad.safetensors")


def test_a_file_of_another_format_is_named_by_it(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"format": "another-1"})
    with pytest.raises(SafreeError, match=r"'other.safetensors' has format 'another-1', not 'safree-presence-1'"):
        presence_storage.load(tmp_path / "other.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"format": "safree-presence-1"})
    with pytest.raises(SafreeError, match="is damaged"):
        presence_storage.load(tmp_path / "other.safetensors")
    with pytest.raises(SafreeError, match="is damaged"):
        presence_storage.load(tmp_path / "none.safetensors")


def test_the_pooled_output_of_a_file_of_0_2_0_is_read(concept, tmp_path):
    path, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    presence_storage.save(concept, path)
    with safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["pooled"] = tensors.pop("empty.pooled_output")
    save_file(tensors, old, header)
    assert torch.equal(presence_storage.load(old).also["pooled_output"], concept.also["pooled_output"])
