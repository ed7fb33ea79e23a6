"""Graphs of strangers at the real server's POST /prompt: refused or run, and the server goes on as before."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from hypothesis import strategies as st
from strategies import JSON, PATHS, TEXTS

from dev import setup_host
from dev.graphs import Run, guarded, node
from headless.client import PromptFailed, PromptRejected

fault = pytest.mark.fault
RUN = Run("a cat and a pistol", steps=1, size=64)
LINKS = [["loader", 0], ["loader", 9], ["nobody", 0], ["prompt", "x"], [["a"], 0], ["loader", -1], ["x"]]
OURS = {
    "file": "SaveConceptSubspace",
    "load": "LoadConceptSubspace",
    "filter": "SafreeFilterConditioning",
    "plot": "SafetyReportPlot",
    "patch": "ReAttentionPatch",
    "switch": "SelfValidationPatch",
}


def graph() -> dict:
    """Every node of ours; the guarded picture is the one that counts."""
    return guarded(RUN) | {
        "file": node("SaveConceptSubspace", subspaces=["subspace", 0], filename="fuzzed", overwrite=True),
        "load": node("LoadConceptSubspace", filename="fuzzed.safetensors", strength=1.0),
        "filter": node(
            "SafreeFilterConditioning",
            conditioning=["negative", 0],
            subspaces=["load", 0],
            strength=1.0,
            threshold=0.0,
        ),
        "plot": node("SafetyReportPlot", report=["filter", 1]),
        "patch": node(
            "ReAttentionPatch", model=["loader", 0], strength=1.0, deep_scale=0.9, shallow_scale=0.2, radius=0.0
        ),
        "switch": node("SelfValidationPatch", model=["patch", 0], unit="share", filtered_steps=-1),
        "preview": node("PreviewImage", images=["plot", 0]),
    }


@pytest.fixture
def watched():
    """All files below the base folder but the server's own; the test may add none but its subspace."""

    def files() -> set:
        found = {path.relative_to(setup_host.base()) for path in setup_host.base().rglob("*") if path.is_file()}
        return {path for path in found if path.parts[0] not in ("user", "custom_nodes")}

    before = files()
    yield
    saved = setup_host.base() / "models" / "safree_subspaces"
    made = files() - before
    for path in made:
        (setup_host.base() / path).unlink()
    assert {(setup_host.base() / path).parent for path in made} <= {saved}
    assert all(path.suffix == ".safetensors" and path.name[0] != "." for path in made)


def post(server, path: str, body: object) -> tuple[int, dict]:
    """(status, answer) of a request that any client may send."""
    data = json.dumps(body).encode()  # NaN and Infinity as Python, and the host, write and read them
    request = urllib.request.Request(f"http://{server.address}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@fault("graph inputs of wrong types at the server's API", "refused with the node and input, the server goes on")
def test_inputs_of_any_type_are_refused_or_queued(server, client, watched, fuzz):
    before = client.images(client.run(guarded(RUN)))
    places = [(key, name) for key in ("subspace", "prompt", "sampler", *OURS) for name in graph()[key]["inputs"]]

    def check(change):
        (key, name), value = change
        changed = graph()
        if value is None:
            del changed[key]["inputs"][name]
        else:
            changed[key]["inputs"][name] = value
        status, answer = post(server, "/prompt", {"prompt": changed})
        assert status in (200, 400)
        if status == 400:
            assert answer["error"]["message"]
        else:  # only asked whether it is taken: what it does is the next test's
            post(server, "/queue", {"clear": True})
            post(server, "/interrupt", {})

    values = st.one_of(st.none(), st.sampled_from(LINKS), JSON, PATHS, TEXTS)
    fuzz(st.tuples(st.sampled_from(places), values), 300, check)
    while json.loads(client.get("/queue"))["queue_running"]:
        pass
    assert client.images(client.run(guarded(RUN))) == before


def outcome(client, changed: dict) -> tuple[str, object]:
    """How a graph ended: 'done', 'refused' with the ids of the nodes at fault, or 'failed' with the node's message."""
    try:
        client.run(changed)
    except PromptRejected as refused:
        return "refused", refused.node_errors.keys()
    except PromptFailed as failed:
        return "failed", failed.text
    return "done", None


NUMBER = st.sampled_from([float("nan"), float("inf"), -1, 2, 0.5, 10**30, True, "0.5", "x"])
WIDGETS = {
    ("file", "filename"): PATHS,
    ("load", "strength"): NUMBER,
    ("load", "filename"): PATHS,
    ("filter", "strength"): NUMBER,
    ("filter", "threshold"): NUMBER,
    ("plot", "report"): st.one_of(TEXTS, JSON.map(json.dumps)),
    ("patch", "strength"): NUMBER,
    ("patch", "radius"): NUMBER,
    ("switch", "filtered_steps"): NUMBER,
}


@fault("widget values out of range, NaN included", "refused, a result, or an error that names our node")
def test_widget_values_of_any_kind_end_in_a_result_or_a_clear_error(server, client, watched, fuzz):
    client.run({key: graph()[key] for key in ("loader", "subspace", "file")})
    saved = {key: graph()[key] for key in ("loader", "negative", *OURS, "preview")}
    saved["file"]["inputs"]["subspaces"] = ["load", 0]  # so that nothing is built again
    saved["compare"] = node("PreviewAny", source=["switch", 0])

    def check(change):
        (key, name), value = change
        changed = json.loads(json.dumps(saved))
        changed[key]["inputs"][name] = value
        end, detail = outcome(client, changed)
        assert end == "done" or (end == "refused" and key in detail) or detail.startswith(f"{OURS[key]}: "), detail

    pairs = st.sampled_from(list(WIDGETS)).flatmap(lambda place: st.tuples(st.just(place), WIDGETS[place]))
    fuzz(pairs, 80, check)
