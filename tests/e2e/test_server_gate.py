"""The gate in the real ComfyUI, started as a provider starts it: with a policy file."""

from __future__ import annotations

import copy
import gzip
import hashlib
import http.client
import json
import time
from pathlib import Path

import pytest

from dev import setup_host
from dev.browser import REASON
from dev.editor import CHROMIUM, open_editor
from dev.graphs import Run, guarded, node, unguarded
from dev.server import Server
from headless.client import Client, PromptFailed, PromptRejected

RUN = Run("a cat and a pistol", steps=2)
LIMIT = 300.0  # seconds that anything may take on a machine with other work
KEY = "a key of the owner's own"
POLICY = {
    "policies": {
        "public": {"trust": "strangers", "concept_sets": ["weapons"], "largest": {"steps": 50}, "nodes": 200},
        "few": {"trust": "strangers", "concept_sets": ["weapons"], "waiting": 2},
        "files": {
            "trust": "strangers",
            "concept_sets": ["weapons"],
            "models": ["somebody_elses.safetensors"],
            "embeddings": [],
        },
        "owner": {"trust": "all"},
    },
    "who": [
        {"key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "policy": "owner"},
        {"header": "X-Group", "is": "few", "from": ["127.0.0.1"], "policy": "few"},
        {"header": "X-Group", "is": "files", "from": ["127.0.0.0/8"], "policy": "files"},
        {"header": "X-Group", "is": "elsewhere", "from": ["10.0.0.0/8"], "policy": "owner"},
    ],
    "everyone_else": "public",
}
# A node pack that queues what it is sent by ways of its own, and tells what it finds in the server.
PACK = """
import json
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS = {}
server = PromptServer.instance

def queue(graph):
    server.prompt_queue.put((0, "sneaked", graph, {}, ["save"], {}))

@server.routes.post("/pack/queue")
async def own_route(request):
    queue(await request.json())
    return web.json_response({})

@server.routes.post("/pack/later")
async def own_task(request):
    graph = await request.json()
    def later():
        try:
            queue(graph)
            server.pack_said = "queued"
        except Exception as error:
            server.pack_said = str(error)
    import threading
    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    return web.json_response({"said": server.pack_said})

@server.routes.get("/pack/ws")
async def own_socket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        try:
            queue(json.loads(message.data))
            await socket.send_str("queued")
        except Exception as error:
            await socket.send_str(str(error))
    return socket

@server.routes.get("/pack/server")
async def found(request):
    names = [getattr(one, "__name__", "") for one in server.app.middlewares]
    return web.json_response({"put": "put" in vars(server.prompt_queue), "middlewares": names})
"""


def place(folder: Path, policy: dict | str | None) -> Server:
    """A server with the pack above and, where there is one, a policy file."""
    packs = folder / "custom_nodes" / "queueing"
    packs.mkdir(parents=True)
    (packs / "__init__.py").write_text(PACK, "utf-8")
    paths = folder / "paths.yaml"
    paths.write_text(f"own:\n  base_path: {folder}\n  custom_nodes: custom_nodes\n", "utf-8")
    variables = {}
    if policy is not None:
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=1)
        (folder / "policy.json").write_text(text, "utf-8")
        variables["SAFREE_POLICY"] = str(folder / "policy.json")
    flags = ("--disable-metadata", "--extra-model-paths-config", str(paths))
    return Server(folder / "server", *flags, variables=variables)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with place(tmp_path_factory.mktemp("gate"), POLICY) as running:
        yield running


