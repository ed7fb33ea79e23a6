"""Rows of public prompt sets that the readers leave out: those that join words for children with sexual content."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from safree.plan import Matcher
from safree.terms import TermList, plain, words

SETS = Path(__file__).resolve().parents[2] / "concept_sets"
SEXUAL = ("nudity", "sexual")  # as concepts and categories of public sets are called


@functools.cache
def _lists() -> tuple[TermList, Matcher]:
    minors = json.loads((SETS / "terms" / "minors.json").read_text(encoding="utf-8"))
    terms = [term for group in minors["terms"].values() for term in group]
    nudity = json.loads((SETS / "nudity.json").read_text(encoding="utf-8"))["phrases"]
    return TermList.of(terms, minors["ages"], minors["adult"]), Matcher(map(plain, nudity))


def is_left_out(text: str, concept: str = "") -> bool:
    """Whether a row is not to be read: one of sexual content, by its words or its `concept`, that names children."""
    minors, nudity = _lists()
    sexual = any(name in concept.lower() for name in SEXUAL) or nudity.find(words(plain(text)))
    return bool(sexual) and minors.finds(text)


def say(count: int, name: str) -> None:
    """Tell how many rows of a file were left out."""
    if count:
        print(f"{name}: {count} rows left out that join words for children with sexual content")
