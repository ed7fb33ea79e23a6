"""Concept sets, subspace files and file names of strangers."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import strategies as st
from strategies import JSON, PATHS, SCALARS, TEXTS, damaged

fault = pytest.mark.fault
CLEAR = "a clear error that names the file, or a usable result"
GOOD_SET = {
    "$schema": "concept_set.schema.json",
    "name": "set",
    "description": "words",
    "version": 1,
    "phrases": ["gun", "a knife"],
    "defaults": {"adaptive": {"threshold": 0.5, "strength": 1.0}},
    "sources": ["a paper"],
}


@pytest.fixture
def read_set(pack, tmp_path, attempt):
    """Write a concept set and read it; the message where it is refused."""

    def read_set(raw: bytes) -> str:
        path = tmp_path / "set.json"
        path.write_bytes(raw)
        found, message = attempt(pack.host.data.concept_sets.load, path)
        if message:
            assert "set.json" in message
            assert pack.host.data.concept_sets.names(tmp_path) == []
        else:
            assert all(phrase.strip() for phrase in found.phrases)
            assert pack.host.data.concept_sets.get("set", tmp_path) == found
        return message

    return read_set


@fault("a concept set with wrong, missing or unknown fields, or of any other JSON", CLEAR)
def test_a_concept_set_of_any_json_is_read_or_refused(read_set, fuzz):
    changes = st.dictionaries(st.sampled_from([*GOOD_SET, "other"]), JSON, min_size=1, max_size=2)
    changed = changes.map(lambda change: {**GOOD_SET, **change})
    fewer = st.sets(st.sampled_from(sorted(GOOD_SET))).map(lambda keys: {key: GOOD_SET[key] for key in keys})
    fuzz(st.one_of(changed, fewer, JSON).map(json.dumps).map(str.encode), 600, read_set)


@fault("a concept set with bytes cut out, overwritten or doubled", CLEAR)
def test_a_damaged_concept_set_is_read_or_refused(read_set, fuzz):
    assert not read_set(json.dumps(GOOD_SET).encode())
    fuzz(damaged(json.dumps(GOOD_SET).encode()), 1200, read_set)
    assert "cannot be read" in read_set(b"[" * 200_000)


@fault("concept phrases of any kind", "a clear error, or stripped phrases without duplicates")
def test_phrases_of_any_kind_are_taken_or_refused(pack, attempt, fuzz):
    def check(phrases):
        found, message = attempt(pack.host.data.concept_sets.check_phrases, phrases)
        assert message or len(set(found)) == len(found) > 0

    fuzz(st.lists(st.one_of(TEXTS, SCALARS), max_size=6), 500, check)


@pytest.fixture
def file(pack, tmp_path):
    """Path of a good subspace file."""
    safree = pack.safree
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(2, 8, generator=generator)
    space = safree.subspace.EncoderSubspace(numbers, safree.linear_algebra.span(numbers[:1]), numbers[0], numbers[:1])
    good = safree.subspace.ConceptSubspace("good", ("gun", "knife"), {"l": space}, retained=("bow tie",))
    safree.storage.save(good, tmp_path / "good.safetensors")
    return tmp_path / "good.safetensors"


@pytest.fixture
def read(pack, file, attempt):
    """Write a subspace file and read it; what is read must be usable."""

    def read(raw: bytes) -> None:
        file.write_bytes(raw)
        loaded, message = attempt(pack.safree.storage.load, file)
        if message:
            assert file.name in message
            return
        json.dumps(loaded.summary(), allow_nan=False)  # the editor's panel reads it
        for space in loaded.encoders.values():
            width = space.concepts.shape[1]
            ratios = pack.safree.detection.distance_ratio(torch.ones(width), torch.eye(width), space.basis)
            assert torch.isfinite(ratios).all()
            texts = torch.randn(60, width, generator=torch.Generator().manual_seed(2))
            everyday = pack.safree.discriminant.Everyday(texts)
            found = pack.safree.discriminant.fit(space.concepts, everyday, retain=space.retain)
            assert torch.isfinite(found.lean(texts)).all()

    return read


@fault("a subspace file with bytes cut out, overwritten or doubled", CLEAR)
def test_a_damaged_subspace_file_is_read_or_refused(file, read, fuzz):
    fuzz(damaged(file.read_bytes()), 1200, read)


def split_file(raw: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


@fault("a subspace file with a huge, wrong or hostile header, wrong dtypes and shapes", CLEAR)
def test_a_subspace_file_with_any_header_is_read_or_refused(file, read, fuzz):
    header, body = split_file(file.read_bytes())
    metadata = st.dictionaries(st.sampled_from([*header["__metadata__"], "x"]), st.one_of(TEXTS, JSON.map(json.dumps)))
    null = st.dictionaries(st.sampled_from(["encoders", "retained", "null"]), JSON.map(json.dumps))
    tensor = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "F64", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "nonsense"]),
            "shape": st.lists(st.integers(0, 10) | st.just(2**62), max_size=3),
            "data_offsets": st.lists(st.integers(0, 200), min_size=2, max_size=2),
        }
    )
    tensors = st.dictionaries(st.sampled_from(sorted(header.keys() - {"__metadata__"})), tensor, max_size=2)

    def build(change, tensors, extra) -> bytes:
        text = json.dumps({**header, "__metadata__": {**header["__metadata__"], **change}, **tensors}).encode()
        return struct.pack("<Q", len(text) + extra) + text + body

    extra = st.sampled_from([0, 0, 0, 0, 1, 2**31, 2**62])
    fuzz(st.builds(build, metadata | null | st.just({}), tensors, extra), 500, read)


@fault("a subspace file with NaN, infinity, zeros or huge numbers", CLEAR)
def test_a_subspace_file_with_any_numbers_is_read_or_refused(file, read, fuzz):
    header, body = split_file(file.read_bytes())
    text = json.dumps(header).encode()
    special = st.sampled_from([0.0, float("nan"), float("inf"), 3e38, 1e-38, 1e-45, -1.0])
    edits = st.lists(st.tuples(st.integers(0, len(body) // 4 - 1), special | st.floats(width=32)), max_size=4)

    def change(edits) -> bytes:
        data = bytearray(body)
        for at, value in edits:
            data[4 * at : 4 * at + 4] = struct.pack("<f", value)
        return bytes(data)

    everywhere = special.map(lambda value: [(at, value) for at in range(len(body) // 4)])
    whole = (edits | everywhere).map(change).map(lambda data: struct.pack("<Q", len(text)) + text + data)
    fuzz(whole, 600, read)


@fault("file names with folders, drives, devices, controls or odd endings", "a clear error, nothing outside the folder")
def test_a_subspace_is_saved_in_its_folder_or_not_at_all(pack, attempt, fuzz):
    folders = pack.host.folders
    folder = folders.to_save("x").parent

    def check(name):
        path, message = attempt(folders.to_save, name)
        if message:
            assert repr(name) in message
            return
        assert path.parent == folder
        assert path.name.removesuffix(".safetensors") == name.removesuffix(".safetensors")
        assert path.resolve().parent == folder.resolve()
        assert path.suffix == ".safetensors"
        assert path.name.isascii()
        assert path.name.isprintable()

    fuzz(st.one_of(PATHS, TEXTS, st.text("AbZ09 ._-", max_size=110)), 1500, check)


@fault("names of files that are not there, or elsewhere", "a clear error, nothing is read")
def test_only_a_file_of_the_list_is_loaded(pack, fuzz):
    def check(name):
        with pytest.raises(pack.safree.SafreeError, match="there is no subspace file"):
            pack.host.folders.to_load(name)

    fuzz(st.one_of(PATHS, TEXTS), 200, check)


@fault("links and folders in the way of a saved subspace", "what they point to is never touched")
@pytest.mark.parametrize("way", ["link to a file", "dangling link", "folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_saving_follows_no_link(pack, file, tmp_path, way, overwrite):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "saved" / "one.safetensors"
    path.parent.mkdir()
    if way == "folder":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    if way == "link to a file":
        elsewhere.write_text("mine")
    safree = pack.safree
    if overwrite and way != "folder":
        safree.storage.save(safree.storage.load(file), path, overwrite)
        assert not path.is_symlink()
        assert safree.storage.load(path).name == "good"
    else:
        with pytest.raises(pack.safree.SafreeError, match=r"'one\.safetensors'"):
            safree.storage.save(safree.storage.load(file), path, overwrite)
        assert path.is_dir() or path.is_symlink()
    assert elsewhere.exists() == (way == "link to a file")
    assert not elsewhere.exists() or elsewhere.read_text() == "mine"
    assert [entry.name for entry in path.parent.iterdir()] == ["one.safetensors"]


@fault("a disk that is full or a folder without permission", "a clear error, no partial file")
def test_a_disk_that_refuses_is_named(pack, file, tmp_path, monkeypatch):
    safree = pack.safree
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(pack.safree.SafreeError, match=r"'two\.safetensors' could not be written .*No space left"):
        safree.storage.save(safree.storage.load(file), tmp_path / "two.safetensors")
    assert [entry.name for entry in tmp_path.iterdir()] == ["good.safetensors"]
