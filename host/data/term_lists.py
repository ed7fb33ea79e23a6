"""Term lists: JSON files in concept_sets/terms with words in many languages. Format: terms.schema.json there."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from ...safree import SafreeError
from ...safree.terms import TermList
from .concept_sets import FOLDER

TERMS = FOLDER / "terms"
SCHEMA = "terms.schema.json"
FIELDS = {"name": str, "description": str, "version": int, "terms": dict, "sources": list}
OPTIONAL = {"$schema": str, "ages": list, "adult": int, "exceptions": list}


def names() -> list[str]:
    return sorted(path.stem for path in TERMS.glob("*.json") if path.name != SCHEMA)


def load(name: str) -> TermList:
    """The term list called `name`; SafreeError if there is none, or names the field that is wrong with it."""
    path = TERMS / f"{name}.json"
    if not path.is_file():
        raise SafreeError(f"there is no term list {name!r} in concept_sets/terms. Available: {', '.join(names())}.")
    return _load(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _load(path: Path, changed: int) -> TermList:
    def wrong(field: str, problem: str) -> SafreeError:
        return SafreeError(f"term list {path.name}: field {field!r} {problem}. See concept_sets/terms/{SCHEMA}.")

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SafreeError(f"term list {path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise wrong("(top level)", "is not an object")
    for field, value in data.items():
        kind = (FIELDS | OPTIONAL).get(field)
        if kind is None:
            raise wrong(field, "is unknown")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise wrong(field, f"is not of type {kind.__name__}")
    if missing := FIELDS.keys() - data.keys():
        raise wrong(min(missing), "is missing")
    if data["name"] != path.stem:
        raise wrong("name", f"is {data['name']!r}, not the file's name {path.stem!r}")
    lists = {f"terms.{language}": texts for language, texts in data["terms"].items()}
    lists |= {field: data.get(field, []) for field in ("ages", "exceptions")}
    for field, texts in lists.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise wrong(field, "is not a list of texts")
    terms = [term for texts in data["terms"].values() for term in texts]
    return TermList.of(terms, data.get("ages", ()), data.get("adult", 0), data.get("exceptions", ()))
