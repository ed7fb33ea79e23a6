"""Arithmetic on what samplers make: with it a workflow guides by hand, with any weight, past every guidance scale."""

from __future__ import annotations

from collections.abc import Iterable

from .knowledge import Knowledge
from .limits import beyond
from .workflow import Workflow

OVERSHOOTING = ("bicubic",)  # ways to scale a picture that go past its lightest and darkest


def arithmetic(workflow: Workflow, known: Knowledge) -> str:
    """The node that adds up or subtracts what samplers make, as a reason; '' where none does.

    Latents behind a sampler count wherever they go, pictures only on their way into a sampler.
    """
    samplers = [node for node in workflow.nodes if (facts := known.get(workflow.kind(node))) and facts.samples]
    after, before = _reached(_readers(workflow), samplers), None
    for node in workflow.nodes:
        facts = known.get(workflow.kind(node)) if node in after else None
        if facts is None or not facts.changes & {"latents", "pictures"}:
            continue
        if facts.limits and not beyond(workflow, known, node, facts.limits):
            continue
        if "latents" not in facts.changes:
            before = _reached(_sources(workflow), samplers) if before is None else before
            if node not in before:
                continue
        return f"because {workflow.label(node)} does arithmetic on what samplers make"
    return _wild_mask(workflow, known, samplers) if samplers else ""


def _wild_mask(workflow: Workflow, known: Knowledge, samplers: list[str]) -> str:
    """The node whose mask may hold numbers outside 0 to 1, with which it multiplies; '' where there is none."""
    wild = [node for node in workflow.nodes if _spreads(workflow, known, node)]
    if not wild:
        return ""
    from_wild = _reached(_readers(workflow), wild).union(wild)
    for node in _reached(_sources(workflow), samplers).union(samplers):
        for name, (source, _slot) in workflow.links(node) if node in workflow else ():
            if "mask" in name and source in from_wild:
                return f"because the mask of {workflow.label(node)} may hold numbers outside 0 to 1"
    return ""


def _spreads(workflow: Workflow, known: Knowledge, node: str) -> bool:
    """Whether a node makes pictures whose numbers may lie outside 0 to 1."""
    facts = known.get(workflow.kind(node))
    if facts and "pictures" in facts.changes:
        return not facts.limits or bool(beyond(workflow, known, node, facts.limits))
    method = workflow.inputs(node).get("upscale_method", "area")
    return method in OVERSHOOTING or not isinstance(method, str)


def _sources(workflow: Workflow) -> dict[str, list[str]]:
    return {node: [link[0] for _, link in workflow.links(node)] for node in workflow.nodes}


def _readers(workflow: Workflow) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for node in workflow.nodes:
        for _, (source, _slot) in workflow.links(node):
            readers.setdefault(source, []).append(node)
    return readers


def _reached(ways: dict[str, list[str]], start: Iterable[str]) -> set[str]:
    """The nodes that some steps from `start` lead to; none of `start` unless a way leads back to it."""
    found, waiting = set(), list(start)
    while waiting:
        for node in ways.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found
