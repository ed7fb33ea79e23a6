"""Concept sets on disk, and the node that turns one into a subspace."""

from __future__ import annotations

import json
import os

import pytest
import torch

GOOD = {"name": "good", "description": "", "version": 1, "phrases": ["gun", "knife"], "sources": []}
MALFORMED = {
    "not JSON": ("{", "JSON"),
    "a list": ([], r"\(top level\)"),
    "no phrases": ({"phrases": None}, "'phrases'"),
    "empty phrases": ({"phrases": []}, "'phrases'"),
    "an empty phrase": ({"phrases": ["gun", " "]}, "'phrases'.*phrase 2"),
    "too many phrases": ({"phrases": [f"word {n}" for n in range(201)]}, "'phrases'.*201"),
    "phrases a text": ({"phrases": "gun"}, "'phrases'"),
    "a number as a phrase": ({"phrases": [1]}, "'phrases'"),
    "another name": ({"name": "other"}, "'name'.*'other'"),
    "version a text": ({"version": "1"}, "'version'"),
    "version a truth value": ({"version": True}, "'version'"),
    "version zero": ({"version": 0}, "'version'"),
    "an unknown field": ({"phrase": "gun"}, "'phrase'.*unknown"),
    "an unknown mode": ({"defaults": {"magic": {}}}, "'defaults.magic'"),
    "a default out of range": ({"defaults": {"adaptive": {"threshold": 2}}}, "'defaults.adaptive.threshold'.*2"),
    "a default not a number": ({"defaults": {"adaptive": {"strength": "1"}}}, "'defaults.adaptive.strength'"),
}


def write(folder, name: str, content) -> None:
    if isinstance(content, dict):
        content = {key: value for key, value in {**GOOD, "name": name, **content}.items() if value is not None}
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_set_is_refused_by_file_and_field_and_the_others_still_load(
    pack, tmp_path, caplog, content, message
):
    sets = pack.host.data.concept_sets
    write(tmp_path, "good", {})
    write(tmp_path, "bad", content)
    with pytest.raises(pack.safree.SafreeError, match=rf"bad\.json.*{message}"):
        sets.get("bad", tmp_path)
    assert sets.names(tmp_path) == ["good"]
    assert "bad.json" in caplog.text
    assert sets.get("good", tmp_path).phrases == ("gun", "knife")


def test_every_shipped_set_is_offered(pack):
    sets = pack.host.data.concept_sets
    files = {path.stem for path in sets.FOLDER.glob("*.json") if path.name != sets.SCHEMA}
    assert set(sets.names()) == files
    assert "weapons" in files


@pytest.mark.parametrize("name", ["missing", "../pyproject", "concept_set.schema"])
def test_a_name_that_is_no_set_is_refused_with_those_that_are(pack, name):
    with pytest.raises(pack.safree.SafreeError, match=f"no concept set '{name}'.*weapons"):
        pack.host.data.concept_sets.get(name)


def test_phrases_are_stripped_and_said_once(pack):
    assert pack.host.data.concept_sets.check_phrases([" bow  and arrow", "gun", "bow and arrow "]) == (
        *("bow and arrow", "gun"),
    )


@pytest.fixture
def node(pack):
    return pack.nodes.concept_subspace.ConceptSubspace


def test_the_node_spans_the_phrases_and_keeps_other_subspaces_apart(node, clip, weapons):
    (built,) = node.execute(clip, "(phrases only)", "apple\n\n  banana \n", 0.5, subspaces=(weapons,)).result
    assert built[0] is weapons
    assert (built[1].name, built[1].phrases, built[1].strength) == ("apple", ("apple", "banana"), 0.5)
    assert built[1]["l"].concepts.shape == (2, 768)
    assert len(built[1]["l"].basis) == 2


def test_a_subspace_is_the_same_whenever_it_is_built(pack, clip):
    one, other = (pack.host.prompt.subspaces.build_subspace(clip, "x", ("gun",)) for _ in range(2))
    assert torch.equal(one["l"].concepts, other["l"].concepts)
    assert torch.equal(one["l"].common, other["l"].common)
    assert torch.equal(one["l"].probe, other["l"].probe)


@pytest.mark.parametrize(
    ("clip_given", "phrases", "message"),
    [
        (True, "", "no phrases"),
        (True, " \n\t\n", "no phrases"),
        (True, "None", "phrases is null"),
        (True, "word " * 80, "80 tokens.*Split it"),
        (False, "gun", "no CLIP is connected"),
    ],
)
def test_the_node_refuses_bad_input_by_name(pack, node, clip, clip_given, phrases, message):
    with pytest.raises(pack.safree.SafreeError, match=rf"^ConceptSubspace: .*{message}"):
        node.execute(clip if clip_given else None, "(phrases only)", phrases, 1.0)


def test_the_cache_of_the_host_is_only_invalidated_by_a_changed_file(pack, node, monkeypatch, tmp_path):
    """No fingerprint that changes from run to run: editing a prompt encodes again only what changed."""
    monkeypatch.setattr(pack.host.data.concept_sets, "FOLDER", tmp_path)
    write(tmp_path, "good", {})
    first = node.fingerprint_inputs(concept_set="good", clip=None, phrases="", strength=1.0)
    assert node.fingerprint_inputs(concept_set="good", clip=None, phrases="", strength=1.0) == first
    os.utime(tmp_path / "good.json", ns=(1, 1))
    assert node.fingerprint_inputs(concept_set="good", clip=None, phrases="", strength=1.0) != first
    assert node.fingerprint_inputs(concept_set="(phrases only)") == node.fingerprint_inputs(
        concept_set="(phrases only)"
    )