def ask(server: Server, method: str, path: str, body=None, **headers: str) -> tuple[int, dict | bytes]:
    """(status, JSON or bytes) of one request, its path as it stands."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    connection = http.client.HTTPConnection(server.address, timeout=LIMIT)
    connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = "json" in (answer.getheader("Content-Type") or "")
    return answer.status, json.loads(content) if is_json else content


def queued(server: Server) -> int:
    """Prompts that are in the queue, running or done."""
    queue, history = ask(server, "GET", "/queue")[1], ask(server, "GET", "/history")[1]
    return len(queue["queue_running"]) + len(queue["queue_pending"]) + len(history)


def test_a_guarded_workflow_runs_as_without_a_gate(server, tmp_path):
    client = server.client()
    (picture,) = client.images(client.run(guarded(RUN)))
    assert picture.startswith(b"\x89PNG")
    with place(tmp_path / "plain", None) as other:
        client = other.client()
        assert client.images(client.run(guarded(RUN))) == [picture]


def test_an_unguarded_workflow_is_refused_at_its_node(server):
    before = queued(server)
    with pytest.raises(PromptRejected, match="without the guard") as refusal:
        server.client().run(unguarded(RUN))
    assert refusal.value.node_errors.keys() == {"sampler"}
    for path in ("/prompt", "/api/prompt"):
        status, answer = ask(server, "POST", path, {"prompt": unguarded(RUN)})
        assert (status, answer["error"]["type"]) == (400, "safree_unguarded")
        assert answer["node_errors"]["sampler"]["class_type"] == "KSampler"
    assert queued(server) == before


@pytest.mark.fault(
    "prompts queued past POST /prompt: another route, a thread, a websocket of a node pack",
    "checked at the queue, refused with the reason",
)
@pytest.mark.parametrize("way", ["/pack/queue", "/api/pack/queue", "/pack/later", "/pack/ws"])
def test_no_other_way_leads_into_the_queue(server, way):
    before = queued(server)
    if way.endswith("ws"):
        said = _by_websocket(server, way, unguarded(RUN))
    else:
        status, answer = ask(server, "POST", way, unguarded(RUN))
        assert status == (200 if way.endswith("later") else 400)
        said = json.dumps(answer)
    assert "without the guard" in said
    assert queued(server) == before


def _by_websocket(server: Server, path: str, graph: dict) -> str:
    import asyncio

    import aiohttp

    async def talk() -> str:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{server.address}{path}") as socket:
            await socket.send_str(json.dumps(graph))
            return (await socket.receive(timeout=LIMIT)).data

    return asyncio.run(talk())


def test_a_guarded_workflow_of_another_route_is_queued(server):
    before = queued(server)
    assert ask(server, "POST", "/pack/queue", guarded(RUN))[0] == 200
    assert queued(server) > before


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 400, "safree_no_workflow"),
        (b"[]", 400, "safree_no_workflow"),
        (b'{"prompt": {"1": 1}}', 400, "safree_no_workflow"),
        (b"[" * 100_000, 400, "safree_no_workflow"),
        (b'{"prompt": {}, "prompt": {}}', 400, "safree_no_workflow"),
        (b" " * (9 * 2**20), 413, "safree_too_large"),
        (b'{"prompt": {"1": {"class_type": "X", "inputs": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}}}", 400, None),
        (json.dumps({"prompt": {"1": {"class_type": "x" * 300_000, "inputs": {}}}}).encode(), 400, None),
        (json.dumps({"prompt": {str(n): node("Note") for n in range(300)}}).encode(), 400, None),
    ],
    ids=["empty", "list", "no node", "deep", "doubled key", "too large", "deep value", "long name", "many nodes"],
)
def test_what_is_no_workflow_is_refused_with_a_short_reason(server, body, status, kind):
    found, answer = ask(server, "POST", "/prompt", body)
    assert (found, answer["error"]["type"]) == (status, kind or "safree_no_workflow")
    assert len(json.dumps(answer)) < 3000


def test_a_packed_body_is_read_once_and_checked(server):
    before = queued(server)
    packed = gzip.compress(json.dumps({"prompt": unguarded(RUN)}).encode())
    assert ask(server, "POST", "/prompt", packed, Content_Encoding="gzip")[0] == 400
    bomb = gzip.compress(b" " * (64 * 2**20))
    assert ask(server, "POST", "/prompt", bomb, Content_Encoding="gzip")[0] == 413
    assert queued(server) == before


@pytest.mark.parametrize("name", ["cfg", "text"])
def test_inputs_that_a_node_does_not_have_are_not_believed(server, name):
    """A value there is left out by ComfyUI; a connection is passed on to the node's function."""
    graph = copy.deepcopy(guarded(RUN))
    graph["number"] = node("PrimitiveFloat", value=0.0) | {"inputs": {"value": 0.0, name: 7.5}}
    graph["sampler"]["inputs"]["cfg"] = ["number", 0]
    assert ask(server, "POST", "/prompt", {"prompt": graph})[0] == 200
    graph["number"]["inputs"][name] = ["number", 0]
    status, answer = ask(server, "POST", "/prompt", {"prompt": graph})
    assert (status, list(answer["node_errors"])) == (400, ["number"])
    assert "no such input" in answer["error"]["details"]


def test_sizes_are_limited_by_the_name_of_the_input(server):
    graph = copy.deepcopy(guarded(RUN))
    graph["number"] = node("PrimitiveInt", value=2)
    for steps in (51, ["number", 0]):
        graph["sampler"]["inputs"]["steps"] = steps
        assert ask(server, "POST", "/prompt", {"prompt": graph})[0] == 400


def test_models_and_embeddings_are_those_that_the_policy_names(server):
    status, answer = ask(server, "POST", "/prompt", {"prompt": guarded(RUN)}, X_Group="files")
    assert (status, list(answer["node_errors"])) == (400, ["loader"])
    graph = copy.deepcopy(guarded(RUN))
    graph["prompt"]["inputs"]["text"] = "a cat, embedding:bad"
    answer = ask(server, "POST", "/prompt", {"prompt": graph}, X_Group="files")[1]
    assert "embedding 'bad'" in answer["error"]["details"]


def test_nobody_gets_to_the_front_of_the_queue(server):
    """The number that counts is that of the queue, whatever ComfyUI answers."""
    ask(server, "POST", "/prompt", {"prompt": unguarded(Run("a cat", steps=300))}, X_API_Key=KEY)
    ids = []
    for seed in (1, 2):
        graph = guarded(Run("a cat", seed=seed, steps=2))
        body = {"prompt": graph} | ({"front": True, "number": -1e9} if seed == 2 else {})
        ids.append(ask(server, "POST", "/prompt", body)[1]["prompt_id"])
    pending = sorted(ask(server, "GET", "/queue")[1]["queue_pending"])
    numbers = {entry[1]: entry[0] for entry in pending}
    assert numbers[ids[0]] <= numbers[ids[1]]
    ask(server, "POST", "/queue", {"clear": True})
    ask(server, "POST", "/interrupt", {})


