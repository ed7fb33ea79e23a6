"""Drive a ComfyUI server over its HTTP API, with the standard library alone."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable

SILENCE = 60.0  # seconds without an answer after which the server counts as lost
POLL = (0.05, 1.0)  # seconds between two looks at the queue: at first, and at most


class PromptRejected(RuntimeError):
    """The server refused the graph before running it; `node_errors` maps node ids to their faults.

    kind: ComfyUI's name for why, or that of a gate ('safree_unguarded', ...)
    """

    def __init__(self, answer: dict):
        self.kind: str = (answer.get("error") or {}).get("type", "")
        self.node_errors: dict[str, dict] = answer.get("node_errors") or {}
        faults = [
            f"{node['class_type']} (node {key}): {fault['message']}: {fault['details']}"
            for key, node in self.node_errors.items()
            for fault in node["errors"]
        ]
        super().__init__("; ".join(faults) or answer["error"]["message"])


class PromptFailed(RuntimeError):
    """A node raised while the graph ran."""

    def __init__(self, event: dict):
        self.node_id: str = event["node_id"]
        self.node_type: str = event["node_type"]
        self.text: str = event["exception_message"].strip()
        super().__init__(f"{self.node_type} (node {self.node_id}): {self.text}")


class PromptInterrupted(RuntimeError):
    """Someone interrupted the prompt on the server, or took it out of the queue."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One finished prompt: UI outputs by node id, and the nodes whose results came from the server's cache.

    refused: why output nodes were left out; the server runs a graph as long as one of its output nodes is valid
    """

    prompt_id: str
    outputs: dict[str, dict]
    cached: set[str]
    refused: PromptRejected | None = None


class Client:
    """`address` is host:port; `silence` the seconds without an answer after which the server counts as lost.

    key: sent with every request, for a server with a policy file
    """

    def __init__(self, address: str, silence: float = SILENCE, key: str = ""):
        self.address, self.silence, self.key = address, silence, key
        self.id = uuid.uuid4().hex  # without one, the server's history lacks the outputs that came from its cache

    def get(self, path: str, **query: str) -> bytes:
        return self._request(path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def get_json(self, path: str) -> dict:
        return json.loads(self.get(path))

    def post(self, path: str, body: dict) -> dict:
        """The server's JSON answer, {} where it gives none."""
        return json.loads(self._request(path, json.dumps(body).encode()) or b"{}")

    def run(self, graph: dict, waiting: Callable[[int], None] = lambda ahead: None) -> Result:
        """Queue an API-format graph and wait for its end.

        `waiting(number of prompts before it)` is called again and again; 0 means that it runs. Raises PromptRejected,
        PromptFailed, PromptInterrupted, or OSError when the server goes away or stays silent.
        """
        prompt_id, refused = self.queue(graph)
        pause = POLL[0]
        while (ahead := self.ahead(prompt_id)) is not None:
            waiting(ahead)
            time.sleep(pause)
            pause = min(1.2 * pause, POLL[1])
        return self.result(prompt_id, refused)

    def queue(self, graph: dict) -> tuple[str, PromptRejected | None]:
        """(prompt id, why outputs were left out if any were) of a graph that waits from now on; or PromptRejected."""
        try:
            answer = self.post("/prompt", {"prompt": graph, "client_id": self.id})
        except urllib.error.HTTPError as error:
            raise _rejection(error) from error
        return answer["prompt_id"], PromptRejected(answer) if answer.get("node_errors") else None

    def ahead(self, prompt_id: str) -> int | None:
        """How many prompts run or wait before this one: 0 while it runs, None when it is no longer in the queue."""
        queue = self.get_json("/queue")
        running = [entry[1] for entry in queue["queue_running"]]
        if prompt_id in running:
            return 0
        pending = [entry[1] for entry in sorted(queue["queue_pending"])]
        return len(running) + pending.index(prompt_id) if prompt_id in pending else None

    def result(self, prompt_id: str, refused: PromptRejected | None = None) -> Result:
        """How a prompt that has left the queue ended, from the server's history; raises as `run`."""
        entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
        if entry is None:
            raise PromptInterrupted("the prompt was taken out of the server's queue")
        events = dict(entry["status"]["messages"])  # ComfyUI's own events, by kind
        if failed := events.get("execution_error"):
            raise PromptFailed(failed)
        if "execution_interrupted" in events:
            raise PromptInterrupted("the prompt was interrupted on the server")
        cached = set(events.get("execution_cached", {}).get("nodes", ()))
        return Result(prompt_id, entry["outputs"], cached, refused)

    def images(self, result: Result) -> list[bytes]:
        """The PNG files that the graph's output nodes wrote, in the order of node ids."""
        nodes = [result.outputs[key] for key in sorted(result.outputs)]
        return [self.get("/view", **picture) for node in nodes for picture in node.get("images", [])]

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", body)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("X-API-Key", self.key)
        with urllib.request.urlopen(request, timeout=self.silence) as answer:  # noqa: S310  http, see above
            return answer.read()


def _rejection(error: urllib.error.HTTPError) -> Exception:
    """What ComfyUI or a gate says in an answer with an error status; the error itself where it says nothing."""
    try:
        return PromptRejected(json.load(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return error


def address(server: str) -> str:
    """host:port of what a user gives as a server; the port is ComfyUI's own where none is given."""
    host, _, port = server.removeprefix("http://").rstrip("/").partition(":")
    port = port or "8188"
    if not host or not port.isdigit():
        raise ValueError(
            f"{server!r} is no server address. Write host:port, for example 127.0.0.1:8188; https is not supported."
        )
    return f"{host}:{port}"
