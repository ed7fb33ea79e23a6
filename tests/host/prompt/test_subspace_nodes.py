"""Subspaces on disk through the nodes, and subspaces that do not fit: a clear error, and nothing written."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_families import FAMILIES

PROMPT = "a cat and a pistol"


@pytest.fixture
def folder(pack, monkeypatch, tmp_path):
    """The model folder of subspaces, in a temporary place."""
    import folder_paths

    folder = tmp_path / "models" / "subspaces"
    folder.mkdir(parents=True)
    kind = pack.host.folders.KIND
    monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(folder)], {".safetensors"}))
    monkeypatch.delitem(folder_paths.filename_list_cache, kind, raising=False)
    yield folder
    folder_paths.filename_list_cache.pop(kind, None)


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def guard(pack, clip, subspaces):
    return pack.SafreeConditioning.execute(clip, subspaces, PROMPT, "adaptive", 1.0, 0.0, "auto")[0]


def test_a_saved_subspace_guards_as_the_built_one_does(pack, clip, weapons, folder):
    passed = pack.SaveConceptSubspace.execute((weapons,), "my weapons", False)[0]
    assert passed == (weapons,)
    assert list(files(folder)) == ["my weapons.safetensors"]
    loaded = pack.LoadConceptSubspace.execute("my weapons.safetensors", 0.5)[0]
    half = (dataclasses.replace(weapons, strength=0.5),)
    assert torch.equal(guard(pack, clip, loaded)[0][0], guard(pack, clip, half)[0][0])
    both = pack.LoadConceptSubspace.execute("my weapons.safetensors", 1.0, subspaces=loaded)[0]
    assert [subspace.strength for subspace in both] == [0.5, 1.0]


def test_an_existing_file_is_only_overwritten_on_request(pack, weapons, folder):
    other = dataclasses.replace(weapons, name="other")
    pack.SaveConceptSubspace.execute((weapons,), "one", False)
    before = files(folder)
    with pytest.raises(pack.safree.SafreeError, match=r"^SaveConceptSubspace: .*'one\.safetensors' exists"):
        pack.SaveConceptSubspace.execute((other,), "one", False)
    assert files(folder) == before
    pack.SaveConceptSubspace.execute((other,), "one", True)
    assert pack.LoadConceptSubspace.execute("one.safetensors", 1.0)[0][0].name == "other"


NAMES = ["", ".", "..", "../one", "a/one", "a\\one", "/tmp/one", "C:\\one", ".hidden", "one\0", "one\n", "o" * 200]


@pytest.mark.parametrize("name", [*NAMES, "../one.safetensors"])
def test_a_name_that_leaves_the_folder_is_refused_and_nothing_is_written(pack, weapons, folder, tmp_path, name):
    name = str(tmp_path / "one") if name == "/tmp/one" else name
    with pytest.raises(pack.safree.SafreeError, match=r"^SaveConceptSubspace: file name .* is not usable"):
        pack.SaveConceptSubspace.execute((weapons,), name, True)
    assert files(tmp_path) == {}


def test_a_name_that_leaves_the_folder_is_not_read(pack, weapons, folder, tmp_path):
    outside = tmp_path / "models" / "one.safetensors"
    pack.safree.storage.save(weapons, outside)
    for name in ("../one.safetensors", str(outside), "one.safetensors", ""):
        for act in (pack.LoadConceptSubspace.execute, pack.LoadConceptSubspace.fingerprint_inputs):
            with pytest.raises(pack.safree.SafreeError, match=r"^LoadConceptSubspace: there is no subspace file"):
                act(filename=name, strength=1.0)


@pytest.mark.parametrize("kept", [slice(-1), slice(100), slice(0), slice(1000, None)])
def test_a_damaged_file_is_refused_and_left_as_it_is(pack, weapons, folder, kept):
    pack.SaveConceptSubspace.execute((weapons,), "bad", False)
    path = folder / "bad.safetensors"
    path.write_bytes(path.read_bytes()[kept])
    before = files(folder)
    with pytest.raises(pack.safree.SafreeError, match=r"^LoadConceptSubspace: subspace file 'bad\.safetensors'"):
        pack.LoadConceptSubspace.execute("bad.safetensors", 1.0)
    assert files(folder) == before


@pytest.fixture(scope="module")
def built(pack, little_vocabulary):
    """Subspaces of other families by name."""

    def build(name: str):
        return pack.ConceptSubspace.execute(FAMILIES[name].text.clip(), "(phrases only)", "pistol", 1.0)[0]

    return {name: build(name) for name in ("SD1.x", "SD2.x", "SDXL", "Wan 2.1")}


MISFITS = {
    "SD1.x": r"'pistol' was built with encoder 'l' of width 256, this CLIP's 'l' has width 768",
    "SD2.x": r"'pistol' was built for encoder 'h', this CLIP has 'l'",
    "SDXL": r"'pistol' was built with another encoder 'l'",  # of the same width
    "Wan 2.1": r"'pistol' was built for encoder 'umt5xxl', this CLIP has 'l'",
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("mixed", [False, True])
def test_a_subspace_of_another_family_is_refused_alone_and_beside_a_fitting_one(
    pack, clip, weapons, built, folder, name, mixed
):
    subspaces = (weapons, *built[name]) if mixed else built[name]
    with pytest.raises(pack.safree.SafreeError, match=rf"^SafreeConditioning: subspace {MISFITS[name]}.*Rebuild it"):
        guard(pack, clip, subspaces)
    assert files(folder) == {}


@pytest.mark.parametrize("name", ["SD1.x", "SD2.x", "Wan 2.1"])
def test_conditioning_of_another_width_is_refused_beside_a_fitting_subspace(pack, clip, weapons, built, name):
    stock = clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT))
    with pytest.raises(pack.safree.SafreeError, match=r"^SafreeFilterConditioning: subspace 'pistol'.* is 768 wide"):
        pack.SafreeFilterConditioning.execute(stock, (weapons, *built[name]), 1.0, 0.0)


def test_an_encoder_that_the_subspace_lacks_is_named(pack, weapons, little_vocabulary):
    clip = FAMILIES["SDXL"].text.clip()
    both = pack.ConceptSubspace.execute(clip, "(phrases only)", "pistol", 1.0)[0]
    with pytest.raises(pack.safree.SafreeError, match=r"SafreeConditioning: subspace 'weapons' was built"):
        guard(pack, clip, (*both, weapons))
