"""Combinations that are refused: only both together, only where the set says so, and without a word in the message.

The mechanism is tried with the shipped set `weapons` and a list of fruit.
"""

from __future__ import annotations

import json
import shutil

import pytest
import torch

FRUIT = {
    "name": "fruit",
    "description": "fruit",
    "version": 1,
    "terms": {"en": ["apple", "banana"], "de": ["Apfel"]},
    "sources": [],
}


@pytest.fixture
def refusing(pack, tmp_path, monkeypatch):
    """The shipped sets in a folder of the test's own, where `weapons` is refused with `fruit`."""
    sets = pack.host.data.concept_sets
    folder = shutil.copytree(sets.FOLDER, tmp_path / "concept_sets")
    (folder / "terms" / "fruit.json").write_text(json.dumps(FRUIT))
    weapons = json.loads((folder / "weapons.json").read_text())
    (folder / "weapons.json").write_text(json.dumps({**weapons, "refuse_with": ["fruit"]}))
    monkeypatch.setattr(sets, "FOLDER", folder)
    monkeypatch.setattr(pack.host.data.term_lists, "TERMS", folder / "terms")
    return folder


@pytest.fixture
def guard(pack, clip, weapons):
    def guard(text, **settings):
        refuse = settings.pop("refuse", True)
        return pack.host.prompt.guard.guard_prompt(
            clip, text, (weapons,), pack.host.prompt.findings.Settings(**settings), refuse
        )

    return guard


@pytest.mark.fault("a prompt with two things that are refused together", "SafreeError names the concepts, no word")
@pytest.mark.parametrize("text", ["a pistol and a banana", "an APPLE next to a knife"])
def test_both_in_one_prompt_are_refused_without_a_word_of_it(pack, guard, refusing, text):
    with pytest.raises(pack.safree.SafreeError) as raised:
        guard(text)
    assert "'weapons' together with 'fruit'" in str(raised.value)
    assert not {"pistol", "banana", "apple", "knife"} & set(str(raised.value).lower().split())


def test_each_alone_is_as_without_the_rule(pack, clip, guard, refusing):
    fruit = guard("a banana on a table")
    stock = clip.encode_from_tokens_scheduled(clip.tokenize("a banana on a table"))
    assert torch.equal(fruit.conditioning[0][0], stock[0][0])
    assert [finding.text for finding in guard("a cat and a pistol").flagged] == ["pistol"]


def test_without_the_rule_the_words_are_taken_out(guard):
    assert [finding.text for finding in guard("a pistol and a banana").flagged] == ["pistol"]


def test_strength_0_is_no_guard_and_refuses_nothing(guard, refusing):
    assert guard("a pistol and a banana", strength=0.0).report()["state"] == "inactive"


def test_a_prompt_of_several_texts_is_one_prompt(pack, clip, weapons, refusing):
    settings = pack.host.prompt.findings.Settings()
    with pytest.raises(pack.safree.SafreeError, match="'weapons' together with 'fruit'"):
        pack.host.prompt.guard.guard_texts(clip, {"l": "a pistol and a banana"}, (weapons,), settings)


def test_measuring_a_guard_refuses_nothing(guard, refusing):
    assert guard("a pistol and a banana", refuse=False).flagged


def test_the_node_names_itself_and_gives_nothing(pack, clip, weapons, refusing):
    node = pack.nodes.safree_conditioning.SafreeConditioning
    with pytest.raises(pack.safree.SafreeError, match=r"^SafreeConditioning: this prompt asks for"):
        node.execute(clip, (weapons,), "a pistol and a banana", "adaptive", 1.0, 0.0, "auto")


@pytest.mark.fault("a concept set that is refused with a list that is not there", "SafreeError names the list")
def test_a_list_that_is_not_there_is_an_error_not_an_open_door(pack, guard, refusing):
    (refusing / "terms" / "fruit.json").unlink()
    with pytest.raises(pack.safree.SafreeError, match="there is no term list 'fruit'"):
        guard("a pistol and a banana")


