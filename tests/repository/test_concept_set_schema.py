"""Shipped concept sets against their JSON schema, with an independent validator."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "concept_sets"
SCHEMA = json.loads((FOLDER / "concept_set.schema.json").read_text(encoding="utf-8"))
SHIPPED = sorted(path for path in FOLDER.glob("*.json") if not path.name.endswith(".schema.json"))


def test_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_sets_of_the_first_release_are_there():
    assert {path.stem for path in SHIPPED} >= {
        *("nudity", "violence", "weapons", "hate_symbols", "self_harm", "artist_style_example")
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_set_fits_the_schema_and_is_named_like_its_file(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert data["name"] == path.stem
    assert len({phrase.lower() for phrase in data["phrases"]}) == len(data["phrases"])


@pytest.mark.parametrize(
    "change",
    [
        {"phrases": []},
        {"phrases": [""]},
        {"phrases": "gun"},
        {"version": 0},
        {"name": None},
        {"surprise": 1},
        {"defaults": {"adaptive": {"threshold": 2}}},
        {"defaults": {"magic": {"threshold": 0.5}}},
    ],
    ids=str,
)
def test_schema_refuses_a_malformed_set(change):
    data = {**json.loads(SHIPPED[0].read_text(encoding="utf-8")), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA, cls=jsonschema.Draft202012Validator)
