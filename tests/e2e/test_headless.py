"""The commands for use without the editor, against the real server."""

from __future__ import annotations

import copy
import json
import threading
import time
from pathlib import Path

import pytest

from dev.generate import core_nodes
from dev.graphs import Run, guarded, node, unguarded
from dev.server import Server
from headless import knowledge
from headless.check import Policy, unguarded_samplers, unheard_of
from headless.client import Client, PromptRejected
from headless.commands import check, guard, run
from headless.object_info import is_core, types
from headless.rewrite import LUMINA2
from headless.workflow import Workflow

RUN = Run("a cat and a pistol", steps=4)
TEMPLATES = sorted((Path(__file__).parents[1] / "assets" / "templates").glob("*.json"))


@pytest.fixture(scope="module")
def info(client):
    return json.loads(client.get("/object_info"))


@pytest.fixture
def start(server, tmp_path, capsys):
    """Run `headless run` on a graph: (exit code, files by name, stderr)."""

    def start(graph: dict, *options: str, address: str = server.address):
        source, folder = tmp_path / "workflow.json", tmp_path / "out"
        source.write_text(json.dumps(graph))
        code = run.main([str(source), str(folder), "--server", address, *options])
        out, error = capsys.readouterr()
        files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        assert {Path(line).name for line in out.splitlines()} <= files.keys()
        return code, files, error

    return start


def report(files: dict[str, bytes], name: str = "report_prompt.json") -> dict:
    return json.loads(files[name])


# headless run


def test_pictures_and_reports_are_fetched_and_never_overwritten(start):
    code, files, error = start(guarded(RUN))
    assert code == 0, error
    (picture,) = [name for name in files if name.endswith(".png")]
    assert report(files)["flagged"] == 1
    assert report(files, "report_sampler.json")["filtered_steps"] == [RUN.steps]
    assert "SelfValidatingSampler (node sampler)" in error
    code, again, _ = start(guarded(RUN))  # all from the server's cache, the reports too
    assert code == 0
    assert again.keys() - files.keys() >= {"report_prompt (2).json", "report_sampler (2).json"}
    assert {name: again[name] for name in files} == files
    assert again["report_prompt (2).json"] == files["report_prompt.json"]
    assert picture in again


def test_inputs_and_seeds_can_be_changed(start, client):
    graph = guarded(RUN)
    graph["prompt"]["_meta"] = {"title": "My prompt"}
    options = ("--set", "My prompt.text=a guitar = a rabbit", "--set", "latent.width=64", "--seed", "9")
    code, files, error = start(graph, *options)
    assert code == 0, error
    assert report(files)["prompt"] == "a guitar = a rabbit"
    graph["prompt"]["inputs"]["text"], graph["latent"]["inputs"]["width"] = "a guitar = a rabbit", 64
    graph["sampler"]["inputs"]["seed"] = 9
    (picture,) = [data for name, data in files.items() if name.endswith(".png")]
    assert client.images(client.run(graph)) == [picture]


def test_a_node_that_fails_is_named(start):
    code, files, error = start(guarded(Run(" \t ", steps=4)))
    assert (code, files) == (1, {})
    assert "SafreeConditioning (node prompt): SafreeConditioning: the prompt holds only white space" in error


def test_the_guarded_twin_changes_the_picture_only_of_a_flagged_prompt(client):
    runs = RUN, Run("a guitar and a rabbit", steps=4)
    twins = [guard.guard(Workflow(unguarded(r)), Policy(concept_sets=("weapons",)), {})[0] for r in runs]
    by_hand = guarded(RUN)
    by_hand["sampler"]["class_type"] = "KSampler"  # guarded graphs one after the other: the server keeps the subspace
    flagged, same, benign = (client.images(client.run(g)) for g in (by_hand, twins[0].nodes, twins[1].nodes))
    assert same == flagged
    assert client.images(client.run(unguarded(RUN))) != flagged
    assert client.images(client.run(unguarded(runs[1]))) == benign


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--set=nobody.text=a", "prompt.text"),
        ("--set=prompt.txt=a", "prompt.text"),
        ("--set=prompt.text", "NODE.INPUT"),
    ],
)
def test_a_change_of_what_is_not_there_names_what_is(start, option, text):
    code, files, error = start(guarded(RUN), option)
    assert (code, files) == (2, {})
    assert text in error


