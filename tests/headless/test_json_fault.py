"""Faults of a document by a schema: the same verdict as jsonschema, and the line where a reader finds them."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless.json_fault import first_fault, line_of

FAST = settings(max_examples=150, deadline=None)
SCHEMA = {
    "$defs": {"names": {"type": "array", "items": {"type": "string", "pattern": "^[a-c]+$"}, "minItems": 1}},
    "type": "object",
    "properties": {
        "a": {"type": "integer", "minimum": 1},
        "b": {"$ref": "#/$defs/names"},
        "c": {"type": ["string", "null"], "enum": ["x", "y", None]},
        "d": {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1},
        "e": {"type": "boolean"},
    },
    "required": ["a"],
    "additionalProperties": False,
}
VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 0.5, True, False, None, "x", "y", "ab", "", [], {}]),
    st.lists(st.sampled_from(["a", "abc", "", "d", 1]), max_size=3),
    st.dictionaries(st.sampled_from("pq"), st.sampled_from([1, 0.5, True, "x", None]), max_size=2),
)
DOCUMENTS = st.one_of(st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=5), VALUES)


@FAST
@given(DOCUMENTS)
def test_a_document_has_a_fault_when_jsonschema_says_so(document):
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))
    fault = first_fault(document, SCHEMA)
    assert (fault is None) == (not errors)
    if fault:
        places = {tuple(error.absolute_path) for error in errors}
        assert fault[0] in places or fault[0][:-1] in places  # an unknown field is named itself, not its object


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"a": 1, "b": "x"}, (("b",), "is 'x', which is not a list")),
        ({"a": 1, "b": []}, (("b",), "is an empty list")),
        ({"a": 1, "b": ["a", "d"]}, (("b", 1), "is 'd', which is not of the form ^[a-c]+$")),
        ({"a": 0}, (("a",), "is 0, less than 1")),
        ({"a": True}, (("a",), "is True, which is not a whole number")),
        ({"a": 1, "c": 5}, (("c",), "is 5, which is not a text or null")),
        ({"a": 1, "c": "z"}, (("c",), "is 'z', which is not one of 'x', 'y', None")),
        ({"a": 1, "d": {}}, (("d",), "is empty")),
        ({"a": 1, "d": {"p": "x"}}, (("d", "p"), "is 'x', which is not a number")),
        ({"a": 1, "e": 1}, (("e",), "is 1, which is not a boolean")),
        ({"a": 1, "f": 1}, (("f",), "is unknown here; known are a, b, c, d, e")),
        ({}, ((), "has no 'a'")),
        ({"a": 1, "b": ["a"], "c": None, "d": {"p": 0.5}, "e": False}, None),
    ],
)
def test_what_is_wrong_is_said_in_words(document, fault):
    assert first_fault(document, SCHEMA) == fault


TEXT = """
{
  "a" : {"b": [1,
               {"c": "x}]", "d": 2}, [
                 3]],
         "e": "a"},

  "f":
    4
}"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        *(((), 2), (("a",), 3), (("a", "b"), 3), (("a", "b", 0), 3), (("a", "b", 1), 4), (("a", "b", 1, "d"), 4)),
        *((("a", "b", 2), 4), (("a", "b", 2, 0), 5), (("a", "e"), 6), (("f",), 8)),
        *((("none",), 2), (("a", "none"), 3), (("a", "b", 9), 3)),  # as near as it can be found
    ],
)
def test_the_line_of_a_value_is_that_of_its_key(path, line):
    assert json.loads(TEXT)
    assert line_of(TEXT, path) == line
