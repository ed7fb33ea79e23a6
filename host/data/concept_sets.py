"""Concept sets: JSON files with the phrases of one concept. Format: concept_sets/concept_set.schema.json."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import re
from pathlib import Path

from ...safree import SafreeError
from ...safree.subspace import defaults_fault

FOLDER = Path(__file__).resolve().parents[2] / "concept_sets"
SCHEMA = "concept_set.schema.json"
MAX_PHRASES = 200
SET_NAME = re.compile(r"[\w .-]{1,100}")
FIELDS = {"name": str, "description": str, "version": int, "phrases": list, "defaults": dict, "sources": list}
FIELDS |= {"measured": dict, "refuse_with": list, "kinds": bool}
OPTIONAL = {"$schema", "defaults", "measured", "refuse_with", "kinds"}


@dataclasses.dataclass(frozen=True)
class ConceptSet:
    """refuse_with: term lists and concepts beside which it is not cleaned but refused.

    kinds: the phrases name kinds of things (weapons), so that a dictionary's words of these kinds are evidence, however
        many phrases there are; for a subject (violence, drugs) they would be too many
    """

    name: str
    description: str
    version: int
    phrases: tuple[str, ...]
    defaults: dict[str, dict[str, float]]
    refuse_with: tuple[str, ...] = ()
    kinds: bool = False


def load(path: Path) -> ConceptSet:
    """Read one concept set; SafreeError names the file, the field and what is wrong."""

    def wrong(field: str, problem: str) -> SafreeError:
        return SafreeError(f"concept set {path.name}: field {field!r} {problem}. See concept_sets/{SCHEMA}.")

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SafreeError(f"concept set {path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(data, dict):
        raise wrong("(top level)", "is not an object")
    for field in data.keys() - FIELDS.keys() - OPTIONAL:
        raise wrong(field, "is unknown")
    for field, kind in FIELDS.items():
        if field not in data and field in OPTIONAL:
            continue
        if field not in data:
            raise wrong(field, "is missing")
        if not isinstance(data[field], kind) or isinstance(data[field], bool) != (kind is bool):
            raise wrong(field, f"is not of type {kind.__name__}")
    if data["version"] < 1:
        raise wrong("version", f"is {data['version']}, less than 1")
    if data["name"] != path.stem:
        raise wrong("name", f"is {data['name']!r}, not the file's name {path.stem!r}")
    try:
        phrases = check_phrases(data["phrases"])
    except SafreeError as error:
        raise wrong("phrases", f"is not usable: {error}") from error
    if fault := defaults_fault(data.get("defaults", {})):
        raise wrong(*fault)
    refused = data.get("refuse_with", [])
    if not all(isinstance(name, str) for name in refused):
        raise wrong("refuse_with", "is not a list of names")
    values = (data["name"], data["description"], data["version"], phrases, data.get("defaults", {}))
    return ConceptSet(*values, tuple(refused), data.get("kinds", False))


def check_phrases(phrases: list) -> tuple[str, ...]:
    """Stripped phrases without duplicates; SafreeError when none is left, or one is not a line of text."""
    out = []
    for number, phrase in enumerate(phrases, 1):
        if not isinstance(phrase, str) or not phrase.strip():
            raise SafreeError(f"phrase {number} is empty or not text ({phrase!r})")
        words = " ".join(phrase.split())
        if words not in out:
            out.append(words)
    if not out:
        raise SafreeError("there are no phrases")
    if len(out) > MAX_PHRASES:
        raise SafreeError(f"there are {len(out)} phrases, more than {MAX_PHRASES}; split them into several concepts")
    return tuple(out)


def names(folder: Path = FOLDER) -> list[str]:
    """Names of the usable concept sets, in order; a malformed one is left out with a warning in the log."""
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name == SCHEMA:
            continue
        try:
            found.append(load(path).name)
        except SafreeError as error:
            logging.warning("SAFREE: %s It is left out.", error)
    return found


def get(name: str, folder: Path = FOLDER) -> ConceptSet:
    """The concept set called `name`; SafreeError if there is none."""
    return load(_path(name, folder))


def refused_with(name: str) -> tuple[str, ...]:
    """What the concept set called `name` is refused with; nothing where there is no such set."""
    path = FOLDER / f"{name}.json"
    if not SET_NAME.fullmatch(name) or not path.is_file():
        return ()
    return _refused_with(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _refused_with(path: Path, changed: int) -> tuple[str, ...]:
    return load(path).refuse_with


def changed(name: str) -> int:
    """When the file of the concept set called `name` was last changed, in nanoseconds; SafreeError if there is none."""
    return _path(name, FOLDER).stat().st_mtime_ns


def _path(name: str, folder: Path) -> Path:
    if name not in {path.stem for path in folder.glob("*.json") if path.name != SCHEMA}:
        raise SafreeError(f"there is no concept set {name!r}. Available: {', '.join(names(folder)) or 'none'}.")
    return folder / f"{name}.json"
