"""The example of a proxy, started as a provider starts it, with the real ComfyUI behind it."""

from __future__ import annotations

import asyncio
import copy
import gzip
import http.client
import json
import socket
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

from dev import setup_host
from dev.browser import REASON
from dev.editor import CHROMIUM, open_editor
from dev.graphs import Run, guarded, unguarded
from dev.server import Server, free_port
from headless.client import Client, PromptRejected

RUN = Run("a cat and a pistol", steps=2)
START_LIMIT = 60.0  # seconds
LIMIT = 300.0  # seconds that anything may take on a machine with other work


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """ComfyUI, which nobody is meant to reach but the proxy."""
    with Server(tmp_path_factory.mktemp("behind"), "--disable-metadata") as server:
        yield server


def start(upstream: str, *options: str) -> tuple[subprocess.Popen, str]:
    """(process, address) of a proxy that listens."""
    address = f"127.0.0.1:{free_port()}"
    command = [setup_host.python(), "-m", "headless.proxy", "--upstream", upstream, "--listen", address]
    process = subprocess.Popen([*map(str, command), "--concept-set", "weapons", *options], cwd=setup_host.ROOT)
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        try:
            socket.create_connection(address.split(":"), timeout=1).close()
            return process, address
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the proxy did not listen")


@pytest.fixture(scope="module")
def proxy(behind):
    """The address of a proxy in front of `behind`."""
    process, address = start(behind.address)
    yield address
    process.terminate()
    process.wait(10)


