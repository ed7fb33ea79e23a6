"""Everyday language as data: what ships is read, what is damaged is refused by file and field."""

from __future__ import annotations

import json

import pytest

GOOD = {"name": "x", "description": "", "version": 1, "groups": {"things": ["cat", "bow tie"]}}
FILES = ("everyday", "harmless", "identity")
MALFORMED = {
    "not JSON": ("{", "JSON"),
    "nested without end": ("[" * 100_000, "JSON"),
    "a list": ("[]", r"\(top level\)"),
    "no version": ({"version": None}, "'version'"),
    "version a text": ({"version": "1"}, "'version'"),
    "version a truth value": ({"version": True}, "'version'"),
    "no groups": ({"groups": None}, "'groups'"),
    "groups a list": ({"groups": ["cat"]}, "'groups'"),
    "a group that is a text": ({"groups": {"things": "cat"}}, "'groups.things'"),
    "an empty group": ({"groups": {"things": []}}, "'groups.things'"),
    "a number": ({"groups": {"things": ["cat", 1]}}, "'groups.things'"),
    "an empty phrase": ({"groups": {"things": ["cat", " "]}}, "'groups.things'"),
}


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / f"{name}.json").write_text(json.dumps({**GOOD, "name": name}))
    return tmp_path


@pytest.mark.fault("an everyday list with wrong fields", "refused by file, field and fix")
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_damaged_list_is_refused_by_file_and_field(pack, folder, file, content, message):
    if isinstance(content, dict):
        content = json.dumps({key: value for key, value in {**GOOD, **content}.items() if value is not None})
    (folder / f"{file}.json").write_text(content)
    with pytest.raises(pack.safree.SafreeError, match=rf"vocabulary {file}\.json.*{message}.*Install the pack again"):
        pack.host.data.vocabulary.load(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_list_is_refused_by_name(pack, folder, file):
    (folder / f"{file}.json").unlink()
    with pytest.raises(pack.safree.SafreeError, match=rf"vocabulary {file}\.json"):
        pack.host.data.vocabulary.load(folder)


def test_what_ships_is_read(pack):
    known = pack.host.data.vocabulary.load()
    assert len(known.phrases) >= 1000
    assert len(known.prompts) >= 300
    assert {"the", "and", "of"} <= known.joining
    assert len(known.names) >= 200
    words = "a shooting star over a gay man".split()  # noqa: SIM905
    assert (1, 2) in known.compounds.find(words)
    assert (5,) in known.compounds.find(words) or (5, 6) in known.compounds.find(words)
