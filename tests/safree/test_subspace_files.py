"""Subspace files: what is saved comes back, what is damaged is refused by name, and nothing is half written."""

from __future__ import annotations

import dataclasses
import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from safree import SafreeError
from safree.linear_algebra import span
from safree.storage import FIRST, FORMAT, load, save
from safree.subspace import ConceptSubspace, EncoderSubspace

FAST = settings(max_examples=30, deadline=None)
# What `str.isprintable` accepts: no controls, surrogates, unassigned code points, and no separator but the space.
PRINTABLE = st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"], include_characters=" ")


def subspace(
    width: int = 16,
    seed: int = 0,
    keys=("l",),
    name="weapons",
    phrases=("gun", "knife"),
    retained=("bow tie",),
    kin=None,
) -> ConceptSubspace:
    generator = torch.Generator().manual_seed(seed)
    encoders = {
        key: EncoderSubspace(
            torch.randn(len(phrases), width, generator=generator),
            span(torch.randn(1, width, generator=generator)),
            torch.randn(width, generator=generator),
            torch.randn(len(retained), width, generator=generator),
        )
        for key in keys
    }
    return ConceptSubspace(name, phrases, encoders, retained=retained, kin=kin or {})


def assert_same(one: ConceptSubspace, other: ConceptSubspace) -> None:
    assert (one.name, one.phrases, one.encoders.keys()) == (other.name, other.phrases, other.encoders.keys())
    assert (one.defaults, one.retained, one.kin) == (other.defaults, other.retained, other.kin)
    for key in one.encoders:
        for field in ("concepts", "common", "probe", "retain"):
            assert torch.equal(getattr(one[key], field), getattr(other[key], field))


@FAST
@given(
    width=st.integers(1, 64),
    seed=st.integers(0, 2**31),
    keys=st.lists(st.sampled_from(["l", "g", "t5xxl"]), min_size=1, unique=True),
    name=st.text(PRINTABLE, max_size=40),
    phrases=st.lists(st.text(PRINTABLE, min_size=1, max_size=20), min_size=1, max_size=5),
    kin=st.dictionaries(st.text(PRINTABLE, max_size=20), st.floats(0.01, 1), max_size=4),
    retained=st.lists(st.text(PRINTABLE, min_size=1, max_size=20), max_size=3),
)
def test_what_is_saved_comes_back_bit_for_bit(tmp_path_factory, width, seed, keys, name, phrases, kin, retained):
    path = tmp_path_factory.mktemp("subspaces") / "one.safetensors"
    defaults = {"adaptive": {"threshold": seed % 100 / 100, "strength": width % 3}}
    built = dataclasses.replace(
        subspace(width, seed, keys, name, tuple(phrases), tuple(retained), kin), defaults=defaults
    )
    save(built, path)
    assert_same(load(path), built)


def test_a_file_without_words_of_the_same_kind_loads_as_a_concept_that_means_none(tmp_path):
    save_file(good_tensors(), tmp_path / "old.safetensors", metadata=good_header())
    assert load(tmp_path / "old.safetensors").kin == {}


def test_saving_makes_missing_folders_and_leaves_only_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "one.safetensors"
    save(subspace(), path)
    assert [p.name for p in path.parent.iterdir()] == ["one.safetensors"]


def test_an_existing_file_is_only_overwritten_on_request(tmp_path):
    path = tmp_path / "one.safetensors"
    first, second = subspace(seed=1), subspace(seed=2)
    save(first, path)
    with pytest.raises(SafreeError, match=r"'one\.safetensors' exists.*overwrite"):
        save(second, path)
    assert_same(load(path), first)
    save(second, path, overwrite=True)
    assert_same(load(path), second)


