"""The pack in ComfyUI's editor, in a real browser: pinned and newest front end. Screenshots go to output/e2e/."""

from __future__ import annotations

import json
import random
import shutil

import pytest
import torch
from PIL import Image

from bench.world.composed import compose
from dev import setup_host
from dev.browser import REASON
from dev.editor import CHROMIUM, VIEWPORT, open_editor
from dev.generate.workflow_graph import Graph
from dev.server import Server

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)

SHOTS = setup_host.ROOT / "output" / "e2e"
WORKFLOWS = [
    *sorted((setup_host.ROOT / "example_workflows").glob("*.json")),
    *sorted((setup_host.ASSETS / "v0.1.0" / "workflows").glob("*.json")),
]
RUN_LIMIT = 300_000  # milliseconds
CONDITIONING = "window.app.canvas.graph._nodes.find((n) => n.type === 'SafreeConditioning')"

GUARD_LATENTS = """(file) => {
    const graph = window.app.graph, of = (kind) => graph._nodes.find((node) => node.type === kind);
    const kinds = ["LoadConceptPresence", "LatentGuardPatch"];
    const [presence, patch] = kinds.map((kind) => window.LiteGraph.createNode(kind));
    graph.add(presence); graph.add(patch);
    presence.widgets.find((widget) => widget.name === "filename").value = file;
    of("CheckpointLoaderSimple").connect(0, patch, "model");
    presence.connect(0, patch, "presences");
    patch.connect(0, of("SelfValidatingSampler"), "model");
}"""


@pytest.fixture(scope="module", params=["pinned", "newest"])
def editor(request, tmp_path_factory):
    """A page with the editor loaded."""
    flags = [] if request.param == "pinned" else ["--front-end-root", str(setup_host.newest_front_end())]
    with (
        Server(tmp_path_factory.mktemp("browser"), *flags) as server,
        open_editor(server.address, "SafreeConditioning") as page,
    ):
        page.kind = request.param
        yield page


@pytest.fixture
def presence_file():
    """Name of a presence of weapons in the server's folder, for as long as a test runs."""
    path = setup_host.base() / "models" / "safree_presences" / "browser_test.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(setup_host.ASSETS / "presence_weapon.safetensors", path)
    yield path.name
    path.unlink()


@pytest.fixture
def gated(editor, presence_file):
    """A workflow of the editor: a picture that shows a weapon before SafetyGate, with LatentLook as its judge."""
    picture = setup_host.base() / "input" / "browser_gate.png"
    picture.parent.mkdir(exist_ok=True)
    pixels = compose(("pistol",), random.Random(4)).movedim(0, -1) * 255
    Image.fromarray(pixels.round().to(torch.uint8).numpy()).save(picture)
    graph = Graph(editor.evaluate("() => fetch('/object_info').then((reply) => reply.json())"), "")
    model = graph.add("CheckpointLoaderSimple", ckpt_name=setup_host.CHECKPOINT)
    presence = graph.add("LoadConceptPresence", filename=presence_file)
    judge = graph.add("LatentLookJudge", model=model[0], vae=model[2], presences=presence[0])
    shown = graph.add("LoadImage", image=picture.name)
    gate = graph.add("SafetyGate", images=shown[0], judges=judge[0])
    graph.add("PreviewImage", images=gate[0])
    yield graph.editor()
    picture.unlink()


@pytest.fixture(autouse=True)
def no_page_error(editor):
    editor.errors.clear()
    yield
    assert editor.errors == []


