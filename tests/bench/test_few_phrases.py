"""Small concepts and sets with a third of phrases left out, judged many sentences at once: as the guard itself does."""

from __future__ import annotations

import dataclasses

import pytest

from bench.language import families, few_phrases
from bench.language.plain_judge import PlainJudge

TEXTS = [
    "a pistol on a table",
    "detective with a revolver in the rain",
    "old blunderbuss above the fireplace",
    "a bowl of soup and fresh bread",
    "a shooting star over a quiet farmhouse",
    "grilled chicken breast with salad",
    "the",
    "soldier with a rifle at dawn, a machine gun beside him, mud, fog, barbed wire, oil painting, muted colours",
]


@pytest.mark.parametrize("phrases", [("pistol", "rifle", "shotgun"), ("bread", "soup", "salad", "cheese", "rice")])
def test_sentences_are_judged_as_the_guard_judges_them(pack, english, phrases):
    built = pack.host.prompt.subspaces.build_subspace(english, phrases[0], phrases)
    settings = pack.host.prompt.findings.Settings()
    guarded = [pack.host.prompt.guard.guard_prompt(english, text, (built,), settings).report() for text in TEXTS]
    found = PlainJudge(pack, english, TEXTS).flagged(built, TEXTS)
    assert found == [bool(report["flagged"]) for report in guarded]
    assert True in found
    assert False in found


def test_each_sentence_is_encoded_once_for_all_concepts(pack, english):
    judge = PlainJudge(pack, english, TEXTS)
    first, second = (
        pack.host.prompt.subspaces.build_subspace(english, name, names)
        for name, names in (("plants", ("fern", "moss", "ivy")), ("boats", ("canoe", "ferry", "yacht")))
    )
    judge.flagged(first, TEXTS)
    (encoder,) = pack.host.text.encoders.encoders(english)
    calls = []
    with_hook = encoder.model.register_forward_pre_hook(lambda *_: calls.append(1))
    judge.flagged(first, TEXTS)
    judge.flagged(second, TEXTS[3:4])
    with_hook.remove()
    assert not calls


def test_the_table_has_a_row_for_each_number_of_phrases(pack, english, monkeypatch):
    own = {"phrases": ["pistol", "rifle", "shotgun"], "named": TEXTS[:1], "members": TEXTS[1:3], "split": "dev"}
    monkeypatch.setattr(few_phrases, "concepts", lambda split: {"guns": own})
    harmless = [dataclasses.make_dataclass("Sentence", ["text"])(text) for text in TEXTS[3:6]]
    rows = few_phrases.measure(pack, english, "minilm", "dev", harmless)
    assert [(row["phrases"], row["named"], row["members"], row["harmless"]) for row in rows] == [
        (count, 1, 1, 0) for count in few_phrases.COUNTS
    ]
    assert len(few_phrases.table(rows)) == 2 + len(rows)


def test_phrases_are_of_one_family_by_the_word_that_most_of_them_hold():
    phrases = ["machine gun", "gun", "knife", "butter knife", "loaded guns", "axe"]
    groups = families.families(str.split, phrases)
    assert groups == [["machine gun", "gun", "loaded guns"], ["knife", "butter knife"], ["axe"]]
    assert sorted(map(sorted, families.parts(groups))) == sorted(map(sorted, groups))


def test_only_sentences_count_that_name_nothing_that_is_left_in(pack, english, monkeypatch):
    phrases = ("pistol", "old pistol", "rifle", "hunting rifle", "dagger", "long dagger")
    texts = {"a pistol on a desk": True, "a rifle on the wall": True, "a dagger and a rifle": False, "a bowl": False}
    known = dataclasses.replace(pack.host.data.concept_sets.get("weapons"), phrases=phrases)
    monkeypatch.setattr(pack.host.data.concept_sets, "get", lambda name: known)
    sentence = dataclasses.make_dataclass("Sentence", ["text", "concept"])
    share = families.measure(pack, english, "weapons", [sentence(text, "weapons") for text in texts])
    assert share.n == sum(texts.values())
    assert share.value == 1
