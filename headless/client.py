"""Drive a ComfyUI server over its HTTP API and its event socket, with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import socket
import struct
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator

SILENCE = 300.0  # seconds without any event after which a running prompt counts as lost
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA  # RFC 6455 opcodes


class PromptRejected(RuntimeError):
    """The server refused the graph before running it; `node_errors` maps node ids to their faults."""

    def __init__(self, answer: dict):
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
    """Someone interrupted the prompt on the server."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One finished prompt: UI outputs by node id, the nodes that ran in order, and those served from the cache.

    refused: why output nodes were left out; the server runs a graph as long as one of its output nodes is valid
    """

    prompt_id: str
    outputs: dict[str, dict]
    executed: list[str]
    cached: set[str]
    refused: PromptRejected | None = None


class Client:
    """`address` is host:port. One event socket for the client's life; close it, or use the client with `with`.

    silence: seconds without any event after which the server counts as lost
    """

    def __init__(self, address: str, silence: float = SILENCE):
        self.address, self.silence = address, silence
        self.id = uuid.uuid4().hex
        self.events = EventSocket(address, f"/ws?clientId={self.id}", silence)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.events.close()

    def get(self, path: str, **query: str) -> bytes:
        return self._request(path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def post(self, path: str, body: dict) -> dict:
        """The server's JSON answer, {} where it gives none."""
        return json.loads(self._request(path, json.dumps(body).encode()) or b"{}")

    def run(
        self,
        graph: dict,
        progress: Callable[[int, int], None] = lambda step, steps: None,
        enter: Callable[[str], None] = lambda node: None,
    ) -> Result:
        """Queue an API-format graph and wait for its end.

        `enter(node id)` is called as each node begins, `progress(step, steps)` while one samples. Raises
        PromptRejected, PromptFailed, PromptInterrupted, or OSError when the server goes away or stays silent.
        """
        try:
            answer = self.post("/prompt", {"prompt": graph, "client_id": self.id})
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.load(error)) from error
        prompt_id, executed, cached = answer["prompt_id"], [], set()
        for kind, data in self.events:
            if data.get("prompt_id") != prompt_id:
                continue
            if kind == "progress":
                progress(data["value"], data["max"])
            elif kind == "execution_cached":
                cached.update(data["nodes"])
            elif kind == "execution_error":
                raise PromptFailed(data)
            elif kind == "execution_interrupted":
                raise PromptInterrupted("the prompt was interrupted on the server")
            elif kind == "executing" and data["node"] is None:  # the last event: the history is complete
                break
            elif kind == "executing":
                executed.append(data["node"])
                enter(data["node"])
        history = json.loads(self.get(f"/history/{prompt_id}"))[prompt_id]
        refused = PromptRejected(answer) if answer.get("node_errors") else None
        return Result(prompt_id, history["outputs"], executed, cached, refused)

    def images(self, result: Result) -> list[bytes]:
        """The PNG files that the graph's output nodes wrote, in the order of node ids."""
        nodes = [result.outputs[key] for key in sorted(result.outputs)]
        return [self.get("/view", **picture) for node in nodes for picture in node.get("images", [])]

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", body)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=self.silence) as answer:  # noqa: S310  http, see above
            return answer.read()


def address(server: str) -> str:
    """host:port of what a user gives as a server; the port is ComfyUI's own where none is given."""
    host, _, port = server.removeprefix("http://").rstrip("/").partition(":")
    port = port or "8188"
    if not host or not port.isdigit():
        raise ValueError(
            f"{server!r} is no server address. Write host:port, for example 127.0.0.1:8188; https is not supported."
        )
    return f"{host}:{port}"


class EventSocket:
    """The reading half of a WebSocket: iterating yields ComfyUI's events as (type, data)."""

    def __init__(self, address: str, path: str, silence: float = SILENCE):
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=silence)
        self._socket.sendall(
            (
                f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        self._stream = self._socket.makefile("rb")
        status = self._stream.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"{address} did not open an event socket: {status.decode(errors='replace').strip()}")
        while self._stream.readline().strip():  # the rest of the answer's header
            pass

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        while True:
            opcode, payload = self._frame()
            if opcode == TEXT:
                event = json.loads(payload)
                yield event["type"], event["data"]
            elif opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                raise ConnectionError("the server closed the event socket")
            # binary frames are step previews

    def _frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame; aiohttp never splits a message over several."""
        first, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return first & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ConnectionError("the server went away")
        return data

    def _send(self, opcode: int, payload: bytes) -> None:
        """A client masks its frames; the zero mask leaves the payload as it is. Control frames stay under 126 bytes."""
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._send(CLOSE, b"")
        self._stream.close()
        self._socket.close()
