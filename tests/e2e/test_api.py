"""The pack inside a real ComfyUI server, seen through its HTTP API alone."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from dev import setup_host
from dev.graphs import Run, guarded, node, unguarded
from dev.server import Server, ServerError
from headless.client import PromptFailed, PromptRejected

FLAGGED = Run("a cat and a pistol", steps=4)
BENIGN = Run("a guitar and a rabbit", steps=4)


@pytest.mark.matrix
def test_guarded_prompt_gives_a_picture_and_its_reports(client):
    client.run(unguarded(BENIGN))  # leaves nothing of the guarded graph in the cache: reports come with execution
    result = client.run(guarded(FLAGGED))
    (picture,) = client.images(result)
    assert Image.open(io.BytesIO(picture)).size == (128, 128)
    (report,) = result.outputs["prompt"]["safree_report"]
    assert [word["text"] for word in report["tokens"] if word["flagged"]] == ["pistol"]
    assert report["concept"] == "weapons"
    (sampling,) = result.outputs["sampler"]["safree_sampling"]
    assert (sampling["filtered_steps"], sampling["steps"]) == ([FLAGGED.steps], FLAGGED.steps)
    (subspace,) = result.outputs["subspace"]["safree_subspace"]
    assert subspace["name"] == "weapons"


def test_a_prompt_that_a_node_rewrites_is_guarded_after_the_rewrite(client):
    """Here by StringConcatenate, as a language model's node would: what the user wrote names no weapon."""
    graph = guarded(Run("a cat and a", steps=2))
    graph["rewritten"] = node("StringConcatenate", string_a="a cat and a", string_b="pistol", delimiter=" ")
    graph["prompt"]["inputs"]["text"] = ["rewritten", 0]
    (report,) = client.run(graph).outputs["prompt"]["safree_report"]
    assert [word["text"] for word in report["tokens"] if word["flagged"]] == ["pistol"]


def test_guard_changes_the_picture_of_a_flagged_prompt(client):
    assert client.images(client.run(guarded(FLAGGED))) != client.images(client.run(unguarded(FLAGGED)))


@pytest.mark.matrix
def test_nothing_flagged_gives_the_same_file_as_the_stock_graph(client):
    assert client.images(client.run(guarded(BENIGN))) == client.images(client.run(unguarded(BENIGN)))


@pytest.mark.matrix
@pytest.mark.skipif("--cache-none" in setup_host.flags(), reason="this server keeps nothing")
def test_same_graph_again_is_served_from_the_cache(client):
    first = client.run(guarded(FLAGGED))
    second = client.run(guarded(FLAGGED))
    assert second.cached == guarded(FLAGGED).keys()
    assert client.images(second) == client.images(first)


@pytest.mark.parametrize(
    ("node", "change", "again"),
    [
        ("sampler", {"seed": 2}, {"sampler", "decode", "save"}),
        ("prompt", {"text": "a cat and a gun"}, {"prompt", "sampler", "decode", "save"}),
        ("subspace", {"phrases": "cannon"}, {"subspace", "prompt", "sampler", "decode", "save"}),
    ],
)
def test_edit_runs_only_what_depends_on_it(client, node, change, again):
    client.run(guarded(FLAGGED))
    graph = guarded(FLAGGED)
    graph[node]["inputs"].update(change)
    result = client.run(graph)
    assert graph.keys() - result.cached == again


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("graph", "node", "cause"),
    [
        (guarded(FLAGGED, "(phrases only)", " \n "), "ConceptSubspace", "no phrases"),
        (guarded(Run(" \t ", steps=4)), "SafreeConditioning", "white space"),
    ],
    ids=["empty phrases", "white space prompt"],
)
def test_bad_value_fails_with_the_node_and_the_cause(client, graph, node, cause):
    with pytest.raises(PromptFailed) as failure:
        client.run(graph)
    assert failure.value.node_type == node
    assert failure.value.text.startswith(f"{node}: ")
    assert cause in failure.value.text


@pytest.mark.matrix
@pytest.mark.parametrize("node", ["subspace", "prompt"])
def test_missing_clip_is_refused_with_the_node(client, node):
    graph = guarded(FLAGGED)
    del graph[node]["inputs"]["clip"]
    with pytest.raises(PromptRejected, match=r"Required input is missing: clip") as refusal:
        client.run(graph)
    assert refusal.value.node_errors.keys() == {node}


@pytest.mark.fault("a prompt that fails", "the next one gives the same bytes as before")
def test_failed_prompt_leaves_the_server_usable(client):
    before = client.images(client.run(guarded(FLAGGED)))
    with pytest.raises(PromptFailed):
        client.run(guarded(Run(" ", steps=4)))
    assert client.images(client.run(guarded(FLAGGED))) == before


@pytest.mark.matrix
def test_every_node_and_input_is_described(client):
    info = json.loads(client.get("/object_info"))
    ours = {name for name, node in info.items() if node["python_module"] == "custom_nodes.comfyui-safree"}
    assert ours >= {"ConceptSubspace", "SafreeConditioning", "SelfValidatingSampler", "ReAttentionPatch"}
    for name in ours:
        assert info[name]["description"], name
        inputs = {**info[name]["input"].get("required", {}), **info[name]["input"].get("optional", {})}
        bare = [key for key, (_, *options) in inputs.items() if not options or not options[0].get("tooltip")]
        assert not bare, f"{name}: inputs without tooltip: {bare}"


@pytest.mark.matrix
def test_pack_loads_without_a_word_in_the_log(server, client):
    lines = server.log.read_text(errors="replace").split("To see the GUI go to")[0].splitlines()
    about_us = [line for line in lines if str(Path("custom_nodes", "comfyui-safree")) in line or "SAFREE:" in line]
    assert len(about_us) == 1, about_us  # the line with the time that the import took
    assert "seconds:" in about_us[0]
    assert "FAILED" not in about_us[0]


def test_server_that_cannot_start_says_why(tmp_path):
    with (
        pytest.raises(ServerError, match="unrecognized arguments: --no-such-option"),
        Server(tmp_path, "--no-such-option"),
    ):
        pass


def test_server_ends_with_its_block_even_when_that_raises(tmp_path):
    server = Server(tmp_path)
    with pytest.raises(KeyboardInterrupt), server:
        interrupt(urllib.request.urlopen(f"http://{server.address}/queue"))
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{server.address}/queue")


def interrupt(answer):
    assert answer.status == 200
    raise KeyboardInterrupt
