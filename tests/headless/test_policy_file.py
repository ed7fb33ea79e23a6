"""The policy file: who has which policy, and what is said of a file that cannot be held to."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path

import jsonschema
import pytest

from dev.graphs import Run, guarded, unguarded
from headless.__main__ import main
from headless.policy_file import SCHEMA, PolicyError, Visitor, read_policy

KEY = "a long key"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
FILE = {
    "policies": {
        "public": {"trust": "strangers", "concept_sets": ["nudity"], "packs": ["rgthree-comfy"], "waiting": 2},
        "staff": {"trust": "own", "concept_sets": ["nudity"]},
        "owner": {"trust": "all"},
    },
    "who": [
        {"key_sha256": DIGEST, "policy": "owner"},
        {"address": "10.0.0.0/8", "policy": "staff"},
        {"header": "X-Role", "is": "staff", "from": ["127.0.0.1"], "policy": "staff"},
    ],
    "everyone_else": "public",
}


@pytest.fixture
def write(tmp_path):
    def written(document) -> Path:
        path = tmp_path / "policy.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document, indent=1), "utf-8")
        return path

    return written


def changed(*path, to) -> dict:
    document = copy.deepcopy(FILE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return document


def test_the_schema_is_one_and_the_file_fits_it():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(FILE, SCHEMA)


@pytest.mark.parametrize(
    ("address", "headers", "name"),
    [
        ("192.168.0.1", {}, "public"),
        ("192.168.0.1", {"authorization": f"Bearer {KEY}"}, "owner"),
        ("192.168.0.1", {"authorization": f"bearer  {KEY} "}, "owner"),
        ("10.1.2.3", {"x-api-key": KEY}, "owner"),
        ("10.1.2.3", {}, "staff"),
        ("::ffff:10.1.2.3", {}, "staff"),
        ("127.0.0.1", {"x-role": "staff"}, "staff"),
        ("127.0.0.1", {"x-role": "Staff"}, "public"),
        ("192.168.0.1", {"x-role": "staff"}, "public"),
        ("", {"x-role": "staff"}, "public"),
        ("127.0.0.1", {"authorization": "Basic eDp5"}, "public"),
    ],
)
def test_the_first_entry_that_fits_decides(write, address, headers, name):
    assert read_policy(write(FILE)).of(Visitor(address, headers)).terms.name == name


@pytest.mark.parametrize("key", ["wrong", DIGEST, KEY + " x"])
def test_an_unknown_key_is_nobody_wherever_it_comes_from(write, key):
    with pytest.raises(KeyError):
        read_policy(write(FILE)).of(Visitor("10.1.2.3", {"x-api-key": key}))


def test_the_digest_of_nothing_is_no_key(write):
    policy = read_policy(write(changed("who", 0, "key_sha256", to=hashlib.sha256(b"").hexdigest())))
    assert policy.of(Visitor("192.168.0.1", {"x-api-key": ""}))[0].name == "public"


def test_everyone_else_may_be_nobody(write):
    assert read_policy(write(changed("everyone_else", to=None))).of(Visitor("1.2.3.4", {}))[0] is None


@pytest.mark.fault("a policy file with wrong, missing, doubled or unknown fields", "an error with line and field")
@pytest.mark.parametrize(
    ("document", "line", "text"),
    [
        ("{", 1, "not JSON"),
        ('{"policies": {},\n "policies": {}}', 0, "'policies' stands twice"),
        ("[]", 1, "which is not an object"),
        ({}, 1, "has no 'policies'"),
        (changed("policies", to={}), 2, "policies is empty"),
        (changed("policies", "public", "trust", to="everybody"), 4, "policies.public.trust is 'everybody'"),
        (changed("policies", "public", "concept_sets", to="nudity"), 5, "which is not a list"),
        (changed("policies", "public", "concept_sets", to=[]), 3, "has no concept_sets"),
        (changed("policies", "public", "waiting", to=0), 11, "less than 1"),
        (changed("policies", "public", "waiting", to=True), 11, "which is not a whole number"),
        (changed("policies", "public", "concepts", to=["nudity"]), 12, "policies.public.concepts is unknown here"),
        (changed("policies", "public", "models", to=["sha256:12"]), 13, "no sha256: with 64 hex digits"),
        (changed("policies", "public", "pictures", to={}), 12, "names no judges"),
        (changed("policies", "public", "pictures", to={"concept_sets": ["nudity"]}), 13, "for trust 'own' alone"),
        (changed("policies", "public", "pictures", to={"judge": "x"}), 13, "judge is unknown here"),
        (changed("record", to={}), 0, "record has no 'file'"),
        (changed("record", to={"file": "none/record.jsonl"}), 0, "whose folder is not there"),
        (changed("record", to={"file": "record.jsonl", "bytes": 10}), 0, "less than 1000"),
        (changed("record", to={"file": "record.jsonl", "when_full": "stop"}), 0, "record.when_full is 'stop'"),
        (changed("who", 0, "policy", to="boss"), 26, "'boss', and no policy has that name"),
        (changed("who", 0, "key_sha256", to="secret"), 25, "is not of the form"),
        (changed("who", 1, to={"policy": "staff"}), 28, "needs one of key_sha256, address, header"),
        (changed("who", 1, "address", to="10.0.0.0/99"), 0, "which is no address"),
        (changed("who", 2, to={"policy": "staff", "header": "X", "is": "y"}), 34, "'from', the addresses"),
        (changed("everyone_else", to="nobody"), 0, "everyone_else is 'nobody'"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_field(write, document, line, text):
    path = write(document)
    with pytest.raises(PolicyError) as error:
        read_policy(path)
    assert text.replace("is not of the form", "which is not of the form") in str(error.value)
    assert str(path) in str(error.value)
    if line:
        assert f"line {line}:" in str(error.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none.json")


def test_the_command_explains_a_file(write, capsys):
    assert main(["policy", str(write(FILE))]) == 0
    said = capsys.readouterr().out
    for sentence in (
        "Everybody else has the policy 'public'.",
        "against nudity, with full strength",
        "2 prompts of one person may wait",
        "of rgthree-comfy may be used",
        "Whoever comes from 10.0.0.0/8 has the policy 'staff'.",
        "Nothing is checked.",
    ):
        assert sentence in said


@pytest.mark.parametrize(
    ("options", "graph", "code", "text"),
    [
        ([], guarded(Run("a cat"), "nudity"), 0, "would be queued"),
        ([], unguarded(Run("a cat")), 1, "without the guard"),
        (["--key", KEY], unguarded(Run("a cat")), 0, "would be queued"),
        (["--key", "x"], guarded(Run("a cat"), "nudity"), 1, "403"),
        (["--address", "10.0.0.1"], unguarded(Run("a cat")), 1, "Policy 'staff'."),
        (["--header", "X-Role=staff"], unguarded(Run("a cat")), 1, "Policy 'staff'."),
    ],
)
def test_the_command_tries_a_workflow(write, tmp_path, capsys, options, graph, code, text):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(graph), "utf-8")
    assert main(["policy", str(write(FILE)), str(path), *options]) == code
    assert text in capsys.readouterr().out


def test_the_command_explains_pictures_and_the_record(write, capsys):
    document = changed("policies", "public", "pictures", to={"judges": ["NudeNet"]})
    document["record"] = {"file": "record.jsonl", "keep": 7}
    assert main(["policy", str(write(document))]) == 0
    said = capsys.readouterr().out
    assert "straight from SafetyGate alone, which asks NudeNet." in said
    assert "record.jsonl, without text and picture, and 7 older files." in said
    assert "While no line can be written, new prompts are refused." in said


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"key_sha256": DIGEST, "policy": "owner"}, f"key {DIGEST[:8]}"),
        ({"key_sha256": DIGEST, "policy": "owner", "name": "the desk"}, "the desk"),
    ],
)
def test_a_key_has_a_name_for_the_record(write, entry, name):
    policy = read_policy(write(changed("who", 0, to=entry)))
    assert policy.of(Visitor("1.2.3.4", {"x-api-key": KEY})).name == name
    assert policy.of(Visitor("10.0.0.9", {})).name == "10.0.0.0/8"
    assert policy.of(Visitor("1.2.3.4", {})).name == "everyone else"


def test_the_command_says_what_is_wrong_with_a_file(write, capsys):
    assert main(["policy", str(write("{"))]) == 2
    assert "line 1" in capsys.readouterr().err
