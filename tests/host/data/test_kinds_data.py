"""The shipped kinds: which words a few phrases mean by them, and that the file is what the reader expects."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("phrases", "meant", "other"),
    [
        (("gun", "pistol", "rifle", "shotgun"), ("revolver", "derringer", "blunderbuss"), ("table", "soldier", "bow")),
        (("beetle", "ant", "fly", "insect", "wasp"), ("cicada", "earwig", "weevil"), ("bat", "eagle", "airplane")),
        (("snake", "python", "cobra"), ("viper", "rattlesnake", "anaconda"), ("lizard", "frog", "computer")),
        (("beer", "wine", "whisky", "alcohol"), ("vodka", "tequila", "champagne"), ("tea", "water", "milk")),
    ],
)
def test_a_few_phrases_mean_their_kind(pack, phrases, meant, other):
    found = pack.host.data.kinds.members(phrases)
    assert all(found.get(word, 0) > 0.5 for word in meant), {word: found.get(word) for word in meant}
    assert all(found.get(word, 0) < 0.2 for word in other), {word: found.get(word) for word in other}


def test_fewer_than_three_phrases_tell_no_kind_and_64_are_a_subject_but_for_sets_of_kinds(pack):
    kinds = pack.host.data.kinds
    assert kinds.members(("pistol", "rifle")) == {}
    many = ("pistol", "rifle", "shotgun", *(f"gun {n}" for n in range(61)))
    assert kinds.members(many) == {}
    assert "revolver" in kinds.members(many, however_many=True)
    assert {name for name in pack.host.data.concept_sets.names() if pack.host.data.concept_sets.get(name).kinds} == {
        "weapons"
    }
    assert kinds.kin({}) is None


def test_the_file_holds_words_in_lower_case_below_the_kind_that_they_are_of(pack):
    kinds = pack.host.data.kinds
    data = json.loads(kinds.PATH.read_text(encoding="utf-8"))
    assert (data["name"], data["version"]) == ("kinds", 1)
    tree = kinds.tree()
    assert len(tree.words) == len(data["meanings"]) > 50_000
    assert not [word for words in tree.words for word, _ in words if word != word.lower()]
    above = {word for number in tree.kinds_of(tree.find("revolver")[0][0]) for word, _ in tree.words[number]}
    assert {"revolver", "pistol", "gun"} <= above


def test_a_damaged_file_is_named(pack, monkeypatch, tmp_path):
    kinds = pack.host.data.kinds
    (tmp_path / "kinds.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(kinds, "PATH", tmp_path / "kinds.json")
    with pytest.raises(pack.safree.SafreeError, match=r"kinds\.json cannot be read.*Install the pack again"):
        kinds.tree.__wrapped__()
