"""The pack files: valid by their schema, and each class in one place."""

from __future__ import annotations

import json
from collections import Counter

import jsonschema
import pytest

from headless import knowledge
from headless.knowledge import FOLDER, Source

FILES = sorted(path for path in FOLDER.glob("*.json") if path.name != "schema.json")
SCHEMA = json.loads((FOLDER / "schema.json").read_text("utf-8"))


def classes(file: dict) -> list[str]:
    return [*file.get("nodes", {}), *(kind for kinds in file.get("inert", {}).values() for kind in kinds)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pack_file_is_valid(path):
    file = json.loads(path.read_text("utf-8"))
    jsonschema.validate(file, SCHEMA)
    assert not [kind for kind, count in Counter(classes(file)).items() if count > 1]
    assert knowledge.parse(file).keys() == set(classes(file))


def test_a_class_stands_in_one_pack_only():
    counts = Counter(kind for path in FILES for kind in classes(json.loads(path.read_text("utf-8"))))
    assert not [kind for kind, count in counts.items() if count > 1]
    assert counts.keys() == knowledge.load().keys()


def test_what_changes_something_says_why_it_may():
    silent = [kind for kind, facts in knowledge.load().items() if facts.changes and not (facts.reason or facts.refused)]
    assert silent == []


@pytest.mark.parametrize(
    ("text", "inputs", "names"),
    [
        ("positive", ["positive", "positive_2"], ["positive"]),
        ("pipe.positive", ["pipe"], ["pipe"]),
        ("any_*", ["any_01", "any_02", "other"], ["any_01", "any_02"]),
        ("gone", ["positive"], []),
    ],
)
def test_a_source_stands_for_inputs(text, inputs, names):
    assert Source.parse(text).names(inputs) == names
