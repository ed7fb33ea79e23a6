"""What our nodes found in a run, by their reports. ComfyUI shows none of what it has in its cache: it is remembered."""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Callable, Iterator

from ...headless.settle import Settled
from ...headless.workflow import Workflow, WorkflowError

WORDS, INACTIVE, SEEN = "words taken out", "guard not active", "seen in the result"
REPORTS = ("safree_report", "safree_sampling", "safree_gate")  # among the outputs of a node
MOST = 10_000  # nodes that are remembered

Finding = tuple[tuple[str, ...], str]  # concepts, and what was done


class Findings:
    """What was found in each run of a server."""

    def __init__(self):
        self._known: collections.OrderedDict[str, list[Finding]] = collections.OrderedDict()

    def of(self, graph: dict, outputs: dict) -> list[Finding]:
        """In a run of `graph`. outputs: by node, as the history shows them."""
        try:
            signature = signatures(Workflow(graph))
        except WorkflowError:  # of somebody whose workflows are not checked
            return [finding for shown in outputs.values() for finding in _reported(shown)]
        found = []
        for node in graph:
            shown = outputs.get(node)
            if isinstance(shown, dict) and any(name in shown for name in REPORTS):
                found += self._remember(signature[node], list(_reported(shown)))
            elif node not in outputs and self._known:
                found += self._known.get(signature[node], ())
        return found

    def _remember(self, signature: str, found: list[Finding]) -> list[Finding]:
        self._known[signature] = found
        self._known.move_to_end(signature)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return found


def signatures(workflow: Workflow) -> Settled[str, str]:
    """By node: a digest of its class, its values and all that leads to it, as ComfyUI's cache tells nodes apart."""

    def expand(node: str) -> tuple[list[str], Callable[[list[str]], str]]:
        if node not in workflow:
            return [], lambda _: ""
        links = dict(workflow.links(node))
        sources = [source for source, _ in links.values()]

        def digest(of_sources: list[str]) -> str:
            before = [[name, slot, one] for (name, (_, slot)), one in zip(links.items(), of_sources, strict=True)]
            values = {name: value for name, value in workflow.inputs(node).items() if name not in links}
            text = json.dumps([workflow.kind(node), values, before], sort_keys=True, default=repr)
            return hashlib.sha256(text.encode()).hexdigest()

        return sources, digest

    return Settled(expand, "")


def _reported(shown) -> Iterator[Finding]:
    """What the reports of one node say, where something was found or done."""
    for report in _dicts(shown, "safree_report"):
        flagged = dict.fromkeys(token["concept"] for token in report.get("tokens", ()) if token.get("flagged"))
        if flagged:
            yield tuple(flagged), WORDS
        if report.get("state") == "inactive":
            yield (), INACTIVE
    for report in _dicts(shown, "safree_sampling"):
        seen = dict.fromkeys(one["concept"] for one in report.get("second_look", ()) if one.get("found"))
        if seen:
            yield tuple(seen), SEEN
        elif report.get("state") == "inactive":
            yield (), INACTIVE
    for report in _dicts(shown, "safree_gate"):
        if report.get("acted_on"):
            yield tuple(report["concepts"]), f"picture: {report['action']}"


def _dicts(shown, name: str) -> list[dict]:
    return [one for one in shown.get(name, ()) if isinstance(one, dict)] if isinstance(shown, dict) else []
