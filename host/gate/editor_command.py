"""The editor's command 'Guard this workflow': a route that answers a workflow of the editor with its guarded twin.

It is what `python -m headless guard` writes for the same file. Nothing is queued, saved or loaded here.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...headless.bounds import MAX_BYTES
from ...headless.files import Document, document_of
from ...headless.guard import guard
from ...headless.policy import Policy
from ...headless.workflow import NeedsServer, WorkflowError
from .. import compat

ROUTE = "/safree/guard"


def add_route() -> None:
    """Put the route among the server's, which it opens when it starts; without a server, as in tests, none."""
    try:
        routes = compat.prompt_server().routes
    except (ImportError, AttributeError):
        return
    routes.post(ROUTE)(answer)


async def answer(request: web.Request) -> web.Response:
    """Takes {"workflow": as the editor saves it, "concept_sets": [names]}; gives the twin, or null, and the report."""
    if (request.content_length or 0) > MAX_BYTES:
        return web.json_response({"error": f"The workflow is larger than {MAX_BYTES:,} bytes."}, status=413)
    try:
        asked = await request.json()
        policy = Policy(concept_sets=tuple(map(str, asked.get("concept_sets") or ["nudity"])))
        return web.json_response(await asyncio.to_thread(guarded, asked["workflow"], policy))
    except WorkflowError as error:
        return web.json_response({"error": str(error)}, status=400)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return web.json_response({"error": f"This is no workflow of the editor ({error})."}, status=400)


def guarded(workflow: dict, policy: Policy) -> dict:
    """The twin as the editor saves it (`workflow`), or in API format where its file cannot hold it (`api`).

    Neither where a sampler remains unguarded. report: what was done, as the command line says it
    """
    document, info = _read(workflow)
    twin, report = guard(document.workflow, policy, info, drawn=document.types)
    said = {"report": str(report), "unguarded": [str(problem) for problem in report.unguarded]}
    if report.unguarded:
        return said
    try:
        return {**said, "workflow": document.with_nodes(twin.nodes)}
    except WorkflowError as error:
        return {**said, "api": document.as_sent(twin.nodes), "why": str(error)}


def _read(workflow: dict) -> tuple[Document, dict]:
    """(the workflow, what this server says of its nodes where the tables do not do)."""
    try:
        return document_of(workflow), {}
    except NeedsServer:
        nodes = workflow["nodes"] + [node for graph in _subgraphs(workflow) for node in graph["nodes"]]
        schemas = {node["type"]: compat.node_schema(node["type"]) for node in nodes}
        info = {kind: schema for kind, schema in schemas.items() if schema}
        return document_of(workflow, info), info


def _subgraphs(workflow: dict) -> list[dict]:
    return (workflow.get("definitions") or {}).get("subgraphs") or []
