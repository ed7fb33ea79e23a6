"""What people saved with version 0.1.0 (tests/assets/v0.1.0) loads as it was: workflows, subspaces, reports."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tracing import encode

from dev import setup_host

ASSETS = setup_host.ASSETS
OLD = ASSETS / "v0.1.0"
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
API = sorted((OLD / "api").glob("*.json"))


def read(name: str) -> dict:
    return json.loads((ASSETS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def interface(pack) -> dict:
    from dev.generate.interface import interface

    return interface()


def test_node_ids_inputs_and_defaults_are_those_of_the_list(interface):
    """A change here changes what shared workflows mean. Where it is meant: python -m dev.generate.interface."""
    assert json.loads(json.dumps(interface)) == read("interface.json")


def test_every_node_of_0_1_0_is_there_with_its_inputs_defaults_and_outputs(interface):
    old = read("v0.1.0/interface.json")
    assert len(old) == 9
    for node, before in old.items():
        now = interface[node]
        assert now["outputs"][: len(before["outputs"])] == before["outputs"]
        for name, entry in before["inputs"].items():
            kept = now["inputs"][name]
            assert {key: kept.get(key) for key in ("type", "default")} == {k: entry.get(k) for k in ("type", "default")}
            assert set(entry.get("options", ())) <= set(kept.get("options", ()))
        added = set(now["inputs"]) - set(before["inputs"])
        assert all(now["inputs"][name]["optional"] for name in added), f"{node}: workflows of 0.1.0 lack {added}"


def test_widgets_of_0_1_0_keep_their_places(interface):
    """The editor saves widget values as a list, without names."""
    for node, before in read("v0.1.0/interface.json").items():
        old, now = (
            [name for name, entry in kind["inputs"].items() if entry["type"] in WIDGETS]
            for kind in (before, interface[node])
        )
        assert now[: len(old)] == old


@pytest.mark.parametrize("path", API, ids=lambda path: path.stem)
def test_a_workflow_of_0_1_0_names_nothing_that_is_gone(path, interface):
    nodes = [node for node in json.loads(path.read_text()).values() if node["class_type"] in interface]
    assert nodes
    for node in nodes:
        inputs = interface[node["class_type"]]["inputs"]
        assert set(node["inputs"]) <= set(inputs)
        assert {name for name, entry in inputs.items() if not entry["optional"]} <= set(node["inputs"])
        for name, value in node["inputs"].items():
            assert value in inputs[name].get("options", [value])


def test_a_subspace_of_0_1_0_loads_as_it_was(pack):
    loaded = pack.safree.storage.load(OLD / "weapons.safetensors")
    assert (loaded.name, len(loaded.phrases), list(loaded.encoders)) == ("weapons", 15, ["l"])
    assert loaded["l"].concepts.shape == (15, 768)


def test_a_subspace_of_0_1_0_flags_what_it_flagged(pack, clip):
    report = read("v0.1.0/prompt_report.json")
    loaded = pack.safree.storage.load(OLD / "weapons.safetensors")
    conditioning, now, count = pack.SafreeConditioning.execute(
        clip, (loaded,), report["prompt"], "adaptive", 1.0, 0.0, "auto"
    ).args
    flagged = [token["text"] for token in report["tokens"] if token["flagged"]]
    assert [token["text"] for token in json.loads(now)["tokens"] if token["flagged"]] == flagged == ["pistol"]
    assert count == 1
    assert not torch.equal(conditioning[0][0], encode(clip, report["prompt"])[0][0])


@pytest.mark.parametrize("name", ["prompt_report", "sampling_report"])
def test_a_report_of_0_1_0_is_drawn(pack, name):
    (image,) = pack.SafetyReportPlot.execute((OLD / f"{name}.json").read_text()).args
    assert image.std() > 0.02


@pytest.mark.parametrize(
    ("name", "change", "state"),
    [
        ("prompt_report", {}, "filtered"),
        ("prompt_report", {"flagged": 0}, "clear"),
        ("prompt_report", {"strength": 0}, "inactive"),
        ("prompt_report", {"t_prime": {"share": 0.0, "steps_of_50": 0.2}}, "inactive"),
        ("sampling_report", {}, "filtered"),
        ("sampling_report", {"filtered_steps": []}, "clear"),
        ("sampling_report", {"filtered_steps": [], "active": False}, "inactive"),
        ("sampling_report", {"filtered_steps": [], "steps": 0}, "empty"),
    ],
)
def test_the_state_of_a_report_of_0_1_0_is_that_of_its_numbers(pack, name, change, state):
    old = read(f"v0.1.0/{name}.json") | change
    now = pack.host.report.reports.upgraded(old)
    assert (now["state"], now["active"], now["version"]) == (state, state != "inactive", 2)
    assert now["verdict"] == old["verdict"]


def test_a_report_has_the_same_head_whatever_made_it(pack, clip, model, weapons, empty):
    off = dataclasses.replace(weapons, strength=0.0)
    prompts = {"a cat and a pistol": (weapons, "filtered", ""), "a cat": (weapons, "clear", "")}
    prompts["a pistol"] = (off, "inactive", "strength")
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    sampler = {"cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "negative": empty, "latent_image": latent}
    for text, (subspace, state, reason) in prompts.items():
        positive, said, _ = pack.SafreeConditioning.execute(clip, (subspace,), text, "adaptive", 1.0, 0.0, "auto").args
        _, done = pack.SelfValidatingSampler.execute(
            "share", -1, model=model, seed=1, steps=2, positive=positive, denoise=1.0, **sampler
        ).args
        for kind, report in {"prompt": json.loads(said), "sampling": json.loads(done)}.items():
            assert (report["version"], report["kind"]) == (2, kind)
            assert (report["state"], report["reason"], report["active"]) == (state, reason, state != "inactive")
            assert report["verdict"]