@pytest.mark.fault("a full disk or an interrupt while a subspace is written", "the old file stays, no partial one")
@pytest.mark.parametrize("fault", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_fault_while_writing_leaves_the_old_file_and_no_partial_one(tmp_path, monkeypatch, fault):
    path = tmp_path / "one.safetensors"
    old = subspace(seed=1)
    save(old, path)

    def fails(*_):
        raise fault

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(SafreeError if isinstance(fault, OSError) else type(fault)):
        save(subspace(seed=2), path, overwrite=True)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["one.safetensors"]
    assert_same(load(path), old)


def good_header(**changes) -> dict:
    header = {"format": FORMAT, "name": "n", "phrases": '["gun"]', "encoders": '["l"]', "retained": '["bow"]'}
    return {key: value for key, value in {**header, **changes}.items() if value is not None}


def good_tensors(**changes) -> dict:
    tensors = {"l.concepts": torch.randn(2, 8), "l.common": torch.eye(1, 8), "l.probe": torch.randn(8)}
    tensors["l.retain"] = torch.randn(1, 8)
    changes = {key.replace("_", "."): value for key, value in changes.items()}
    return {key: value for key, value in {**tensors, **changes}.items() if value is not None}


DAMAGED_HEADERS = {
    "another format": {"format": "safree-subspace-99"},
    "no format": {"format": None},
    "no name": {"name": None},
    "no phrases": {"phrases": None},
    "phrases not JSON": {"phrases": "[gun"},
    "phrases empty": {"phrases": "[]"},
    "phrases one text": {"phrases": '"gun"'},
    "phrases not text": {"phrases": "[1, 2]"},
    "phrases nested without end": {"phrases": "[" * 100_000},
    "no encoders": {"encoders": None},
    "encoders of no name": {"encoders": "[]"},
    "encoders a number": {"encoders": "5"},
    "an encoder that is a number": {"encoders": "[1]"},
    "encoders nested without end": {"encoders": "[" * 100_000},
    "retained one text": {"retained": '"bow"'},
    "retained not text": {"retained": "[1]"},
    "retained of another number": {"retained": '["bow", "arrow"]'},
    "retained missing": {"retained": None},
    "defaults a list": {"defaults": "[]"},
    "defaults of an unknown mode": {"defaults": '{"magic": {}}'},
    "a default out of range": {"defaults": '{"adaptive": {"strength": NaN}}'},
    "kin a list": {"kin": "[]"},
    "kin without probabilities": {"kin": '{"revolver": "likely"}'},
    "kin more than certain": {"kin": '{"revolver": 2}'},
    "kin not a number": {"kin": '{"revolver": NaN}'},
    "an encoder without tensors": {"encoders": '["l", "g"]'},
}
DAMAGED_TENSORS = {
    "concepts missing": {"l_concepts": None},
    "concepts a vector": {"l_concepts": torch.randn(8)},
    "concepts without rows": {"l_concepts": torch.randn(0, 8)},
    "concepts of another width": {"l_concepts": torch.randn(2, 9)},
    "common of another width": {"l_common": torch.randn(1, 9)},
    "common not orthonormal": {"l_common": torch.full((1, 8), 3.0)},
    "retain missing": {"l_retain": None},
    "retain of another width": {"l_retain": torch.randn(1, 9)},
    "retain a vector": {"l_retain": torch.randn(8)},
    "retain zero": {"l_retain": torch.zeros(1, 8)},
    "probe a matrix": {"l_probe": torch.randn(1, 8)},
    "probe empty": {"l_probe": torch.randn(0)},
    "NaN": {"l_concepts": torch.full((2, 8), torch.nan)},
    "infinity": {"l_probe": torch.full((8,), torch.inf)},
    "integers": {"l_concepts": torch.ones(2, 8, dtype=torch.int64)},
    "complex numbers": {"l_concepts": torch.ones(2, 8, dtype=torch.complex64)},
}


@pytest.mark.parametrize("changes", DAMAGED_HEADERS.values(), ids=DAMAGED_HEADERS)
def test_a_damaged_header_is_refused_with_the_name_of_the_file(tmp_path, changes):
    path = tmp_path / "bad.safetensors"
    save_file(good_tensors(), path, metadata=good_header(**changes))
    with pytest.raises(SafreeError, match=r"'bad\.safetensors'"):
        load(path)


@pytest.mark.parametrize("changes", DAMAGED_TENSORS.values(), ids=DAMAGED_TENSORS)
def test_damaged_tensors_are_refused_with_the_name_of_the_file(tmp_path, changes):
    path = tmp_path / "bad.safetensors"
    save_file(good_tensors(**changes), path, metadata=good_header())
    with pytest.raises(SafreeError, match=r"'bad\.safetensors' is damaged"):
        load(path)


def test_the_undamaged_file_of_these_tests_is_accepted(tmp_path):
    save_file(good_tensors(), tmp_path / "good.safetensors", metadata=good_header())
    assert load(tmp_path / "good.safetensors").phrases == ("gun",)


def first_header(**changes) -> dict:
    """As version 0.1.0 wrote it."""
    return good_header(format=FIRST, encoders=None, retained=None, null='{"l": [0.2, 0.1]}', **changes)


def test_a_file_of_version_0_1_0_is_read_without_its_calibration(tmp_path, caplog):
    tensors = good_tensors(l_retain=None)
    save_file(tensors, tmp_path / "old.safetensors", metadata=first_header(name="weapons"))
    loaded = load(tmp_path / "old.safetensors")
    assert (loaded.name, loaded.phrases, loaded.retained) == ("weapons", ("gun",), ())
    assert torch.equal(loaded["l"].concepts, tensors["l.concepts"])
    assert torch.equal(loaded["l"].probe, tensors["l.probe"])
    assert loaded["l"].retain.shape == (0, 8)
    assert not caplog.records


def test_a_file_of_version_0_1_0_with_phrases_to_retain_says_that_it_does_not_name_them(tmp_path, caplog):
    """0.1.0 put their directions beside the common one."""
    save_file(
        good_tensors(l_retain=None, l_common=torch.eye(2, 8)), tmp_path / "old.safetensors", metadata=first_header()
    )
    assert load(tmp_path / "old.safetensors").retained == ()
    assert "'old.safetensors' is of version 0.1.0" in caplog.text
    assert "Build and save it again" in caplog.text


def test_a_file_of_version_0_1_0_saved_again_is_one_of_this_version(tmp_path):
    save_file(good_tensors(l_retain=None), tmp_path / "old.safetensors", metadata=first_header())
    save(load(tmp_path / "old.safetensors"), tmp_path / "new.safetensors")
    assert_same(load(tmp_path / "new.safetensors"), load(tmp_path / "old.safetensors"))


@pytest.mark.parametrize("null", [None, "{}", "5", "[1, 2]"])
def test_a_damaged_header_of_version_0_1_0_is_refused(tmp_path, null):
    header = first_header()
    header.pop("null")
    metadata = header if null is None else {**header, "null": null}
    save_file(good_tensors(l_retain=None), tmp_path / "old.safetensors", metadata=metadata)
    with pytest.raises(SafreeError, match=r"'old\.safetensors'"):
        load(tmp_path / "old.safetensors")


RAW = {
    "empty": b"",
    "text": b"not a safetensors file",
    "huge header": struct.pack("<Q", 2**62) + b"{}",
    "header beyond the end": struct.pack("<Q", 1000) + b"{}",
    "header not JSON": struct.pack("<Q", 4) + b"{{{{",
    "tensor beyond the end": (lambda header: struct.pack("<Q", len(header)) + header)(
        json.dumps({"l.probe": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}).encode()
    ),
}


@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_a_file_that_is_no_safetensors_file_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(SafreeError, match=r"'bad\.safetensors'"):
        load(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", ["missing.safetensors", "."])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, where):
    with pytest.raises(SafreeError, match="subspace file"):
        load(tmp_path / where)


@FAST
@given(data=st.data())
def test_any_truncation_or_changed_byte_ends_in_a_subspace_or_a_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("subspaces") / "one.safetensors"
    save(subspace(), path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = load(path)
    except SafreeError as refused:
        loaded, message = None, str(refused)
    if loaded is None:
        assert "one.safetensors" in message
    else:
        assert all(torch.isfinite(space.concepts).all() for space in loaded.encoders.values())
