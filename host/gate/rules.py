"""What the terms of a policy demand of a workflow, with the schemas of the nodes that this server really has."""

from __future__ import annotations

from collections.abc import Iterator

from ...headless import guarded_pictures
from ...headless.bounds import MOST_PROBLEMS, check_bounds, shown
from ...headless.check import OUR_PATCH, OUR_SAMPLER, unguarded_samplers
from ...headless.policy import Problem
from ...headless.policy_file import Terms
from ...headless.workflow import Workflow
from .. import compat
from . import files

TIGHTENED = (OUR_SAMPLER, OUR_PATCH)


def problems(graph: dict, terms: Terms) -> list[Problem]:
    """Why a workflow may not be queued under `terms`; empty if it may. WorkflowError for what is none, or too large."""
    workflow = Workflow(graph)
    check_bounds(workflow, terms.nodes)
    if terms.policy.strangers:
        workflow = Workflow(tightened(graph))
    kinds = {workflow.kind(node) for node in workflow.nodes}
    schemas = {kind: schema for kind in kinds if (schema := compat.node_schema(kind))}
    if found := list(_strange(workflow, schemas))[:MOST_PROBLEMS]:
        return found
    seen = Workflow({node: _as_the_server_reads(workflow, node, schemas) for node in workflow.nodes})
    found = unguarded_samplers(seen.nodes, schemas, terms.policy)
    pictures = guarded_pictures.problems(seen, schemas, terms.pictures) if terms.pictures else ()
    return [*found, *_too_large(seen, terms), *files.problems(seen, schemas, terms), *pictures][:MOST_PROBLEMS]


def tightened(graph: dict) -> dict:
    """The same workflow with the settings of our samplers that hold for strangers: negatives are always cleaned."""
    return {
        node: {**entry, "inputs": _strict(entry.get("inputs", {}))} if entry["class_type"] in TIGHTENED else entry
        for node, entry in graph.items()
    }


def _strict(inputs: dict) -> dict:
    held = {"negatives": "guarded" if inputs.get("negatives") == "guarded" else "cleaned", "on_problem": "error"}
    return {**inputs, **held}


def _strange(workflow: Workflow, schemas: dict) -> Iterator[Problem]:
    """Classes that this server does not have, and connections to inputs that a class does not have.

    ComfyUI passes such a connection on to the node's function, and executes what it comes from.
    """
    for node in workflow.nodes:
        kind = workflow.kind(node)
        if kind not in schemas:
            yield Problem(node, kind, "", ("is no node of this server",))
            continue
        for name, _ in workflow.links(node):
            if not compat.declares(schemas[kind], name):
                yield Problem(node, kind, name, ("is connected, and the node has no such input",))


def _as_the_server_reads(workflow: Workflow, node: str, schemas: dict) -> dict:
    """A node without the values that ComfyUI leaves out, since its class has no such input."""
    schema = schemas[workflow.kind(node)]
    inputs = {name: value for name, value in workflow.inputs(node).items() if compat.declares(schema, name)}
    return {"class_type": workflow.kind(node), "inputs": inputs}


def _too_large(workflow: Workflow, terms: Terms) -> Iterator[Problem]:
    """Numbers beyond the largest that the terms allow, and those that come from elsewhere."""
    for node in workflow.nodes if terms.largest else ():
        for name in terms.largest.keys() & workflow.inputs(node).keys():
            value, most = workflow.inputs(node)[name], terms.largest[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                reason = f"is {shown(value)}; under this policy it must be a plain number"
            elif not value <= most:
                reason = f"is {shown(value)}; this policy allows {most:g}"
            else:
                continue
            yield Problem(node, workflow.kind(node), name, (reason,))
