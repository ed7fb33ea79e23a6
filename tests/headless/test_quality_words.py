"""Negatives that need no guard: lists of faults of a picture, which show nothing unwanted when they are drawn."""

from __future__ import annotations

import json
import re

import pytest

from dev import setup_host
from headless.quality_words import PHRASES, only_quality_words

SETS = [path for path in sorted((setup_host.ROOT / "concept_sets").glob("*.json")) if "schema" not in path.name]


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_no_shipped_concept_is_among_them(path):
    concept = [phrase.lower() for phrase in json.loads(path.read_text("utf-8"))["phrases"]]
    assert len(concept) > 0
    assert [phrase for phrase in concept if only_quality_words(phrase)] == []
    texts = " | ".join(sorted(PHRASES))
    assert [phrase for phrase in concept if re.search(rf"\b{re.escape(phrase)}\b", texts)] == []


@pytest.mark.parametrize(
    "text", ["", " ,\n", "blurry", "(worst quality, low quality:1.4)", "[lowres]; jpeg_artifacts.", "BLURRY"]
)
def test_lists_of_faults(text):
    assert only_quality_words(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "nude",
            "blurry nude",
            "blurry, nude",
            "embedding:easynegative",
            "<lora:x:1>",
            "(blurry:-1)",
            "low quality pistol",
        ),
        *(
            "blurry\u200bnude",
            "blurry/nude",
            "模糊",
            "blurry:1.2:nude",
            "{blurry|nude}",
            None,
            5,
            ["1", 0],
            {"a": "blurry"},
        ),
    ],
)
def test_anything_else(text):
    assert not only_quality_words(text)
