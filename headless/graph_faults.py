"""Faults with which ComfyUI takes no workflow: connections in a circle, and types that do not fit. Linear in its size.

Types are compared where the schemas of both classes are known, and something but numbers and texts goes through the
link: those ComfyUI converts, and packs name them at will.
"""

from __future__ import annotations

from collections.abc import Iterator

from .link_types import ANY, LinkTypes
from .object_info import TEXT_TYPES
from .policy import Problem
from .workflow import Workflow


def graph_faults(workflow: Workflow, types: LinkTypes) -> list[Problem]:
    """A problem for each node that stands in a circle, and for each link whose type does not fit."""
    circles = [
        Problem(node, workflow.kind(node), "", ("its connections run in a circle, which ComfyUI refuses",))
        for node in _in_circles(workflow)
    ]
    return [*circles, *_misfits(workflow, types)]


def _in_circles(workflow: Workflow) -> list[str]:
    """The nodes that are left when those whose sources are all done are taken away, again and again, from both ends."""
    sources = {node: {link[0] for _, link in workflow.links(node) if link[0] in workflow} for node in workflow.nodes}
    left = _without_ends(sources)
    users: dict[str, set[str]] = {node: set() for node in left}
    for node in left:
        for source in sources[node] & left:
            users[source].add(node)
    last = _without_ends(users)
    return [node for node in workflow.nodes if node in last]


def _without_ends(needs: dict[str, set[str]]) -> set[str]:
    """The keys that need each other in the end."""
    count = {node: len(needed) for node, needed in needs.items()}
    wanted_by: dict[str, list[str]] = {node: [] for node in needs}
    for node, needed in needs.items():
        for one in needed:
            wanted_by[one].append(node)
    ready = [node for node, number in count.items() if number == 0]
    while ready:
        done = ready.pop()
        del count[done]
        for node in wanted_by[done]:
            count[node] -= 1
            if count[node] == 0:
                ready.append(node)
    return set(count)


def _misfits(workflow: Workflow, types: LinkTypes) -> Iterator[Problem]:
    for node in workflow.nodes:
        for name, link in workflow.links(node):
            given, taken = types.declared_output(*link), types.declared_input(node, name)
            if given and taken and not _fits(given, taken):
                reason = f"takes {taken} here, and {workflow.label(link[0])} gives {given}: ComfyUI refuses that"
                yield Problem(node, workflow.kind(node), name, (reason,))


def _fits(given: str, taken: str) -> bool:
    one, other = _names(given), _names(taken)
    return bool(one & other) or bool((one | other) & (TEXT_TYPES | {*ANY}))


def _names(kinds: str) -> set[str]:
    return {kind.strip() for kind in kinds.split(",")}
