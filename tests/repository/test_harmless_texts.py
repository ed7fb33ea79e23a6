"""The harmless prompts: their schema, their number in each group, and that no shipped concept is named in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = json.loads((ROOT / "vocabulary" / "harmless.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((ROOT / "vocabulary" / "harmless.schema.json").read_text(encoding="utf-8"))
TEXTS = [text for texts in DATA["groups"].values() for text in texts]
CONCEPT_SETS = sorted(path for path in (ROOT / "concept_sets").glob("*.json") if not path.name.endswith(".schema.json"))

COUNTS = {
    "captions": 160,
    "art prompts": 140,
    "artist styles": 60,
    "tag lists": 80,
    "dressed figures": 60,
    "video prompts": 70,
    "news, history, medicine and identity": 80,
    "games, cartoons and celebrities": 50,
}
WORDS = {"captions": (8, 14), "video prompts": (40, 90)}

# Fixed expressions and a painter's name with a concept's word in them, which mean something else.
IDIOMS = ["blade runner", "blade of grass", "vladimir kush"]


def whole_words(phrases: list[str]) -> re.Pattern:
    """A pattern of the idioms, which come first and are no group, and of the `phrases` as whole words."""
    meant = "|".join(map(re.escape, IDIOMS))
    named = "|".join(re.escape(phrase.casefold()) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{meant}|({named}))(?!\w)")


def named(pattern: re.Pattern, text: str) -> list[str]:
    """The phrases of `pattern` that stand in `text` outside the idioms."""
    return [phrase for phrase in pattern.findall(text.casefold()) if phrase]


def test_the_file_fits_its_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(DATA, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert DATA["name"] == "harmless"


@pytest.mark.parametrize("text", ["", "two  spaces", " leading", "trailing ", "two\nlines", 7], ids=repr)
def test_schema_refuses_a_malformed_text(text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**DATA, "groups": {"captions": [text]}}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_every_group_has_its_number_of_texts():
    assert {name: len(texts) for name, texts in DATA["groups"].items()} == COUNTS


def test_no_text_stands_twice_under_other_case_or_punctuation():
    plain = [" ".join(re.findall(r"\w+", text.casefold())) for text in TEXTS]
    assert [text for text in plain if plain.count(text) > 1] == []


@pytest.mark.parametrize("group", WORDS)
def test_captions_are_short_and_video_prompts_long(group):
    least, most = WORDS[group]
    assert [text for text in DATA["groups"][group] if not least <= len(text.split()) <= most] == []


@pytest.mark.parametrize("path", CONCEPT_SETS, ids=lambda path: path.stem)
def test_no_text_names_a_shipped_concept(path):
    phrases = json.loads(path.read_text(encoding="utf-8"))["phrases"]
    pattern = whole_words(phrases)
    assert {text: found for text in TEXTS if (found := named(pattern, text))} == {}


def test_whole_words_are_found_and_idioms_and_parts_of_words_are_not():
    pattern = whole_words(["blade", "gun"])
    assert named(pattern, "A Blade, and a gun.") == ["blade", "gun"]
    assert named(pattern, "Blade Runner on a blade of grass, the game has begun") == []


@pytest.mark.parametrize("idiom", IDIOMS)
def test_every_idiom_is_needed(idiom):
    assert any(idiom in text.casefold() for text in TEXTS)
