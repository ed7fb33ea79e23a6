"""The record of a server that a policy file asks for: what ran, what was refused, and a disk without room."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import subprocess
import time

import pytest

from dev import setup_host
from dev.graphs import Run, guarded, unguarded
from dev.server import Server
from headless.client import Client, PromptFailed, PromptRejected

KEY = "a key of the desk"
WORDS = ("wolf", "pistol", "beer")  # of the prompts: none of them may be in a record
LIMIT = 120.0


def policy(**record) -> dict:
    return {
        "policies": {"public": {"trust": "strangers", "concept_sets": ["weapons"]}, "desk": {"trust": "all"}},
        "who": [{"key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "policy": "desk", "name": "the desk"}],
        "everyone_else": "public",
        "record": {"file": "record.jsonl"} | record,
    }


def place(folder, document: dict) -> Server:
    (folder / "policy.json").write_text(json.dumps(document), "utf-8")
    return Server(folder / "server", variables={"SAFREE_POLICY": str(folder / "policy.json")})


def lines(folder) -> list[dict]:
    path = folder / "record.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def waited_for(folder, count: int) -> list[dict]:
    end = time.monotonic() + LIMIT
    while len(found := lines(folder)) < count and time.monotonic() < end:
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(folder, server) with a record in the folder."""
    folder = tmp_path_factory.mktemp("record")
    with place(folder, policy()) as server:
        yield folder, server


def test_each_prompt_has_a_line_without_a_word_of_it(recorded):
    folder, server = recorded
    stranger, desk = server.client(), Client(server.address, key=KEY)
    before = len(lines(folder))
    stranger.run(guarded(Run("a wolf and a pistol", steps=2)))
    desk.run(unguarded(Run("a beer", steps=1)))
    with pytest.raises(PromptRejected):
        stranger.run(unguarded(Run("a wolf", steps=2)))
    broken = copy.deepcopy(guarded(Run("a wolf and a pistol", steps=2)))
    broken["prompt"]["inputs"]["text"] = "   "
    with pytest.raises(PromptFailed):
        stranger.run(broken)
    found = waited_for(folder, before + 4)[before:]
    told = [(line["who"], line["policy"], line["end"], line["concepts"], line["actions"]) for line in found]
    assert told == [
        ("everyone else", "public", "done", ["weapons"], ["words taken out"]),
        ("the desk", "desk", "done", [], []),
        ("everyone else", "public", "refused", [], ["not queued: safree_unguarded"]),
        ("everyone else", "public", "stopped", [], ["stopped: SafreeConditioning"]),
    ]
    assert [bool(line["prompt"]) for line in found] == [True, True, False, True]
    checkpoint = setup_host.base() / "models" / "checkpoints" / setup_host.CHECKPOINT
    assert found[0]["models"] == {setup_host.CHECKPOINT: hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
    assert found[0]["versions"].keys() == {"safree", "comfyui"}
    assert all(found[0]["versions"].values())
    written = (folder / "record.jsonl").read_text("utf-8").lower()
    assert [word for word in WORDS if word in written] == []


def test_words_found_again_from_the_cache_are_recorded_again(recorded):
    folder, server = recorded
    before = len(lines(folder))
    for seed in (1, 2):
        server.client().run(guarded(Run("a wolf and a pistol", seed=seed, steps=2)))
    found = waited_for(folder, before + 2)[before:]
    assert [line["concepts"] for line in found] == [["weapons"], ["weapons"]]


def test_a_concept_of_the_senders_own_has_no_name_in_the_record(recorded):
    folder, server = recorded
    graph = copy.deepcopy(unguarded(Run("x", steps=1)))
    graph |= {name: copy.deepcopy(guarded(Run("a beer", steps=1))[name]) for name in ("subspace", "prompt", "sampler")}
    graph["subspace"]["inputs"] |= {"concept_set": "(phrases only)", "phrases": "a beer\nbeer"}
    before = len(lines(folder))
    Client(server.address, key=KEY).run(graph)
    (line,) = waited_for(folder, before + 1)[before:]
    assert line["concepts"] in ([], ["(own)"])
    assert "beer" not in json.dumps(line)


def test_a_prompt_id_that_is_a_text_is_not_kept(recorded, pack):
    Queued, entry = pack.host.gate.record.Queued, pack.host.gate.record.Record._entry
    assert Queued.of((0, "x"), "a", "b", "c") == (0, "x")
    keeps = type("R", (), {"versions": {}})()
    assert entry(keeps, "a wolf and a pistol", "a", "b")["prompt"] == ""
    assert entry(keeps, "0b5a-11", "a", "b")["prompt"] == "0b5a-11"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.fault(
    "a full disk under the record of a server", "new prompts are refused with the reason, until there is room"
)
def test_a_full_disk_under_the_record(tmp_path, small_disk):
    graph = guarded(Run("a wolf and a pistol", steps=2))
    with place(tmp_path, policy(file=str(small_disk / "record.jsonl"))) as server:
        client = server.client()
        client.run(graph)
        (small_disk / "record.jsonl.reserve").unlink()
        with open(small_disk / "full", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 1024):
                pass
        with pytest.raises(PromptRejected, match=r"record of this server cannot be kept \(No space left") as refusal:
            client.run(graph)
        assert refusal.value.kind == "safree_record"
        (small_disk / "full").unlink()
        client.run(graph)
        assert [line["end"] for line in waited_for(small_disk, 2)] == ["done", "done"]


def test_a_policy_may_let_prompts_go_on_without_a_record(tmp_path):
    """/dev/full takes no byte: a disk that is full for good."""
    (tmp_path / "record.jsonl").symlink_to("/dev/full")
    with place(tmp_path, policy(when_full="go on")) as server:
        for seed in (1, 2):
            server.client().run(guarded(Run("a wolf", seed=seed, steps=1)))
        assert "2 prompts ran without a line in the record" in server.log.read_text(errors="replace")
