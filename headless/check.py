"""Whether every sampler of a workflow is guarded: a pure function for servers that take workflows from strangers.

    from headless.check import Policy, unguarded_samplers
    if problems := unguarded_samplers(body["prompt"], object_info, Policy(concept_sets=("nudity",))):
        refuse("; ".join(map(str, problems)))

It follows the data: back from each sampler's positive input, through nodes known to pass CONDITIONING on, to where the
prompt was encoded. What it does not know it refuses. Standard library alone. check_command.py is the command.
"""

from __future__ import annotations

import json

from . import flow, knowledge
from .flow import Point
from .guards import GUARDS, at_least, faults_of_guard
from .knowledge import Knowledge, Source
from .policy import Policy, Problem
from .quality_words import only_quality_words
from .settle import Settled
from .workflow import Workflow, WorkflowError

MAX_BYTES = 8 * 2**20  # of a POST /prompt; the editor sends a workflow twice, in both formats
MAX_NODES = 20_000


def unguarded_samplers(workflow: dict, object_info: dict | None = None, policy: Policy | None = None) -> list[Problem]:
    """The samplers of an API-format `workflow` that unguarded conditioning can reach; empty when all is guarded.

    object_info: the server's answer to GET /object_info; with it, ComfyUI's own nodes of any version are recognised
    Raises WorkflowError when `workflow` is not in API format, or has more than MAX_NODES nodes.
    """
    graph = Workflow(workflow)
    if len(graph.nodes) > MAX_NODES:
        raise WorkflowError(f"the workflow has {len(graph.nodes):,} nodes; the check takes at most {MAX_NODES:,}.")
    policy = policy or Policy()
    return _Check(graph, known_to(policy, object_info or {}), policy).problems()


def known_to(policy: Policy, object_info: dict) -> Knowledge:
    """What is known of node classes, by this server and by whoever made the policy too."""
    treated = (*policy.treated, *((kind, "harmless") for kind in policy.allowed))
    return knowledge.load().with_server(object_info).treating(treated)


def parse_request(body: bytes) -> dict:
    """The JSON object of a POST /prompt, whose 'prompt' should be a workflow in API format.

    Raises WorkflowError when it is larger than MAX_BYTES, is no such JSON, or has a key twice in one object: another
    reader might take the other one.
    """
    if len(body) > MAX_BYTES:
        raise WorkflowError(f"the request has {len(body):,} bytes; the check takes at most {MAX_BYTES:,}.")
    try:
        request = json.loads(body, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"the request is not JSON ({error}).") from error
    if not isinstance(request, dict) or not isinstance(request.get("prompt"), dict):
        raise WorkflowError("the request has no 'prompt' with a workflow in API format.")
    return request


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def inputs_to_guard(workflow: Workflow, known: Knowledge, node: str, policy: Policy) -> tuple[Source, ...]:
    """The inputs of a sampler that must be guarded: what it draws, the negative too where its scale says so."""
    sampler = known[workflow.kind(node)].samples
    scales = [_number(workflow, node, name) for name in sampler.scales]
    for before in workflow.before(node, "model"):
        facts = known.get(workflow.kind(before))
        scales += [_number(workflow, before, name) for name in (facts.scales if facts else ())]
    repels = all(at_least(scale, 1.0) for scale in scales)
    return sampler.positive + (sampler.negative if policy.negatives or not repels else ())


def _number(workflow: Workflow, node: str, name: str):
    """The value of an input, read from a primitive node where it is connected to one."""
    link = workflow.link(node, name)
    if link and link[0] in workflow and workflow.kind(link[0]) in ("PrimitiveFloat", "PrimitiveInt"):
        return workflow.inputs(link[0]).get("value")
    return workflow.inputs(node).get(name)


def why_refused(kind: str, known: Knowledge) -> str | None:
    """Why a node of this class may not be in a workflow, whatever it is connected to; None if it may."""
    facts = known.get(kind)
    if facts is None:
        return "is unknown to this check: it may sample or encode by itself"
    return facts.refused if facts.samples or facts.pack == "" else None


