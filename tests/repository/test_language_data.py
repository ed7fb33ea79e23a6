"""The language data: everyday vocabulary, concept sets, the benchmark's sentences, identity words."""

from __future__ import annotations

import collections
import csv
import json
import re
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
CONCEPTS = ("nudity", "violence", "gore", "weapons", "hate_symbols", "self_harm", "drugs")
HARMFUL_KINDS = {"plain", "slang", "euphemism", "tags", "video"}
HARMLESS_KINDS = {
    *("art", "photo", "medicine", "sport", "food", "history", "news", "names", "idioms", "negation", "tags", "video"),
    *("clothes", "identity", "caption"),
}
MINORS = "child children kid kids boy boys girl girls teen teens teenager teenagers baby babies toddler schoolgirl loli"


def read(path: str) -> dict:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def pattern(phrases: list[str]) -> re.Pattern:
    """Finds any of `phrases` as whole words, in any case; a hyphen is part of a word."""
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, phrases))})(?![\w-])", re.IGNORECASE)


SCHEMA = read("vocabulary/everyday.schema.json")
EVERYDAY = read("vocabulary/everyday.json")
SETS = {name: read(f"concept_sets/{name}.json") for name in CONCEPTS}
IDENTITY = read("tests/assets/identity_words.json")
with (ROOT / "vocabulary/sentences.csv").open(newline="", encoding="utf-8") as _file:
    SENTENCES = list(csv.DictReader(_file))
HARMFUL = [row for row in SENTENCES if row["concept"]]


def test_everyday_vocabulary_fits_its_schema_and_is_named_like_its_file():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(EVERYDAY, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert EVERYDAY["name"] == "everyday"


@pytest.mark.parametrize(
    "change",
    [
        {"groups": {}},
        {"groups": {"food": []}},
        {"groups": {"food": ["Bread"]}},
        {"groups": {"food": ["bread "]}},
        {"groups": {"food": ["bread", "bread"]}},
        {"groups": {"food": ["bread with butter and jam"]}},
        {"groups": ["bread"]},
        {"version": 0},
        {"surprise": 1},
    ],
    ids=str,
)
def test_schema_refuses_a_malformed_vocabulary(change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**EVERYDAY, **change}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_everyday_vocabulary_is_broad_and_says_nothing_twice():
    phrases = [phrase for group in EVERYDAY["groups"].values() for phrase in group]
    assert len(phrases) >= 1600
    assert len(EVERYDAY["groups"]["idioms"]) >= 150
    assert [phrase for phrase, count in collections.Counter(phrases).items() if count > 1] == []


@pytest.mark.parametrize("name", CONCEPTS)
def test_a_set_has_40_to_120_phrases_and_only_violence_shares_some_with_others(name):
    """Violence is what people see of it, too: blood and the dead, for whoever has that set alone."""
    phrases = [phrase.lower() for phrase in SETS[name]["phrases"]]
    others = {phrase.lower() for other in CONCEPTS if other != name for phrase in SETS[other]["phrases"]}
    assert 40 <= len(set(phrases)) == len(phrases) <= 120
    shared = set(phrases) & others
    assert shared <= {phrase.lower() for phrase in SETS["violence"]["phrases"]}
    assert len(shared) < len(phrases) / 4


@pytest.mark.parametrize("name", CONCEPTS)
def test_no_everyday_phrase_is_a_concept_phrase_and_only_idioms_hold_one(name):
    phrases = SETS[name]["phrases"]
    held = pattern(phrases)
    for group, everyday in EVERYDAY["groups"].items():
        same = set(everyday) & {phrase.lower() for phrase in phrases}
        assert same == set(), group
        if group != "idioms":
            assert [text for text in everyday if held.search(text)] == [], group


@pytest.mark.parametrize("name", CONCEPTS)
def test_no_concept_set_names_who_somebody_is(name):
    identity = pattern([word for group in IDENTITY["groups"].values() for word in group])
    assert [phrase for phrase in SETS[name]["phrases"] if identity.search(phrase)] == []


def test_identity_words_are_many_and_every_group_has_its_frames():
    words = [word.lower() for group in IDENTITY["groups"].values() for word in group]
    assert len(words) == len(set(words)) >= 240
    assert IDENTITY["groups"].keys() == IDENTITY["frames"].keys()
    assert IDENTITY["groups"].keys() >= {
        *("orientation", "gender", "nationality", "ethnicity", "religion", "age", "body", "disability")
    }
    for group, frames in IDENTITY["frames"].items():
        assert len(set(frames)) >= 10, group
        assert all(frame.count("{}") == 1 for frame in frames), group


def test_sentences_are_plain_rows_that_say_nothing_twice():
    assert len(SENTENCES) >= 1300
    for row in SENTENCES:
        assert list(row) == ["id", "split", "concept", "kind", "triggers", "text"]
        assert row["text"] == " ".join(row["text"].split()) != "", row["id"]
        assert row["kind"] in (HARMFUL_KINDS if row["concept"] else HARMLESS_KINDS), row["id"]
    assert len({row["id"] for row in SENTENCES}) == len(SENTENCES)
    assert len({row["text"].lower() for row in SENTENCES}) == len(SENTENCES)


def test_every_concept_has_its_sentences_and_there_are_twice_as_many_harmless_ones():
    counts = collections.Counter(row["concept"] for row in SENTENCES)
    assert counts.keys() == {"", *CONCEPTS}
    assert min(counts[name] for name in CONCEPTS) >= 60
    assert counts[""] >= 2 * len(HARMFUL)
    kinds = collections.Counter((row["concept"], row["kind"]) for row in SENTENCES)
    assert all(kinds[name, "video"] >= 8 and kinds[name, kind] >= 8 for name in CONCEPTS for kind in HARMFUL_KINDS)


def test_triggers_stand_in_harmful_sentences_and_only_there():
    for row in SENTENCES:
        triggers = row["triggers"].split("|") if row["triggers"] else []
        assert bool(triggers) == bool(row["concept"]), row["id"]
        assert [word for word in triggers if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", row["text"]) is None] == []
        assert len(set(triggers)) == len(triggers), row["id"]


def test_video_prompts_are_60_to_90_words_long():
    lengths = {row["id"]: len(row["text"].split()) for row in SENTENCES if row["kind"] == "video"}
    assert {name: length for name, length in lengths.items() if not 60 <= length <= 90} == {}


def test_both_halves_have_the_same_mix():
    halves = collections.Counter((row["split"], row["concept"], row["kind"]) for row in SENTENCES)
    assert {split for split, _, _ in halves} == {"dev", "held"}
    for _, concept, kind in halves:
        assert abs(halves["dev", concept, kind] - halves["held", concept, kind]) <= 1, (concept, kind)


def test_no_harmful_sentence_or_set_speaks_of_minors():
    texts = [row["text"] for row in HARMFUL] + [phrase for name in CONCEPTS for phrase in SETS[name]["phrases"]]
    minors = pattern(MINORS.split())
    assert [text for text in texts if minors.search(text)] == []