def ask(address: str, method: str, path: str, body=None, **headers: str) -> tuple[int, dict | bytes]:
    """(status, JSON or bytes) of one request, its path as it stands."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    connection = http.client.HTTPConnection(address, timeout=LIMIT)
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = "json" in (answer.getheader("Content-Type") or "")
    return answer.status, json.loads(content) if is_json else content


async def watch(address: str, graph: dict) -> list[tuple[str, dict]]:
    """What a websocket through `address` says of a prompt, to its end."""
    events = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{address}/ws?clientId=watch") as socket:
        await session.post(f"http://{address}/prompt", json={"prompt": graph, "client_id": "watch"})
        while not events or events[-1][0] not in ("execution_success", "execution_error"):
            message = await socket.receive(timeout=LIMIT)
            if message.type is aiohttp.WSMsgType.TEXT:  # the others are previews
                event = message.json()
                events.append((event["type"], event["data"]))
    return events


def waiting(behind) -> int:
    """Prompts that came through to ComfyUI and are not done."""
    queue = ask(behind.address, "GET", "/queue")[1]
    return len(queue["queue_running"]) + len(queue["queue_pending"])


def test_a_guarded_workflow_is_queued_and_its_events_and_pictures_come_back(proxy, behind):
    events = asyncio.run(watch(proxy, guarded(RUN)))
    assert "sampler" in [data["node"] for kind, data in events if kind == "executing"]
    client = Client(proxy)
    (picture,) = client.images(client.run(guarded(RUN)))
    assert picture.startswith(b"\x89PNG")
    direct = behind.client()
    assert direct.images(direct.run(guarded(RUN))) == [picture]


def test_an_unguarded_workflow_is_refused_at_its_node(proxy, behind):
    with pytest.raises(PromptRejected, match="without the guard") as refusal:
        Client(proxy).run(unguarded(RUN))
    assert refusal.value.node_errors.keys() == {"sampler"}
    status, answer = ask(proxy, "POST", "/prompt", {"prompt": unguarded(RUN)})
    assert (status, answer["error"]["type"]) == (400, "safree_unguarded")
    assert answer["node_errors"]["sampler"]["class_type"] == "KSampler"
    assert waiting(behind) == 0


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/prompt",
            "/api/prompt",
            "/%70rompt",
            "/api/%70rompt",
            "/%2570rompt",
            "//prompt",
            "/prompt/",
            "/x/../prompt",
        ),
        *("/api//prompt", "/api/./prompt", "/PROMPT", "/prompt?x=1", "/api%2Fprompt", "\\prompt"),
    ],
)
def test_no_spelling_of_the_path_gets_an_unguarded_workflow_in(proxy, behind, path):
    for method in ("POST", "PUT", "PATCH"):
        status, _ = ask(proxy, method, path, {"prompt": unguarded(RUN)})
        assert status in (400, 404, 405)
    assert waiting(behind) == 0
    assert not ask(behind.address, "GET", "/history")[1].keys() & {"sneaked"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "safree_no_workflow"),
        (b"[]", "safree_no_workflow"),
        (b"{", "safree_no_workflow"),
        (b'{"prompt": []}', "safree_no_workflow"),
        (b'{"prompt": {"1": 1}}', "safree_no_workflow"),
        (b"[" * 100_000, "safree_no_workflow"),
        (b'{"prompt": {}, "prompt": {}}', "safree_no_workflow"),
        (b" " * (9 * 2**20), "safree_too_large"),
        (b"\xff\xfe{\x00}\x00", "safree_no_workflow"),
    ],
    ids=["empty", "list", "cut off", "no object", "no node", "deep", "doubled key", "too large", "UTF-16"],
)
def test_what_is_no_workflow_is_refused_with_a_reason(proxy, body, kind):
    status, answer = ask(proxy, "POST", "/api/prompt", body)
    assert status in (400, 413)
    assert answer["error"]["type"] == kind


def test_what_runs_is_what_was_checked(proxy, behind):
    """Twice the same key, one guarded and one not: neither reader may take the other one."""
    good, bad = json.dumps(guarded(RUN)), json.dumps(unguarded(RUN))
    for first, last in ((good, bad), (bad, good)):
        status, _ = ask(proxy, "POST", "/prompt", f'{{"prompt": {first}, "prompt": {last}}}'.encode())
        assert status == 400
    packed = gzip.compress(json.dumps({"prompt": unguarded(RUN)}).encode())
    assert ask(proxy, "POST", "/prompt", packed, **{"Content-Encoding": "gzip"})[0] == 400
    assert waiting(behind) == 0


def test_nobody_gets_to_the_front_of_the_queue(proxy, behind):
    status, answer = ask(proxy, "POST", "/prompt", {"prompt": guarded(RUN), "front": True, "number": -1e9})
    assert status == 200
    assert answer["number"] >= 0


def test_everything_else_passes(proxy, behind):
    for path in ("/system_stats", "/api/object_info/KSampler", "/queue", "/extensions", "/"):
        assert ask(proxy, "GET", path)[0] == ask(behind.address, "GET", path)[0] == 200
    boundary, content = "xyz", (setup_host.ROOT / "docs/images/graph.jpg").read_bytes()
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="through_proxy.jpg"\r\n\r\n'.encode()
    )
    body = head + content + f"\r\n--{boundary}--\r\n".encode()
    status, answer = ask(
        proxy, "POST", "/upload/image", body, **{"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    assert status == 200
    assert ask(proxy, "GET", f"/view?type=input&filename={answer['name']}")[1] == content
    assert ask(proxy, "POST", "/userdata/workflows%2Fthrough.json", {"a": 1})[0] == 200
    assert ask(proxy, "GET", "/userdata/workflows%2Fthrough.json")[1] == {"a": 1}
    assert ask(proxy, "POST", "/interrupt", {})[0] == 200
    assert ask(proxy, "GET", "/no/such/page")[0] == 404


@pytest.mark.parametrize(
    "path", ["/customnode/install/git_url", "/api/manager/reboot", "/v2/manager/queue/task", "/%63ustomnode/x"]
)
def test_routes_that_bring_code_are_closed(proxy, path):
    for method in ("GET", "POST"):
        status, answer = ask(proxy, method, path, {})
        assert (status, answer["error"]["type"]) == (403, "safree_route_closed")


def test_pages_of_other_sites_may_not_send(proxy):
    assert ask(proxy, "POST", "/prompt", {"prompt": guarded(RUN)}, Origin="http://example.com")[0] == 403
    assert ask(proxy, "POST", "/interrupt", {}, Origin=f"http://{proxy}")[0] == 200


def test_only_core_routes_closes_what_packs_add(behind):
    process, address = start(behind.address, "--only-core-routes")
    try:
        assert ask(address, "POST", "/somebodys/queue", {})[0] == 403
        assert ask(address, "POST", "/interrupt", {})[0] == 200
        assert ask(address, "POST", "/prompt", {"prompt": guarded(RUN)})[0] == 200
    finally:
        process.terminate()
        process.wait(10)


def test_a_comfyui_that_is_away_is_said_so():
    process, address = start(f"127.0.0.1:{free_port()}")
    try:
        for method, path in (("GET", "/queue"), ("POST", "/prompt")):
            status, answer = ask(address, method, path, {"prompt": guarded(RUN)} if method == "POST" else None)
            assert (status, answer["error"]["type"]) == (502, "safree_no_server")
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_an_editor_in_a_browser_works_through_it(proxy):
    """Load, run and see a guarded workflow; then the editor shows why an unguarded one is refused."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
    workflow = json.loads(Path(setup_host.ROOT, "example_workflows", "tiny_checkpoint.json").read_text("utf-8"))
    of = {node["type"]: node for node in workflow["nodes"]}
    of["SelfValidatingSampler"]["widgets_values"][2] = 2  # steps
    with open_editor(proxy, "SafreeConditioning") as page:
        page.evaluate("(workflow) => window.app.loadGraphData(workflow)", copy.deepcopy(workflow))
        page.evaluate(
            "() => { window.done = ''; for (const e of ['execution_success', 'execution_error'])"
            " window.app.api.addEventListener(e, () => (window.done = e)); }"
        )
        page.evaluate("() => void window.app.queuePrompt(0)")
        page.wait_for_function("window.done !== ''", timeout=1000 * LIMIT)
        assert page.evaluate("window.done") == "execution_success"
        page.evaluate(
            "() => { const { app } = window, find = (t) => app.graph._nodes.find((n) => n.type === t);"
            " const plain = window.LiteGraph.createNode('CLIPTextEncode'); app.graph.add(plain);"
            " find('CheckpointLoaderSimple').connect(1, plain, 'clip');"
            " plain.connect(0, find('SelfValidatingSampler'), 'positive'); }"
        )
        with page.expect_response(
            lambda reply: reply.url.endswith("/prompt") and reply.request.method == "POST"
        ) as reply:
            page.evaluate("() => void window.app.queuePrompt(0)")
        assert reply.value.status == 400
        page.wait_for_function("document.body.innerText.includes('not guarded')", timeout=60_000)
        assert page.errors == []