def test_everybody_has_a_share_of_the_queue(server):
    ask(server, "POST", "/prompt", {"prompt": unguarded(Run("a dog", steps=300))}, X_API_Key=KEY)
    codes = [
        ask(server, "POST", "/prompt", {"prompt": guarded(Run("a cat", seed=seed))}, X_Group="few")[0]
        for seed in range(3)
    ]
    assert codes == [200, 200, 429]
    ask(server, "POST", "/queue", {"clear": True})
    ask(server, "POST", "/interrupt", {})


def test_who_asks_decides(server):
    prompt = {"prompt": unguarded(RUN)}
    assert ask(server, "POST", "/prompt", prompt, Authorization=f"Bearer {KEY}")[0] == 200
    assert ask(server, "POST", "/prompt", prompt, X_API_Key=KEY)[0] == 200
    assert ask(server, "POST", "/prompt", prompt, X_Group="elsewhere")[0] == 400  # no front of that address
    for wrong in (KEY + "x", "x"):
        status, answer = ask(server, "POST", "/prompt", {"prompt": guarded(RUN)}, X_API_Key=wrong)
        assert status == 403
        assert answer["error"] == {"type": "safree_forbidden", "message": "Forbidden.", "details": "", "extra_info": {}}


def test_a_negative_of_strangers_is_cleaned_whatever_the_sampler_says(server):
    """With a scale of 0 the negative is what is drawn: in its own words, or without the flagged ones."""
    graph = copy.deepcopy(guarded(Run("a cat", cfg=0.0, steps=4)))
    graph["negative"] = copy.deepcopy(graph["prompt"])
    graph["negative"]["inputs"]["text"] = "a wolf and a pistol"
    graph["sampler"]["inputs"]["negatives"] = "subtracting"
    name = ask(server, "POST", "/prompt", {"prompt": graph})[1]["prompt_id"]
    end = time.monotonic() + LIMIT
    while name not in (history := ask(server, "GET", f"/history/{name}")[1]) and time.monotonic() < end:
        time.sleep(0.2)
    assert history[name]["prompt"][2]["sampler"]["inputs"]["negatives"] == "cleaned"
    assert history[name]["status"]["status_str"] == "success"


def test_a_strangers_prompt_in_a_language_that_nobody_checks_is_not_drawn(server):
    graph = guarded(Run("ภาพแมวนั่งอยู่บนเรือ", steps=2))
    with pytest.raises(PromptFailed, match="Thai, which was not checked"):
        server.client().run(graph)
    Client(server.address, key=KEY).run(graph)  # the owner's is, and the report says so


def test_everything_else_passes(server):
    for path in ("/system_stats", "/api/object_info/KSampler", "/queue", "/extensions", "/"):
        assert ask(server, "GET", path)[0] == 200
    assert ask(server, "POST", "/userdata/workflows%2Fthrough.json", {"a": 1})[0] == 200
    assert ask(server, "GET", "/userdata/workflows%2Fthrough.json")[1] == {"a": 1}
    assert ask(server, "GET", "/no/such/page")[0] == 404


@pytest.mark.fault("a policy file that is damaged", "the server starts, refuses every prompt, names line and field")
def test_a_damaged_policy_closes_the_queue(tmp_path):
    text = json.dumps(POLICY | {"everyone_else": "nobody"}, indent=1)
    with place(tmp_path, text) as server:
        for headers in ({}, {"X_API_Key": KEY}):
            status, answer = ask(server, "POST", "/prompt", {"prompt": guarded(RUN)}, **headers)
            assert status == 503
            assert "everyone_else is 'nobody'" in answer["error"]["message"]
            assert f"line {text[: text.index('everyone_else')].count(chr(10)) + 1}" in answer["error"]["message"]
        assert ask(server, "POST", "/pack/queue", guarded(RUN))[0] == 503
        assert "everyone_else" in server.log.read_text(errors="replace")


def test_without_a_policy_nothing_of_comfyui_is_touched(tmp_path):
    with place(tmp_path / "off", None) as off, place(tmp_path / "on", POLICY) as on:
        found = [ask(server, "GET", "/pack/server")[1] for server in (off, on)]
    assert found[0]["put"] is False
    assert found[1]["put"] is True
    assert found[1]["middlewares"] == [*found[0]["middlewares"], "safree_gate"]


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_an_editor_in_a_browser_shows_why_a_workflow_is_refused(server):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser tests")
    workflow = json.loads(Path(setup_host.ROOT, "example_workflows", "tiny_checkpoint.json").read_text("utf-8"))
    with open_editor(server.address, "SafreeConditioning") as page:
        page.evaluate("(workflow) => window.app.loadGraphData(workflow)", copy.deepcopy(workflow))
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
