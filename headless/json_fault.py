"""What is wrong with a JSON document by its schema, and in which line: the part of JSON Schema that our schemas use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from .bounds import shown

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "boolean": bool,
}
WORDS = {"object": "an object", "array": "a list", "string": "a text", "integer": "a whole number", "null": "null"}

Path = tuple[str | int, ...]  # keys and places that lead to a value


def first_fault(document, schema: dict) -> tuple[Path, str] | None:
    """(path, what is wrong there) of the first fault; None where the document fits.

    >>> first_fault({"a": "x"}, {"type": "object", "properties": {"a": {"type": "integer"}}})
    (('a',), "is 'x', which is not a whole number")
    """
    return next(_faults(document, schema, schema, ()), None)


def _faults(value, schema: dict, root: dict, path: Path) -> Iterator[tuple[Path, str]]:
    if reference := schema.get("$ref"):
        schema = {**root["$defs"][reference.rpartition("/")[2]], **schema}
    wanted = schema.get("type")
    if wanted and not _is_one_of(value, wanted):
        names = [WORDS.get(name, f"a {name}") for name in ([wanted] if isinstance(wanted, str) else wanted)]
        yield path, f"is {shown(value)}, which is not {' or '.join(names)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield path, f"is {shown(value)}, which is not one of {', '.join(map(repr, schema['enum']))}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield path, f"is {shown(value)}, which is not of the form {schema['pattern']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield path, f"is {value}, less than {schema['minimum']}"
    if isinstance(value, list):
        yield from _faults_of_list(value, schema, root, path)
    if isinstance(value, dict):
        yield from _faults_of_object(value, schema, root, path)


def _faults_of_list(value: list, schema: dict, root: dict, path: Path) -> Iterator[tuple[Path, str]]:
    if len(value) < schema.get("minItems", 0):
        yield path, "is an empty list"
    for place, one in enumerate(value):
        yield from _faults(one, schema.get("items", {}), root, (*path, place))


def _faults_of_object(value: dict, schema: dict, root: dict, path: Path) -> Iterator[tuple[Path, str]]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield path, f"has no {name!r}"
    if len(value) < schema.get("minProperties", 0):
        yield path, "is empty"
    for name, one in value.items():
        if name in known:
            yield from _faults(one, known[name], root, (*path, name))
        elif others is False:
            yield (*path, name), f"is unknown here; known are {', '.join(known)}"
        else:
            yield from _faults(one, others, root, (*path, name))


def _is_one_of(value, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):  # Python counts it as a whole number
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names)


def line_of(text: str, path: Path) -> int:
    """The line of JSON `text` where the value at `path`, or its key, stands; as near as it can be found."""
    at = value = _blank(text, 0)
    for step in path:
        found = _inside(text, value, step)
        if found is None:
            break
        at, value = found
    return text.count("\n", 0, at) + 1


def _inside(text: str, at: int, step: str | int) -> tuple[int, int] | None:
    """(where its key or itself begins, where the value begins) of a part of the object or list that begins at `at`."""
    decode, place, position = json.JSONDecoder().raw_decode, 0, _blank(text, at + 1)
    while text[position] not in "]}":
        begin, key = position, place
        if text[at] == "{":
            key, position = decode(text, position)
            position = _blank(text, _blank(text, position) + 1)  # past the colon
        if key == step:
            return begin, position
        position = _blank(text, decode(text, position)[1])
        position = _blank(text, position + 1) if text[position] == "," else position
        place += 1
    return None


def _blank(text: str, at: int) -> int:
    """The first place from `at` on that is no blank."""
    while text[at] in " \t\r\n":
        at += 1
    return at