def load(page, workflow: dict) -> None:
    page.evaluate("(workflow) => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1000)
    # the editor says in a toast what is wrong with a workflow
    assert texts(page, ".p-toast-message-warn, .p-toast-message-error") == []


def of_type(workflow: dict, kind: str) -> dict:
    return next(node for node in workflow["nodes"] if node["type"] == kind)


def tiny(prompt: str) -> dict:
    """The workflow that runs anywhere, in few steps. A prompt of the test's own is not in the server's cache."""
    workflow = json.loads((setup_host.ROOT / "example_workflows" / "tiny_checkpoint.json").read_text())
    of_type(workflow, "SelfValidatingSampler")["widgets_values"][2] = 4  # steps
    of_type(workflow, "SafreeConditioning")["widgets_values"][0] = prompt
    return workflow


def queue(page) -> str:
    """Queue the graph and wait for its end: 'execution_success', or what the server says is wrong with it."""
    page.evaluate(
        "() => { window.done = ''; for (const e of ['execution_success', 'execution_error'])"
        " window.app.api.addEventListener(e, (m) => (window.done = m.detail.exception_message ?? e), { once: true }); }"
    )
    with page.expect_response(lambda reply: reply.url.endswith("/prompt") and reply.request.method == "POST") as reply:
        page.evaluate("() => void window.app.queuePrompt(0)")
    refused = reply.value.json().get("node_errors") or {}  # of the outputs that cannot be made; others may run
    if reply.value.ok:
        page.wait_for_function("!!window.done", timeout=RUN_LIMIT)
        page.wait_for_timeout(500)
    faults = [
        f"{node['class_type']}: {e['message']}: {e['details']}" for node in refused.values() for e in node["errors"]
    ]
    return "\n".join(faults) or page.evaluate("window.done")


def run(page) -> None:
    assert queue(page) == "execution_success"


def shoot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{page.kind}_{name}.png")


def frame(page, kind: str) -> None:
    """Bring the node of a type to the middle, large enough to read."""
    page.evaluate(
        "(kind) => { const { app } = window, node = app.graph._nodes.find((n) => n.type === kind);"
        " app.canvas.ds.scale = 1.3; app.canvas.centerOnNode(node); app.canvas.setDirty(true, true); }",
        kind,
    )
    page.wait_for_timeout(500)


def open_subgraph(page) -> None:
    page.evaluate(
        "() => void window.app.canvas.setGraph(window.app.graph._nodes.find((n) => n.isSubgraphNode?.()).subgraph)"
    )
    page.wait_for_timeout(500)


def setting(page, name: str, value) -> None:
    page.evaluate("([name, value]) => window.app.extensionManager.setting.set(name, value)", [name, value])
    page.wait_for_timeout(500)


def texts(page, selector: str) -> list[str]:
    return page.eval_on_selector_all(selector, "found => found.map((element) => element.textContent)")


def test_the_heat_map_marks_the_flagged_word_and_survives_a_reload_of_the_workflow(editor):
    load(editor, tiny("a monkey and a pistol on a pink background"))
    assert any("Run the workflow" in text for text in texts(editor, ".safree-message"))
    run(editor)
    editor.set_viewport_size({"width": 2600, "height": 1300})
    editor.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    editor.wait_for_timeout(1000)
    shoot(editor, "graph")
    editor.set_viewport_size(VIEWPORT)
    for palette in ("light", "dark"):
        setting(editor, "Comfy.ColorPalette", palette)
        for kind in ("SafreeConditioning", "ConceptSubspace", "SelfValidatingSampler"):
            frame(editor, kind)
            shoot(editor, f"{kind}_{palette}")
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    label = editor.get_attribute(".safree-word.safree-flagged", "aria-label")
    assert "flagged" in label
    assert "weapons" in label
    assert any(text.startswith("Filtered for 4 of 4 steps") for text in texts(editor, ".safree-verdict"))
    assert "bow and arrow" in texts(editor, ".safree-chip")
    saved = json.loads(editor.evaluate("() => JSON.stringify(window.app.graph.serialize())"))
    editor.evaluate("() => window.app.graph.clear()")
    assert texts(editor, ".safree-word") == []
    load(editor, saved)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]


def test_what_the_latent_guard_found_is_shown_over_the_steps_and_over_the_picture(editor, presence_file):
    workflow = tiny("a wolf and a pistol")
    of_type(workflow, "SafreeConditioning")["widgets_values"][3] = 0.999  # threshold: nothing is flagged
    sampler = of_type(workflow, "SelfValidatingSampler")["widgets_values"]
    sampler[2], sampler[sampler.index("error")] = 12, "warn"  # steps; the second look finds it still
    load(editor, workflow)
    editor.evaluate(GUARD_LATENTS, presence_file)
    run(editor)
    frame(editor, "SelfValidatingSampler")
    shoot(editor, "presence")
    assert any("found at step" in text for text in texts(editor, ".safree-detail"))
    assert editor.locator(".safree-presence span.safree-hot").count() > 0
    assert editor.locator(".safree-map").count() == 2  # of the run and of the second look
    assert editor.locator(".safree-map span").count() == 2 * 16 * 16


def saved(page) -> dict:
    return json.loads(page.evaluate("() => JSON.stringify(window.app.graph.serialize())"))


def properties(workflow: dict) -> str:
    return json.dumps([node.get("properties") for node in workflow["nodes"]])