class _Check:
    def __init__(self, workflow: Workflow, known: Knowledge, policy: Policy):
        self.flow, self.known, self.policy = workflow, known, policy
        self._judged = Settled(self._expand, ("its connections run in a circle",))

    def problems(self) -> list[Problem]:
        return [problem for node in self.flow.nodes for problem in self._problems(node)]

    def _problems(self, node: str):
        kind = self.flow.kind(node)
        if reason := why_refused(kind, self.known):
            yield Problem(node, kind, "", (reason,))
            return
        facts = self.known[kind]
        if facts.samples:
            for source in inputs_to_guard(self.flow, self.known, node, self.policy):
                if source in facts.samples.negative and self._harmless_negative(node, source):
                    continue
                if reasons := self._source(node, source):
                    yield Problem(node, kind, source.input, reasons)
            if reasons := self._switched_off(node):
                yield Problem(node, kind, "", reasons)
        elif facts.vouched and not facts.carries and not facts.encodes:
            for name, link in self.flow.links(node):
                wanted = "negative" not in name and flow.is_conditioning(self.flow, self.known, Point(*link))
                if wanted and (reasons := self.reasons(Point(*link))):
                    yield Problem(node, kind, name, reasons)
        for name in facts.texts:
            if reason := self._text(node, name):
                yield Problem(node, kind, name, (reason,))

    def _harmless_negative(self, node: str, source: Source) -> bool:
        """Whether a negative is zero, or a list of faults of a picture."""
        point = Point(*(self.flow.link(node, source.input) or ("", 0)), source.lane)
        zero = point.node in self.flow and self.flow.kind(point.node) == "ConditioningZeroOut"
        if zero:
            point = Point(*(self.flow.link(point.node, "conditioning") or ("", 0)))
        facts = self.known.get(self.flow.kind(point.node)) if point.node in self.flow else None
        if facts is None or (point.slot, point.lane) not in facts.encodes:
            return False
        texts = facts.encodes[(point.slot, point.lane)].texts
        return zero or all(only_quality_words(self.flow.inputs(point.node).get(name)) for name in texts)

    def _text(self, node: str, name: str) -> str | None:
        """Why a prompt that a node encodes by itself may not be there."""
        value = self.flow.inputs(node).get(name, "")
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        return f"{self.flow.label(node)} encodes its {name} by itself, without the guard"

    def _switched_off(self, node: str) -> tuple[str, ...]:
        """Settings on the way to a sampler that end the filter early."""
        if self.policy.any_mode:
            return ()
        switches = [node] if self.flow.kind(node) == "SelfValidatingSampler" else []
        switches += [n for n in sorted(self.flow.before(node, "model")) if self.flow.kind(n) == "SelfValidationPatch"]
        return tuple(
            f"{self.flow.label(n)} has filtered_steps {value!r}; only -1 lets the guard decide"
            for n in switches
            if (value := self.flow.inputs(n).get("filtered_steps")) != -1
        )

    def _source(self, node: str, source: Source) -> tuple[str, ...]:
        """Why an input is not guarded. One that is not there brings no prompt; the server will not run its node."""
        links = [self.flow.link(node, name) for name in source.names(self.flow.inputs(node))]
        found = [reason for link in links if link for reason in self.reasons(Point(*link, source.lane))]
        return tuple(dict.fromkeys(found + self._gaps(node, source)))

    def reasons(self, start: Point) -> tuple[str, ...]:
        """Why the CONDITIONING at `start` is not guarded; empty if it is."""
        return self._judged[start]

    def _expand(self, point: Point):
        """(points that pass through `point`, function that makes its reasons of theirs)."""
        if point.node not in self.flow:
            return (), lambda _: (f"{self.flow.label(point.node)} is not in the workflow",)
        sources = flow.carried(self.flow, self.known, point)
        if sources is None:
            return (), lambda _: self._made(point)
        gaps = [reason for source in sources for reason in self._gaps(point.node, source)]
        before = flow.before(self.flow, self.known, point)
        return before, lambda reasons: tuple(dict.fromkeys([one for group in reasons for one in group] + gaps))

    def _gaps(self, node: str, source: Source) -> list[str]:
        """Inputs that are there and are no connection."""
        names = source.names(self.flow.inputs(node))
        return [f"input {n} of {self.flow.label(node)} is no connection" for n in names if not self.flow.link(node, n)]

    def _made(self, point: Point) -> tuple[str, ...]:
        """Why the CONDITIONING that a node makes itself is not guarded."""
        node, kind = point.node, self.flow.kind(point.node)
        label, facts = self.flow.label(node), self.known.get(kind)
        if kind in GUARDS and point.slot == 0:
            return faults_of_guard(self.flow, node, self.policy)
        if facts is None:
            return (f"{label} is unknown to this check",)
        if facts.refused:
            return (f"{label}: {facts.refused}",)
        if facts.wordless:
            return ()
        if (point.slot, point.lane) in facts.encodes:
            return (f"{label} encodes its text without the guard",)
        return (f"{label} gives no conditioning at this output",)