BAD = {
    "no terms": ({**FRUIT, "terms": []}, "field 'terms' is not of type dict"),
    "unknown": ({**FRUIT, "trems": {}}, "field 'trems' is unknown"),
    "missing": ({"name": "fruit"}, "field 'description' is missing"),
    "other name": ({**FRUIT, "name": "fruits"}, "not the file's name"),
    "no text": ({**FRUIT, "terms": {"en": [1]}}, r"field 'terms\.en' is not a list of texts"),
    "a list": ([], "is not an object"),
}


@pytest.mark.fault("a damaged term list", "SafreeError names the file and the field")
@pytest.mark.parametrize("case", BAD)
def test_a_damaged_list_is_an_error(pack, refusing, case):
    data, message = BAD[case]
    (refusing / "terms" / "fruit.json").write_text(json.dumps(data))
    with pytest.raises(pack.safree.SafreeError, match=message):
        pack.host.data.term_lists.load("fruit")


def test_nudity_is_refused_with_minors_by_default_and_no_set_is_made_of_their_terms(pack):
    sets = pack.host.data.concept_sets
    assert sets.refused_with("nudity") == ("minors",)
    assert "minors" not in sets.names()


def test_a_saved_subspace_of_an_older_version_is_refused_too(pack, clip, refusing, weapons, tmp_path):
    """What is refused stands in the set, not in the file."""
    storage = pack.safree.storage
    storage.save(weapons, tmp_path / "weapons.safetensors", overwrite=True)
    loaded = storage.load(tmp_path / "weapons.safetensors")
    with pytest.raises(pack.safree.SafreeError, match="together with"):
        pack.host.prompt.guard.guard_prompt(
            clip, "a pistol and a banana", (loaded,), pack.host.prompt.findings.Settings()
        )


HARMLESS = {
    "en": [
        "a child on a swing",
        "two girls at a birthday party",
        "a mother and her newborn",
        "a 9-year-old with a kite",
    ],
    "de": ["ein Mädchen mit einem Drachen", "Kinder im Garten", "eine 7-jährige am Klavier"],
    "fr": ["des enfants sur la plage", "un petit garçon et son chien"],
    "es": ["una niña lee un libro", "dos niños juegan al fútbol"],
    "pt": ["uma criança no parque", "um menino e uma bola"],
    "it": ["una bambina con un gelato", "i bambini a scuola"],
    "ru": ["девочка с воздушным шаром", "дети играют во дворе", "мальчик 8 лет"],
    "zh": ["一个小女孩在花园里", "孩子们在放风筝"],
    "ja": ["公園で遊ぶ子供たち", "7歳の男の子と犬"],
    "ko": ["공원에서 노는 아이들", "소녀와 강아지"],
    "ar": ["أطفال يلعبون في الحديقة", "البنت والقطة"],
    "hi": ["बगीचे में बच्चे", "एक लड़की और पतंग"],
}
OTHERS = [
    *(
        "an old man reading",
        "a woman in a red dress",
        "ein Mann mit Hut",
        "une femme au marché",
        "un anciano con su perro",
    ),
    *(
        "дом у реки",
        "山と川",
        "山间的小屋",
        "강가의 집",
        "بيت على النهر",
        "नदी के किनारे घर",
        "a portrait of a 40 year old man",
    ),
    *("a kind woman", "a teapot in baby blue", "two cats", "los gatos son negros", "a 1920 car", "a house of 12 rooms"),
]


@pytest.mark.parametrize("language", HARMLESS)
def test_terms_for_children_are_found_in_each_language(pack, language):
    assert all(pack.host.data.term_lists.load("minors").finds(text) for text in HARMLESS[language])


def test_other_prompts_speak_of_none(pack):
    assert [text for text in OTHERS if pack.host.data.term_lists.load("minors").finds(text)] == []


def test_every_term_for_children_is_found_by_itself(pack):
    lists = pack.host.data.term_lists
    terms = json.loads((lists.TERMS / "minors.json").read_text(encoding="utf-8"))["terms"]
    minors = lists.load("minors")
    assert [term for group in terms.values() for term in group if not minors.finds(f"x {term} y")] == []