def test_a_saved_workflow_holds_no_word_and_no_score_unless_the_user_wants_it(editor):
    load(editor, tiny("a duck and a pistol"))
    run(editor)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    for word in ("duck", "pistol", "score", "tokens", "verdict", "phrases"):
        assert word not in properties(saved(editor))
    setting(editor, "Safree.KeepReports", True)
    try:
        kept = saved(editor)
        assert of_type(kept, "SafreeConditioning")["properties"]["safree"]["tokens"]
    finally:
        setting(editor, "Safree.KeepReports", False)
    assert "duck" not in properties(saved(editor))
    load(editor, kept)  # as another person opens it
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    assert "duck" not in properties(saved(editor))


def test_a_workflow_of_another_session_has_no_report_but_says_how_to_see_one(editor):
    workflow = tiny("a corn and a pistol")
    workflow["id"] = "7f3f6a36-2f52-4a7b-a1d5-0c8f6f0d9a11"
    of_type(workflow, "SafreeConditioning")["properties"]["safree_session"] = {"safree": "another-1"}
    load(editor, workflow)
    assert texts(editor, ".safree-word") == []
    assert any("Run the workflow" in text for text in texts(editor, ".safree-message"))


def test_a_copy_and_an_undo_keep_the_heat_map(editor):
    load(editor, tiny("a cat and a pistol"))
    run(editor)
    editor.evaluate(
        f"() => {{ const {{ canvas }} = window.app; canvas.deselectAll(); canvas.select({CONDITIONING});"
        " canvas.copyToClipboard(); canvas.pasteFromClipboard(); }"
    )
    editor.wait_for_timeout(500)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol", "pistol"]
    editor.evaluate("() => window.app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    editor.wait_for_timeout(1000)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]


def test_a_node_that_was_not_run_says_that_its_report_is_an_earlier_one(editor):
    load(editor, tiny("a wolf and a pistol"))
    run(editor)
    editor.evaluate(
        "() => { const node = window.app.graph._nodes.find((n) => n.type === 'SelfValidatingSampler');"
        " node.widgets.find((w) => w.name === 'seed').value += 1; }"
    )
    run(editor)  # the conditioning comes from the server's cache
    assert not any("earlier one" in text for text in texts(editor, ".safree-message"))
    editor.evaluate(
        f"() => {{ const {{ canvas, graph }} = window.app, typed = (type) => graph._nodes.find((n) => n.type === type);"
        f" canvas.deselectAll(); canvas.select({CONDITIONING}); canvas.copyToClipboard(); canvas.pasteFromClipboard();"
        " const copy = graph._nodes.at(-1); typed('CheckpointLoaderSimple').connect(1, copy, 'clip');"
        " typed('ConceptSubspace').connect(0, copy, 'subspaces');"
        " copy.connect(0, typed('SelfValidatingSampler'), 'positive'); typed('PreviewImage').mode = 2;"
        f" typed('SafetyReportPlot').mode = {CONDITIONING}.mode = 2; }}"
    )
    run(editor)
    assert any("earlier one" in text for text in texts(editor, ".safree-message"))


def test_inside_a_subgraph_the_panel_still_shows_the_run(editor):
    load(editor, tiny("a tiger and a pistol"))
    editor.evaluate(f"() => void window.app.canvas.graph.convertToSubgraph(new Set([{CONDITIONING}]))")
    open_subgraph(editor)
    run(editor)
    shoot(editor, "subgraph")
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    editor.evaluate("() => void window.app.canvas.setGraph(window.app.graph)")


def test_a_legacy_group_node_runs_and_shows_the_panels_of_its_nodes(editor):
    """Newer editors make a subgraph of it, whose nodes have their own panels."""
    workflow = json.loads((setup_host.ASSETS / "group_node.json").read_text())
    values = of_type(workflow, "workflow>guard")["widgets_values"]
    values[1], values[4] = "crossbow", "a fox and a pistol"  # phrases and text that are not in the server's cache
    load(editor, workflow)
    run(editor)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    assert "crossbow" in texts(editor, ".safree-chip")
    if editor.kind == "pinned":
        frame(editor, "workflow>guard")
    shoot(editor, "group_node")
    saved = json.loads(editor.evaluate("() => JSON.stringify(window.app.graph.serialize())"))
    editor.evaluate("() => window.app.graph.clear()")
    assert texts(editor, ".safree-word") == []
    load(editor, saved)
    if editor.kind == "newest":
        open_subgraph(editor)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    editor.evaluate("() => void window.app.canvas.setGraph(window.app.graph)")


UNKNOWN = [
    ("SafreeConditioning", 1, "magic", "mode 'magic' is unknown. Choose one of adaptive, paper, reference."),
    ("SafreeConditioning", 2, None, "strength, None"),
    ("SafreeConditioning", 2, "strong", "strength, strong"),
    ("SafreeConditioning", 2, -3, "smaller than min of 0.0: strength"),
    ("SafreeConditioning", 4, "never", "self_validation 'never' is unknown"),
    ("ConceptSubspace", 0, "no such set", "there is no concept set 'no such set'. Available: "),
    ("ConceptSubspace", 2, 9, "bigger than max of 2.0: strength"),
    ("SelfValidatingSampler", 7, "hours", "unit 'hours' is unknown. Choose one of share, steps."),
    ("SelfValidatingSampler", 8, None, "filtered_steps, None"),
    ("SelfValidatingSampler", 9, "ignore", "on_problem 'ignore' is unknown. Choose one of error, warn, again."),
]


@pytest.mark.fault(
    "a workflow file with widget values that are unknown, of wrong types or out of range",
    "loads; the run is refused with node and input",
)
@pytest.mark.parametrize(("kind", "index", "value", "message"), UNKNOWN)
def test_an_unknown_widget_value_is_refused_by_node_and_input(editor, kind, index, value, message):
    workflow = tiny("a cat and a pistol")
    of_type(workflow, kind)["widgets_values"][index] = value
    load(editor, workflow)
    said = queue(editor)
    assert said.startswith(f"{kind}: ")
    assert message in said
    editor.wait_for_timeout(500)
    shoot(editor, f"unknown_{kind}_{index}")
    editor.keyboard.press("Escape")  # the editor's own dialog


@pytest.mark.fault(
    "a workflow file of an older version: fewer or more widget values", "the rest at their defaults, the guard on"
)
@pytest.mark.parametrize(
    ("prompt", "change"),
    [
        ("a lion and a pistol", lambda values, least: values[:least]),
        ("a panda and a pistol", lambda values, least: [*values, "more", None, {}]),
    ],
    ids=["fewer", "more"],
)
def test_too_few_and_too_many_widget_values_leave_the_guard_on(editor, prompt, change):
    workflow = tiny(prompt)
    for kind, least in {"ConceptSubspace": 1, "SafreeConditioning": 1, "SelfValidatingSampler": 7}.items():
        node = of_type(workflow, kind)
        node["widgets_values"] = change(node["widgets_values"], least)
    load(editor, workflow)
    run(editor)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    assert any(text.startswith("Filtered for 4 of 4 steps") for text in texts(editor, ".safree-verdict"))


def test_nodes_2_0_show_the_same_panel(editor):
    setting(editor, "Comfy.VueNodes.Enabled", True)
    try:
        load(editor, tiny("a robot and a pistol"))
        run(editor)
        frame(editor, "SafreeConditioning")
        shoot(editor, "nodes_2_0")
        assert "pistol" in texts(editor, ".safree-word.safree-flagged")
        assert editor.locator(".safree-word.safree-flagged").first.is_visible()
    finally:
        setting(editor, "Comfy.VueNodes.Enabled", False)


@pytest.mark.parametrize("canvas", ["classic", "nodes_2_0"])
def test_the_gate_shows_what_it_acted_on_as_a_few_pixels(editor, gated, canvas):
    setting(editor, "Comfy.VueNodes.Enabled", canvas == "nodes_2_0")
    of_type(gated, "SafetyGate")["widgets_values"][2] = {"classic": 8, "nodes_2_0": 9}[
        canvas
    ]  # not in the server's cache
    try:
        load(editor, gated)
        run(editor)
        frame(editor, "SafetyGate")
        shoot(editor, f"gate_{canvas}")
        assert texts(editor, ".safree-verdict") == ["Found weapon: 1 of 1 pictures blurred."]
        (picture,) = editor.query_selector_all(".safree-pictures img")
        assert picture.is_visible()
        assert max(picture.evaluate("(image) => [image.naturalWidth, image.naturalHeight]")) <= 7
        assert "weapon" in picture.get_attribute("alt")
        assert "image" not in properties(saved(editor)), "a saved workflow holds no picture"
    finally:
        setting(editor, "Comfy.VueNodes.Enabled", False)


@pytest.mark.fault("HTML and script in a prompt", "shown as text in the panel")
def test_a_prompt_with_html_stays_text(editor):
    load(editor, tiny("a <img src=x onerror=alert(1)> pistol"))
    run(editor)
    assert "pistol" in texts(editor, ".safree-word.safree-flagged")
    assert "img" in texts(editor, ".safree-word")
    assert editor.query_selector(".safree-panel img") is None
    assert editor.alerts == []


def test_a_report_of_another_version_is_named(editor):
    workflow = tiny("a corn and a pistol")
    of_type(workflow, "SafreeConditioning")["properties"]["safree"] = {"version": 0, "verdict": "old"}
    load(editor, workflow)
    assert any("version 0" in text for text in texts(editor, ".safree-message"))
    assert "old" in texts(editor, ".safree-verdict")


WORD = {"text": "pistol", "encoder": "l", "score": 0.9, "threshold": 0.5, "concept": "weapons", "flagged": True}
REPORT = {"version": 1, "verdict": "From a file.", "flagged": 1, "tokens": [WORD], "t_prime": {"share": 1}}
DAMAGED = {
    "text": "pistol",
    "number": 7,
    "list": [],
    "object": {},
    "verdict only": {"version": 1, "verdict": "From a file."},
    "no words": {**REPORT, "tokens": None},
    "bare words": {**REPORT, "tokens": [{"text": "pistol"}, None]},
    "numbers as text": {**REPORT, "tokens": [{**WORD, "score": "high", "threshold": None}]},
    "no schedule": {**REPORT, "t_prime": None},
}


@pytest.mark.fault(
    "a report with missing fields or wrong types in a workflow file", "its verdict, or a line that says so"
)
@pytest.mark.parametrize("report", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_report_becomes_a_line_that_says_so(editor, report):
    workflow = tiny("a corn and a pistol")
    for kind in ("ConceptSubspace", "SafreeConditioning", "SelfValidatingSampler"):
        of_type(workflow, kind)["properties"]["safree"] = report
    load(editor, workflow)
    lines = texts(editor, ".safree-message")
    has_verdict = isinstance(report, dict) and "verdict" in report
    assert len(lines) == 3 - has_verdict  # of a sampler, whose report has no words, the verdict is enough
    assert all(line.endswith("Run the workflow again.") for line in lines)
    assert ("From a file." in texts(editor, ".safree-verdict")) == has_verdict


def test_unknown_fields_of_a_report_are_left_aside(editor):
    workflow = tiny("a corn and a pistol")
    new = {**REPORT, "tokens": [{**WORD, "colour": "red"}], "notes": ["A note."], "later": {"x": 1}}
    of_type(workflow, "SafreeConditioning")["properties"]["safree"] = new
    load(editor, workflow)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    assert "A note." in texts(editor, ".safree-detail")


def test_2000_words_scroll_inside_a_panel_of_limited_height(editor):
    workflow = tiny("a corn and a pistol")
    token = {"text": "word", "encoder": "l", "score": 0.1, "threshold": 0.5, "concept": "weapons", "flagged": False}
    report = {"version": 1, "verdict": "Nothing flagged.", "prompt": "", "flagged": 0, "tokens": [token] * 2000}
    report["t_prime"] = {"share": 0, "steps_of_50": 0}
    of_type(workflow, "SafreeConditioning")["properties"]["safree"] = report
    load(editor, workflow)
    assert len(texts(editor, ".safree-word")) == 2000
    height, inner = editor.evaluate(
        "() => { const box = [...document.querySelectorAll('.safree-words')].find((b) => b.children.length === 2000);"
        " return [box.clientHeight, box.scrollHeight]; }"
    )
    assert height < 400 < inner


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_every_example_loads_with_all_its_nodes(editor, path):
    load(editor, json.loads(path.read_text()))
    missing = editor.evaluate(
        "() => window.app.graph._nodes.filter((n) => !window.LiteGraph.registered_node_types[n.type]"
        " && n.type !== 'MarkdownNote' && n.type !== 'Note').map((n) => n.type)"
    )
    assert missing == []
    assert editor.evaluate("() => window.app.graph._nodes.length") == len(json.loads(path.read_text())["nodes"])
    shoot(editor, f"example_{path.stem}")


def test_a_node_is_found_by_search_and_added(editor):
    editor.evaluate("() => window.app.graph.clear()")
    editor.mouse.dblclick(750, 500)
    editor.keyboard.type("SAFREE Conditioning", delay=20)
    editor.wait_for_timeout(2500)
    editor.keyboard.press("Enter")
    editor.wait_for_timeout(1500)
    assert editor.evaluate("() => window.app.graph._nodes.map((n) => n.type)") == ["SafreeConditioning"]
    parameters = editor.get_by_text("Parameters", exact=True)  # newer editors list a node's beside the graph
    if editor.kind == "newest" and not parameters.count():
        editor.get_by_label("Toggle properties panel").first.click()
        parameters.first.wait_for()
    shoot(editor, "added_by_search")
    assert editor.get_by_text("safree_panel").count() == 0