def test_a_refused_workflow_is_named_and_nothing_is_written(start):
    graph = unguarded(RUN)
    graph["loader"]["inputs"]["ckpt_name"] = "none.safetensors"
    code, files, error = start(graph)
    assert (code, files) == (2, {})
    assert "CheckpointLoaderSimple (node loader)" in error
    assert "none.safetensors" in error


def test_an_output_that_the_server_leaves_out_is_not_success(start):
    graph = unguarded(RUN)
    graph["broken"] = node("SaveImage", filename_prefix="x")
    code, files, error = start(graph)
    assert code == 2
    assert "SaveImage (node broken)" in error
    assert len(files) == 1


def test_an_interrupt_on_the_server_is_not_success(start, server):
    def interrupt():
        other = Client(server.address)
        while not other.get_json("/queue")["queue_running"]:
            time.sleep(0.05)
        other.post("/interrupt", {})

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, files, error = start(unguarded(Run("a dog", steps=200)))
    thread.join()
    assert (code, files) == (4, {})
    assert "interrupted" in error


def test_without_a_server_the_address_is_named(start):
    code, _, error = start(guarded(RUN), address="127.0.0.1:9")
    assert code == 3
    assert "127.0.0.1:9" in error
    assert start(guarded(RUN), address="nowhere:port")[0] == 2


def test_a_server_that_goes_away_is_not_success(start, tmp_path):
    with Server(tmp_path / "server") as other:

        def end():
            while not Client(other.address).get_json("/queue")["queue_running"]:
                time.sleep(0.05)
            other._process.kill()

        thread = threading.Thread(target=end)
        thread.start()
        code, files, error = start(unguarded(Run("a dog", steps=500)), address=other.address)
        thread.join()
    assert (code, files) == (3, {})
    assert other.address in error


def test_the_server_refuses_a_sampler_without_its_prompt(client):
    """It is what a bypassed SafreeConditioning leaves; the check says so before."""
    graph = unguarded(RUN)
    del graph["prompt"], graph["sampler"]["inputs"]["positive"]
    assert [problem.input for problem in unguarded_samplers(graph)] == ["positive"]
    with pytest.raises(PromptRejected, match="Required input is missing: positive"):
        client.run(graph)


# headless guard and what it knows


def test_the_commands_ask_the_server_about_its_nodes(server, tmp_path, capsys):
    source, twin = tmp_path / "workflow.json", tmp_path / "guarded.json"
    source.write_text(json.dumps(unguarded(RUN)))
    options = ["--server", f"http://{server.address}/"]
    assert check.main([str(source), *options]) == 1
    assert guard.main([str(source), str(twin), *options]) == 0
    assert check.main([str(twin), "--concept-set", "nudity", *options]) == 0
    assert check.main([str(twin), "--server", "127.0.0.1:9"]) == 2
    assert "127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_guarded_template_is_wrong_only_in_files_that_are_not_here(client, info, path):
    """The server's own validation of types and values, before and after: the guard adds no fault."""
    before = json.loads(path.read_text())
    twin, report = guard.guard(Workflow(before), Policy(concept_sets=("nudity",)), info)
    assert faults(client, twin.nodes) == faults(client, before)
    assert unguarded_samplers(before, info) or not report.guarded


def test_a_fault_of_the_guard_would_show_there(client, info):
    before = json.loads(next(path for path in TEMPLATES if path.stem == "sdxl_simple_example").read_text())
    twin, _ = guard.guard(Workflow(before), Policy(concept_sets=("nudity",)), info)
    for key in twin.nodes:
        if twin.kind(key) == "ConceptSubspace":
            twin.inputs(key)["clip"][1] = 0
    assert {kind for _, kind, _ in faults(client, twin.nodes) - faults(client, before)} == {"return_type_mismatch"}


