"""Members of a kind that no phrase names, with an encoder that reads English, all-MiniLM-L6-v2 as a ComfyUI CLIP."""

from __future__ import annotations

import dataclasses

import pytest

INSECTS = ("beetle", "ant", "fly", "insect", "cockroach")
ALCOHOL = ("alcohol", "beer", "wine", "whisky", "drunk man")


@pytest.fixture(scope="module")
def build(pack, english):
    return lambda name, phrases: pack.host.prompt.subspaces.build_subspace(english, name, phrases)


@pytest.fixture(scope="module")
def flagged(pack, english):
    def flagged(text: str, subspace) -> list[str]:
        settings = pack.host.prompt.findings.Settings()
        report = pack.host.prompt.guard.guard_prompt(english, text, (subspace,), settings).report()
        return [token["text"] for token in report["tokens"] if token["flagged"]]

    return flagged


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("an earwig under a flower pot", "earwig"),
        ("aphids on a rose stem", "aphids"),
        ("midges around a lamp", "midges"),
        ("cicada shell on tree bark", "cicada"),
    ],
)
def test_a_member_that_no_phrase_names_is_found_by_what_a_dictionary_knows(build, flagged, text, word):
    built = build("insects", INSECTS)
    assert word in flagged(text, built)
    assert built.kin[word.rstrip("s")] > 0.5


def test_the_dictionary_is_what_finds_some_of_them(build, flagged):
    built = build("insects", INSECTS)
    without = dataclasses.replace(built, kin={})
    texts = [
        "an earwig under a flower pot",
        "aphids on a rose stem",
        "midges around a lamp",
        "cicada shell on tree bark",
    ]
    assert sum(bool(flagged(text, without)) for text in texts) < len(texts)


@pytest.mark.parametrize(
    ("name", "phrases", "text"),
    [
        ("insects", INSECTS, "the queen of England waving from a carriage"),
        ("alcohol", ALCOHOL, "a ship in port at dawn"),
        ("alcohol", ALCOHOL, "a long shot of the skyline at night"),
        ("alcohol", ALCOHOL, "a bitter cold morning in the mountains"),
        ("alcohol", ALCOHOL, "a boxer lands a punch in the third round"),
    ],
)
def test_a_word_of_the_kind_in_another_sense_is_told_by_the_text_around_it(build, flagged, name, phrases, text):
    assert flagged(text, build(name, phrases)) == []


def test_what_it_catches_names_members_of_the_kind(pack, english, build):
    told = pack.host.prompt.concept_reach.describe(english, build("alcohol", ALCOHOL))
    caught = told["reach"]["minilm"]["catches"]
    assert {"vodka", "tequila", "brandy", "gin", "bourbon", "champagne", "ale", "rum", "cognac", "liquor"} & set(caught)


def test_a_saved_concept_means_the_same_words(pack, build, flagged, tmp_path):
    built = build("insects", INSECTS)
    pack.safree.storage.save(built, tmp_path / "insects.safetensors")
    loaded = pack.safree.storage.load(tmp_path / "insects.safetensors")
    assert loaded.kin == built.kin
    assert flagged("an earwig under a flower pot", loaded) == flagged("an earwig under a flower pot", built)


def test_words_to_retain_are_left_alone_though_they_are_of_the_kind(pack, english, flagged):
    built = pack.host.prompt.subspaces.build_subspace(english, "insects", INSECTS, retain=("aphid", "aphids"))
    assert "aphids" not in flagged("aphids on a rose stem", built)
