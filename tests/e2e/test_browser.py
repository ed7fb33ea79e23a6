"""The pack in ComfyUI's editor, in a real browser: pinned and newest front end. Screenshots go to output/e2e/."""

from __future__ import annotations

import json
import shutil

import pytest
import setup_host
from comfy_server import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: no browser tests")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SHOTS = setup_host.ROOT / "output" / "e2e"
WORKFLOWS = sorted((setup_host.ROOT / "example_workflows").glob("*.json"))
RUN_LIMIT = 300_000  # milliseconds
PROMPT = "a <img src=x onerror=alert(1)> pistol"


@pytest.fixture(scope="module", params=["pinned", "newest"])
def editor(request, tmp_path_factory):
    """A page with the editor loaded; requests to anything but this machine are refused."""
    flags = [] if request.param == "pinned" else ["--front-end-root", str(setup_host.newest_front_end())]
    with Server(tmp_path_factory.mktemp("browser"), *flags) as server, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.alerts = []
        page.on("dialog", lambda dialog: (page.alerts.append(dialog.message), dialog.dismiss()))
        page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
        page.goto(f"http://{server.address}/")
        page.wait_for_function("!!(window.app?.graph && window.LiteGraph?.registered_node_types?.SafreeConditioning)")
        page.kind = request.param
        yield page
        browser.close()


def load(page, workflow: dict) -> None:
    page.evaluate("(workflow) => window.app.loadGraphData(workflow)", workflow)
    page.wait_for_timeout(1000)


def tiny() -> dict:
    """The workflow that runs anywhere, in few steps."""
    workflow = json.loads((setup_host.ROOT / "example_workflows" / "tiny_checkpoint.json").read_text())
    for node in workflow["nodes"]:
        if node["type"] == "SelfValidatingSampler":
            node["widgets_values"][2] = 4  # steps
    return workflow


def run(page) -> None:
    """Queue the graph and wait until the server has nothing left to do."""
    page.evaluate(
        "() => { window.done = ''; for (const e of ['execution_success', 'execution_error'])"
        " window.app.api.addEventListener(e, () => (window.done = e), { once: true }); }"
    )
    page.evaluate("() => window.app.queuePrompt(0)")
    page.wait_for_function("!!window.done", timeout=RUN_LIMIT)
    assert page.evaluate("window.done") == "execution_success"
    page.wait_for_timeout(500)


def shoot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{page.kind}_{name}.png")


def texts(page, selector: str) -> list[str]:
    return page.eval_on_selector_all(selector, "found => found.map((element) => element.textContent)")


def test_the_heat_map_marks_the_flagged_word_and_survives_a_reload_of_the_workflow(editor):
    load(editor, tiny())
    assert any("Run the workflow" in text for text in texts(editor, ".safree-message"))
    run(editor)
    shoot(editor, "heat_map")
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]
    label = editor.get_attribute(".safree-word.safree-flagged", "aria-label")
    assert "flagged" in label
    assert "weapons" in label
    assert any(text.startswith("Filtered for 4 of 4 steps") for text in texts(editor, ".safree-verdict"))
    assert "bow and arrow" in texts(editor, ".safree-chip")
    saved = editor.evaluate("() => window.app.graph.serialize()")
    editor.evaluate("() => window.app.graph.clear()")
    assert texts(editor, ".safree-word") == []
    load(editor, saved)
    assert texts(editor, ".safree-word.safree-flagged") == ["pistol"]


@pytest.mark.fault("HTML and script in a prompt", "shown as text in the panel")
def test_a_prompt_with_html_stays_text(editor):
    workflow = tiny()
    next(n for n in workflow["nodes"] if n["type"] == "SafreeConditioning")["widgets_values"][0] = PROMPT
    load(editor, workflow)
    run(editor)
    assert "pistol" in texts(editor, ".safree-word.safree-flagged")
    assert "img" in texts(editor, ".safree-word")
    assert editor.query_selector(".safree-panel img") is None
    assert editor.alerts == []


def test_a_report_of_another_version_is_named(editor):
    workflow = tiny()
    node = next(n for n in workflow["nodes"] if n["type"] == "SafreeConditioning")
    node["properties"]["safree"] = {"version": 0, "verdict": "old"}
    load(editor, workflow)
    assert any("version 0" in text for text in texts(editor, ".safree-message"))


def test_2000_words_scroll_inside_a_panel_of_limited_height(editor):
    workflow = tiny()
    token = {"text": "word", "encoder": "l", "score": 0.1, "threshold": 0.5, "concept": "weapons", "flagged": False}
    report = {"version": 1, "verdict": "Nothing flagged.", "prompt": "", "flagged": 0, "tokens": [token] * 2000}
    node = next(n for n in workflow["nodes"] if n["type"] == "SafreeConditioning")
    node["properties"]["safree"] = {**report, "t_prime": {"share": 0, "steps_of_50": 0}}
    load(editor, workflow)
    assert len(texts(editor, ".safree-word")) == 2000
    height, inner = editor.evaluate(
        "() => { const box = [...document.querySelectorAll('.safree-words')].find((b) => b.children.length === 2000);"
        " return [box.clientHeight, box.scrollHeight]; }"
    )
    assert height < 400 < inner


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
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
    editor.wait_for_timeout(800)
    editor.keyboard.press("Enter")
    editor.wait_for_timeout(500)
    assert editor.evaluate("() => window.app.graph._nodes.map((n) => n.type)") == ["SafreeConditioning"]
    shoot(editor, "added_by_search")