def faults(client, graph: dict) -> set[tuple[str, ...]]:
    """(node, kind of fault, details) of a refused graph; where this host lacks a node, only which."""
    with pytest.raises(PromptRejected) as refusal:
        client.run(copy.deepcopy(graph))
    found = {
        (key, fault["type"], fault["details"])
        for key, node in refusal.value.node_errors.items()
        for fault in node["errors"]
    }
    return found or {(str(refusal.value),)}


def test_the_pack_files_describe_every_node_of_the_host(info):
    assert core_nodes.undescribed(info, knowledge.load()) == {}
    ours = {kind for kind, entry in info.items() if entry["python_module"] == "custom_nodes.comfyui-safree"}
    assert ours == {kind for kind, facts in knowledge.load().items() if facts.pack == "SAFREE"}


def test_core_nodes_that_touch_conditioning_are_never_called_inert(info):
    core = {kind for kind, entry in info.items() if is_core(entry)}
    touching = {kind for kind in core if "CONDITIONING" in types(info[kind])[0] | types(info[kind])[1]}
    known = knowledge.load()
    assert {kind for kind in touching if known[kind].inert and not known[kind].reads} == set()


def test_the_pack_files_name_real_inputs_and_outputs(info):
    for kind, facts in knowledge.load().items():
        if kind not in info:
            continue
        inputs, outputs = _names(info[kind]), info[kind]["output"]
        conditioning = {name for name, spec in inputs.items() if spec[0] == "CONDITIONING"}
        for slot, sources in facts.carries.items():
            assert slot < len(outputs), kind
            assert all(source.names(inputs) for source in sources), (kind, sources)
        if facts.carries and "CONDITIONING" in outputs:
            slots = {n for n, output in enumerate(outputs) if output == "CONDITIONING"}
            assert slots == facts.carries.keys(), kind
            assert {source.input for sources in facts.carries.values() for source in sources} == conditioning, kind
        if facts.samples:
            assert {source.input for source in facts.samples.positive + facts.samples.negative} == conditioning, kind
            assert set(facts.samples.scales) <= inputs.keys(), kind
        for (slot, _), encoder in facts.encodes.items():
            assert outputs[slot] == "CONDITIONING", kind
            assert {*encoder.texts, encoder.clip} <= inputs.keys(), kind
        if facts.reads:
            assert "CONDITIONING" not in outputs, kind


def _names(entry: dict) -> dict[str, list]:
    return {name: spec for group in entry["input"].values() for name, spec in group.items()}


def test_the_system_prompts_of_lumina_are_the_hosts(info):
    tip = info["CLIPTextEncodeLumina2"]["input"]["required"]["system_prompt"][1]["tooltip"]
    assert all(text in tip for text in LUMINA2.values())


def test_the_pack_files_agree_with_the_types_of_the_host(info):
    known = knowledge.load()
    odd = {kind: unheard_of(known[kind], entry) for kind, entry in info.items() if is_core(entry)}
    assert {kind: news for kind, news in odd.items() if news} == {}


def test_settings_that_pack_files_limit_are_there(info):
    for kind, facts in knowledge.load().items():
        if kind in info:
            assert facts.limits.keys() <= _names(info[kind]).keys(), kind


def test_every_node_of_the_host_that_passes_a_model_or_a_latent_on_is_judged(info):
    """Each has a reason of its own; none that arithmetic or a patch could hide in is called harmless by its type."""
    known = knowledge.load()
    for kind, entry in info.items():
        if (
            is_core(entry)
            and (inputs := types(entry)[0] & {"MODEL", "LATENT", "CLIP", "SIGMAS", "GUIDER"}) & types(entry)[1]
        ):
            assert known[kind].reason or known[kind].refused, (kind, inputs)
