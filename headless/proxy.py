"""A proxy in front of ComfyUI that queues guarded workflows alone: an example for providers, to start or to copy from.

    python -m headless.proxy --upstream 127.0.0.1:8188 --listen 0.0.0.0:8080 --concept-set nudity

It needs aiohttp, which ComfyUI brings. ComfyUI itself must not be reachable past it: start it with --listen 127.0.0.1,
or on a machine of its own. POST /prompt, the one way in, is read, checked with Policy.for_strangers and sent on in the
words that were checked; what is refused is answered as ComfyUI answers an invalid prompt, so that the editor shows it
at the nodes. Pictures, previews, uploads, the queue and the websocket pass unread. Ways to bring code (the routes of
ComfyUI-Manager) are refused, and with --only-core-routes whatever a node pack adds to ComfyUI's own writing routes.

Not done here, as for any ComfyUI: users, passwords, TLS, rates. All who come through share one queue and one history.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import posixpath
import sys
import time
from urllib.parse import unquote, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, WSMsgType, web
from yarl import URL

from .check import MAX_BYTES, Policy, Problem, parse_request, unguarded_samplers
from .workflow import WorkflowError

PROMPT = "/prompt"
# What a client may say about a prompt: no place in the queue ('number', 'front') before others.
PROMPT_KEYS = ("prompt", "client_id", "prompt_id", "extra_data", "partial_execution_targets")
CODE = (  # routes of ComfyUI-Manager, which installs packages, fetches models and restarts the server
    *("/customnode", "/manager", "/snapshot", "/externalmodel", "/comfyui_manager", "/model/install"),
    *("/v2/customnode", "/v2/manager", "/v2/snapshot", "/v2/externalmodel", "/v2/comfyui_manager"),
)
CORE_WRITES = (  # ComfyUI's own routes that take something
    *("/upload/image", "/upload/mask", "/queue", "/interrupt", "/free", "/history", "/users", "/settings", "/userdata"),
    *("/internal/logs/subscribe", "/assets", "/jobs"),
)
READS = ("GET", "HEAD", "OPTIONS")
HOP_BY_HOP = {  # headers that concern one connection (RFC 9110), and those that are written anew
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"),
    *("upgrade", "host", "origin", "expect"),
}
KNOWN_FOR = 60.0  # seconds that an answer to /object_info is used


@dataclasses.dataclass
class Proxy:
    """What the handlers share. upstream: 'http://host:port' of ComfyUI, without a path."""

    upstream: URL
    policy: Policy
    only_core_routes: bool = False
    session: ClientSession | None = None
    _info: tuple[float, dict] = (float("-inf"), {})

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BYTES, middlewares=[])
        app.router.add_route("*", "/{path:.*}", self.handle)
        app.cleanup_ctx.append(self._connect)
        return app

    async def _connect(self, _):
        """The client's side, for as long as the application runs: no cookies, no limit of time, bytes as they come."""
        self.session = ClientSession(
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
        )
        yield
        await self.session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = meant(request)
        if foreign(request):
            return refusal(403, "safree_foreign_page", "The request comes from a page of another site.", "")
        try:
            if path == PROMPT and request.method not in READS:
                return await self.queue(request)
            if reason := self.why_closed(request.method, path):
                return refusal(403, "safree_route_closed", reason, f"{request.method} {path}")
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self.join_websockets(request)
            return await self.pass_on(request)
        except (ClientError, ConnectionError) as error:
            if request.transport is None or request.transport.is_closing():
                raise
            return refusal(502, "safree_no_server", "ComfyUI does not answer.", type(error).__name__)

    def why_closed(self, method: str, path: str) -> str | None:
        if within(path, CODE):
            return "This route can bring code to the server; the proxy keeps it closed."
        if self.only_core_routes and method not in READS and not within(path, CORE_WRITES):
            return "This is no route of ComfyUI's own; the proxy keeps it closed (--only-core-routes)."
        return None

    async def queue(self, request: web.Request) -> web.StreamResponse:
        """Check the workflow of a POST /prompt; send on what was checked, and nothing that was not."""
        if request.method != "POST":
            return refusal(405, "safree_method", "A prompt is queued with POST.", request.method)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return refusal(413, "safree_too_large", f"The workflow is larger than {MAX_BYTES:,} bytes.", "")
        info = await self.object_info()
        try:
            sent = parse_request(body)
            problems = await asyncio.to_thread(unguarded_samplers, sent["prompt"], info, self.policy)
        except WorkflowError as error:
            return refusal(400, "safree_no_workflow", "This is no workflow in API format.", str(error))
        if problems:
            return refusal_of(problems)
        checked = {key: sent[key] for key in PROMPT_KEYS if key in sent}
        async with self.session.post(self.upstream / PROMPT.lstrip("/"), json=checked) as answer:
            return await relay(request, answer)

    async def object_info(self) -> dict:
        """ComfyUI's answer to GET /object_info, a minute old at most."""
        asked, info = self._info
        if time.monotonic() - asked > KNOWN_FOR:
            async with self.session.get(self.upstream / "object_info", headers={"Accept-Encoding": ""}) as answer:
                answer.raise_for_status()
                info = json.loads(await answer.read())
            self._info = (time.monotonic(), info)
        return info

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        async with self.session.request(
            request.method,
            self.at(request),
            headers=onward(request.headers),
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            return await relay(request, answer)

    async def join_websockets(self, request: web.Request) -> web.WebSocketResponse:
        """Both directions between browser and ComfyUI until either ends."""
        client = web.WebSocketResponse(max_msg_size=0)
        async with self.session.ws_connect(self.at(request), max_msg_size=0) as server:
            await client.prepare(request)
            ways = [asyncio.create_task(copy(client, server)), asyncio.create_task(copy(server, client))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await client.close()
        return client

    def at(self, request: web.Request) -> URL:
        """The same path and query at ComfyUI, encoded as they came."""
        return URL(f"{self.upstream.origin()}{request.rel_url.raw_path_qs}", encoded=True)


def meant(request: web.Request) -> str:
    """The path that a request asks for, however often it is encoded, doubled or winding, without /api in front."""
    path = request.rel_url.raw_path
    while (plain := unquote(path)) != path:
        path = plain
    path = posixpath.normpath("/" + path.replace("\\", "/").strip("/")).casefold()
    return path.removeprefix("/api") if path.startswith("/api/") else path


def within(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)


def foreign(request: web.Request) -> bool:
    """Whether a page of another site sends this, in the browser of somebody who may come in (ComfyUI's own rule)."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()


def onward(headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


async def relay(request: web.Request, answer) -> web.StreamResponse:
    """Give an answer of ComfyUI to the client as it comes."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in onward(answer.headers):
        response.headers.add(name, value)
    await response.prepare(request)
    async for part in answer.content.iter_any():
        await response.write(part)
    await response.write_eof()
    return response


async def copy(source, target) -> None:
    async for message in source:
        if message.type == WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await target.send_bytes(message.data)


def refusal_of(problems: list[Problem]) -> web.Response:
    """ComfyUI's answer to an invalid prompt, with what is not guarded at the nodes where it is not."""
    nodes: dict = {}
    for problem in problems:
        entry = {"class_type": problem.class_type, "dependent_outputs": [], "errors": []}
        details = {"message": "Not guarded", "details": str(problem), "extra_info": {"input_name": problem.input}}
        nodes.setdefault(problem.node, entry)["errors"].append({"type": "safree_unguarded", **details})
    return refusal(400, "safree_unguarded", "This workflow is not guarded.", "\n".join(map(str, problems[:5])), nodes)


def refusal(status: int, kind: str, message: str, details: str, nodes: dict | None = None) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": nodes or {}}, status=status)


def main(argv: list[str] | None = None) -> int:
    text, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=text, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--upstream", default="127.0.0.1:8188", metavar="HOST:PORT", help="ComfyUI (default %(default)s)"
    )
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="default %(default)s")
    parser.add_argument(
        "--concept-set", action="append", metavar="NAME", help="must be guarded against (default nudity)"
    )
    parser.add_argument("--allow", action="append", default=[], metavar="CLASS", help="a node class that you have read")
    parser.add_argument("--pack", action="append", default=[], metavar="NAME", help="a node pack that you have read")
    parser.add_argument("--only-core-routes", action="store_true", help="close the writing routes of node packs")
    args = parser.parse_args(argv)
    policy = Policy.for_strangers(tuple(args.concept_set or ["nudity"]), frozenset(args.allow), frozenset(args.pack))
    host, _, port = args.listen.rpartition(":")
    if not port.isdigit() or not host:
        parser.error(f"--listen {args.listen!r} is no HOST:PORT.")
    logging.basicConfig(level=logging.INFO)
    proxy = Proxy(URL(f"http://{args.upstream}"), policy, args.only_core_routes)
    web.run_app(proxy.app(), host=host, port=int(port), access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
