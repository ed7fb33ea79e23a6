"""Concepts that are lists of names: in the guard, the node, the file, and with an encoder that reads English."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

NAMES = ("Greg Quillfeather", "Rose Brown", "Prince", "Ada Marrenbeek")


@pytest.fixture(scope="module")
def lists(pack, clip):
    return pack.host.prompt.subspaces.build_names(clip, "artists.txt", NAMES)


@pytest.fixture
def guard(pack, clip, lists):
    def guard(text: str, *more, **settings):
        settings = pack.host.prompt.findings.Settings(**settings)
        return pack.host.prompt.guard.guard_prompt(clip, text, (lists, *more), settings)

    return guard


def words(guarded) -> list[str]:
    return [finding.text for finding in guarded.flagged]


def encoded(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


def test_a_name_is_taken_out_of_a_prompt_and_the_rest_stays_as_it_is_encoded_without_it(guard, clip):
    guarded = guard("a cat by greg quillfeather")
    assert words(guarded) == ["greg", "quillfeather"]
    assert {finding.concept for finding in guarded.flagged} == {"artists.txt"}
    plain, steered = encoded(clip, "a cat by greg quillfeather"), guarded.conditioning[0][0]
    assert torch.equal(steered[:, :4], plain[:, :4]), "<start> a cat by"
    assert not torch.equal(steered[:, 4:], plain[:, 4:])
    assert guarded.report()["state"] == "filtered"


@pytest.mark.parametrize("text", ["a cat", "a brown rose", "greg and a cat", "a quillfeather", ""])
def test_a_prompt_without_a_name_is_bit_identical(guard, clip, text):
    guarded = guard(text)
    assert guarded.flagged == []
    assert torch.equal(guarded.conditioning[0][0], encoded(clip, text))


def test_strength_zero_is_bit_identical(guard, clip):
    text = "a cat by greg quillfeather"
    assert torch.equal(guard(text, strength=0.0).conditioning[0][0], encoded(clip, text))


@pytest.mark.parametrize("text", ["gr3g quillfeather", "quillfeather, greg", "greg quilfeather"])
def test_a_name_that_is_written_otherwise_is_reported_as_it_is_read(guard, text):
    (finding,) = guard(f"a cat, {text}").flagged
    assert (finding.text, finding.read_as) == (text, "Greg Quillfeather")


def test_names_and_a_concept_of_phrases_are_found_beside_each_other(guard, weapons):
    guarded = guard("a pistol by ada marrenbeek", weapons)
    found = {finding.text: finding.concept for finding in guarded.flagged}
    assert found == {"pistol": "weapons", "ada": "artists.txt", "marrenbeek": "artists.txt"}


def test_a_phrase_to_leave_alone_keeps_the_name_in_it(pack, clip, guard, lists):
    kept = dataclasses.replace(lists, retained=("ada marrenbeek school",))
    settings = pack.host.prompt.findings.Settings()
    guard = pack.host.prompt.guard.guard_prompt
    assert guard(clip, "the ada marrenbeek school", (kept,), settings).flagged == []
    assert words(guard(clip, "ada marrenbeek, a school", (kept,), settings)) == ["ada", "marrenbeek"]


@pytest.mark.fault(
    "a list of names in mode paper or reference", "SafreeError names the list and the mode that takes it"
)
@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_modes_that_look_at_no_words_refuse_a_list(pack, guard, mode):
    with pytest.raises(
        pack.safree.SafreeError, match=f"mode '{mode}' finds no names of a list .'artists.txt'.*adaptive"
    ):
        guard("a cat", mode=mode)


@pytest.mark.fault("a list of names where phrases are needed", "SafreeError names the list")
def test_nodes_that_need_phrases_refuse_a_list(pack, clip, lists):
    with pytest.raises(pack.safree.SafreeError, match=r"'artists\.txt' is a list of names"):
        pack.SafreeFilterConditioning.execute(clip.encode_from_tokens_scheduled(clip.tokenize("a")), (lists,), 1.0, 0.0)
    with pytest.raises(pack.safree.SafreeError, match=r"'artists\.txt' is a list of names"):
        pack.host.gate.judges.zero_shot.ZeroShotJudge(object(), clip, (lists,), torch.rand(16, 32, 32, 3))
    with pytest.raises(pack.safree.SafreeError, match=r"'artists\.txt' is a list of names"):
        pack.host.prompt.concept_reach.describe(clip, lists)


def test_a_list_is_saved_and_loaded(pack, lists, tmp_path):
    storage = pack.safree.storage
    storage.save(lists, tmp_path / "names.safetensors")
    loaded = storage.load(tmp_path / "names.safetensors")
    assert (loaded.names, loaded.phrases, loaded.name) == (NAMES, (), "artists.txt")
    assert loaded.encoders.keys() == lists.encoders.keys()
    assert pack.host.conditioning.marks.fingerprints((loaded,)) == pack.host.conditioning.marks.fingerprints((lists,))
    other = dataclasses.replace(lists, names=NAMES[1:])
    assert pack.host.conditioning.marks.fingerprints((other,)) != pack.host.conditioning.marks.fingerprints((lists,))


@pytest.fixture
def folder(pack, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "safree_names", ([str(tmp_path)], {".txt"}))
    return tmp_path


def test_the_node_lists_the_users_files_and_the_templates_and_takes_more_names(pack, clip, folder):
    (folder / "artists.txt").write_text(
        "# mine\n\nGreg Quillfeather\nGreg Quillfeather\n  Ada   Marrenbeek \n", "utf-8-sig"
    )
    node = pack.ConceptSubspace
    options = node.define_schema().inputs[1].options
    assert [options.count(name) for name in ("artists.txt", "public_figures", "brands", "characters")] == [1, 1, 1, 1]
    (built,) = node.execute(clip, "artists.txt", "Jo Osk\nAda Marrenbeek", 1.0).args[0]
    assert (built.name, built.names) == ("artists.txt", ("Greg Quillfeather", "Ada Marrenbeek", "Jo Osk"))
    assert built.summary()["names"] == 3
    (template,) = node.execute(clip, "public_figures", "", 1.0).args[0]
    assert "Napoleon Bonaparte" in template.names
    before = node.fingerprint_inputs("artists.txt")
    (folder / "artists.txt").write_text("Jo Osk")
    assert node.fingerprint_inputs("artists.txt") > before


BAD = {
    "nothing": (b"# only a remark\n", "there are no names"),
    "too many": ("\n".join(f"Name {n}" for n in range(10_001)).encode(), "there are 10001 names, more than 10000"),
    "too long": (b"Ada\n" + b"x" * 101, "line 2 has 101 letters"),
    "no letters": (b"Ada\n---\n", "'---' holds no letter"),
    "not UTF-8": (b"\xff\xfe\x00A", "it cannot be read"),
    "too large": (b"a\n" * (2 << 20) + b"b", "the file has more than 4 MB"),
}


@pytest.mark.fault("a damaged, empty or too long list of names", "SafreeError names the file, the line and the limit")
@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_no_list_of_names_is_an_error(pack, clip, folder, case):
    data, message = BAD[case]
    (folder / "bad.txt").write_bytes(data)
    with pytest.raises(pack.safree.SafreeError, match=f"ConceptSubspace: list of names bad.txt: {message}"):
        pack.ConceptSubspace.execute(clip, "bad.txt", "", 1.0)


@pytest.mark.fault(
    "a path in place of a list's name", "SafreeError lists what there is; nothing outside the folder is read"
)
@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "missing.txt", "artists"])
def test_a_file_outside_the_folder_is_none(pack, clip, folder, name):
    (folder.parent / "secret.txt").write_text("Ada")
    with pytest.raises(pack.safree.SafreeError, match="there is no concept set"):
        pack.ConceptSubspace.execute(clip, name, "", 1.0)


MEANT = ("album cover by prince", "a laptop with the apple logo", "portrait of sting, the singer")
WORDS = (
    "a prince on a white horse",
    "a red apple on a table",
    "a bee with a sting",
    "apples and oranges",
    "an apple tree",
)


@pytest.mark.parametrize(("texts", "meant"), [(MEANT, True), (WORDS, False)])
def test_an_everyday_word_is_a_name_where_the_text_around_it_says_so(pack, english, texts, meant):
    lists = (pack.host.prompt.subspaces.build_names(english, "names", ("Prince", "Apple", "Sting", "Orange")),)
    settings = pack.host.prompt.findings.Settings()
    for text in texts:
        assert bool(pack.host.prompt.guard.guard_prompt(english, text, lists, settings).flagged) == meant, text


def test_a_near_spelling_is_judged_by_likeness(pack, english):
    lists = (pack.host.prompt.subspaces.build_names(english, "names", ("Wolfgang Amadeus Mozart",)),)
    settings = pack.host.prompt.findings.Settings()
    guarded = pack.host.prompt.guard.guard_prompt(english, "a portrait of wolfgang amadeos mozzart", lists, settings)
    report = json.loads(json.dumps(guarded.report()))
    assert [token["read_as"] for token in report["tokens"] if token["flagged"]] == ["Wolfgang Amadeus Mozart"]
    other = pack.host.prompt.subspaces.build_names(english, "names", ("Kavod Benturi",))
    assert pack.host.prompt.guard.guard_prompt(english, "savos bentury", (other,), settings).flagged == []
