"""Whether every sampler of a workflow is guarded: a pure function for servers that take workflows from strangers.

    from headless.check import Policy, unguarded_samplers
    if problems := unguarded_samplers(body["prompt"], object_info, Policy.for_strangers(("nudity",))):
        refuse("; ".join(map(str, problems)))

One rule: what reaches the model is guarded, whatever its branch. The check follows the data, back from each input that
a sampler draws with, through nodes known to pass CONDITIONING on, to where the text was encoded. Every class of node in
the workflow must stand in the tables (headless/packs), with a reason why it may; all else is refused. It takes time in
proportion to the workflow. Standard library alone. `python -m headless check` is the command.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from . import by_links, knowledge
from .bounds import MAX_BYTES, MAX_NODES, MOST_PROBLEMS, check_bounds, shown
from .feedback import arithmetic
from .flow import Point, effective, is_conditioning, number
from .graph_faults import graph_faults
from .guarded_pictures import LOADED
from .knowledge import Facts, Knowledge, Sampler, Source
from .limits import beyond, falling, readable_sigmas, within
from .link_types import Drawn, LinkTypes
from .object_info import conditioning_inputs, is_core, types
from .policy import Policy, Problem
from .states import States
from .workflow import Workflow, WorkflowError

__all__ = ["MAX_BYTES", "MAX_NODES", "Policy", "Problem", "Rules", "parse_request", "unguarded_samplers"]

CORE = "ComfyUI"  # the pack of its own nodes
DRAWN = frozenset({"CONDITIONING", "LATENT", "IMAGE"})  # what text becomes
BURDENS = {  # what strangers may not do to a server, by what a node changes
    "files": "writes files that other workflows can read",
    "program": "runs what the workflow brings",
    "folder": "reads files that the workflow names",
    "learning": "learns from a workflow's texts for minutes",
    "schedule": "changes the text encoder over the steps, while the guard judges one state of it",
}
OWN_PACKS = (CORE, "SAFREE")
CLEANING = ("guarded", "cleaned")  # values of `negatives` with which a guarded one is always its cleaned encoding
OUR_SAMPLER, OUR_PATCH = "SelfValidatingSampler", "SelfValidationPatch"


def unguarded_samplers(
    workflow: dict, object_info: dict | None = None, policy: Policy | None = None, drawn: Drawn | None = None
) -> list[Problem]:
    """What in an API-format `workflow` is not guarded, or not known to be; empty when all is guarded.

    object_info: the server's answer to GET /object_info. It fills gaps for one's own graphs: nodes of other packs whose
        types can hold no prompt. And it refuses more: ComfyUI's class names from elsewhere, and conditioning that goes
        into a node where the tables know of none
    drawn: the types that the editor's file names (files.Document.types), by which unknown nodes are judged in one's own
    At most MOST_PROBLEMS are told. Raises WorkflowError when `workflow` is not in API format, or beyond the bounds of
    bounds.py.
    """
    graph = Workflow(workflow)
    check_bounds(graph)
    policy, info = policy or Policy(), object_info or {}
    known = known_in(graph, policy, info, drawn)
    faults = graph_faults(graph, LinkTypes(graph, known, info, drawn))
    return [*faults, *Rules(graph, known, policy, info).problems()][:MOST_PROBLEMS]


def known_to(policy: Policy, object_info: dict) -> Knowledge:
    """What is known of node classes, by this server and by whoever made the policy too."""
    treated = (*policy.treated, *((kind, "harmless") for kind in policy.allowed))
    return knowledge.load().with_server(object_info).treating(treated)


def known_in(workflow: Workflow, policy: Policy, object_info: dict, drawn: Drawn | None = None) -> Knowledge:
    """`known_to`, and in one's own workflows what the connections of unknown classes say."""
    known = known_to(policy, object_info)
    if policy.strangers:
        return known
    return known.judging(by_links.judged(workflow, known, LinkTypes(workflow, known, object_info, drawn)))


class Rules:
    """What a policy demands of each node of one workflow; make one for a workflow, and ask it for all of its nodes.

    turned: why a plain negative is not sure to be drawn away from, anywhere in this workflow; '' if it is
    """

    def __init__(self, workflow: Workflow, known: Knowledge, policy: Policy, object_info: dict | None = None):
        self.workflow, self.known, self.policy, self.info = workflow, known, policy, object_info or {}
        self.states = States(workflow, known, policy)
        self.arithmetic = arithmetic(workflow, known)
        self.turned = next(filter(None, map(self._turned_by, workflow.nodes)), "") or self.arithmetic

    def problems(self) -> list[Problem]:
        found = (problem for node in self.workflow.nodes for problem in self._problems(node))
        return list(itertools.islice(found, MOST_PROBLEMS))

    def inputs_to_guard(self, node: str) -> tuple[Source, ...]:
        """The inputs of a sampler that must be guarded: what it draws, and the negative where it might be drawn.

        A negative that is zero, or a list of faults of a picture, need not be.
        """
        sampler = self.known[self.workflow.kind(node)].samples
        wanted = effective(self.workflow, node, sampler.positive)
        if not self._why_negatives(node, sampler):
            return wanted
        negatives = effective(self.workflow, node, sampler.negative)
        return (*wanted, *(one for one in negatives if self.states.at(node, one, "negative").reasons))

    def why_refused(self, node: str) -> tuple[str, ...]:
        """Why a node may not be in the workflow, whatever it is connected to; empty if it may."""
        kind = self.workflow.kind(node)
        facts, info = self.known.get(kind), self.info.get(kind)
        if facts is None or (facts.guessed and (self.policy.strangers or facts.changes or is_core(info))):
            return ("is unknown to this check: it may sample, encode, or change what the model does",)
        if facts.by_links and self.policy.strict and "model" in facts.changes:
            return ("is an unknown patch of the model: it may change anything about sampling (--strict)",)
        if self.policy.strangers and not (facts.vouched or kind in self.policy.allowed or self._is_trusted(facts.pack)):
            return (f"belongs to the node pack {facts.pack!r}, which this policy does not name (--pack)",)
        if facts.pack == CORE and info is not None and not is_core(info):
            return (f"comes from {shown(info.get('python_module'))} on this server, and not from ComfyUI",)
        if facts.changes == {"files"} and kind in self.policy.allowed:
            return ()
        if facts.refused and (facts.samples or facts.changes or not facts.pack):  # an encoder is judged where it leads
            return (facts.refused,)
        if facts.pack == CORE and info is not None and (news := unheard_of(facts, info)):
            return (news,)
        if self.policy.strangers and (burden := self._burden(node, facts)):
            return (burden,)
        return (
            ()
            if facts.changes & {"guidance", "latents", "pictures"}
            else beyond(self.workflow, self.known, node, facts.limits)
        )

    def _burden(self, node: str, facts: Facts) -> str:
        """Why strangers may not use a node that brings no prompt past the guard; '' if they may."""
        judge = self.workflow.inputs(node).get("judge") if self.workflow.kind(node) == LOADED else None
        named = isinstance(judge, str) and judge in self.policy.judges
        for change, why in BURDENS.items():
            if change in facts.changes and not named:
                return f"{why}: {facts.reason}"
        sigmas = self.workflow.inputs(node).get("sigmas", "")
        if self.workflow.kind(node) == "ManualSigmas" and not readable_sigmas(sigmas):
            return f"has sigmas {shown(sigmas)}, which are no short list of numbers"
        return ""

    def _is_trusted(self, pack: str) -> bool:
        return pack in OWN_PACKS or pack in self.policy.packs

    def _turned_by(self, node: str) -> str:
        """Why guidance may be turned round by a node; '' if it is not."""
        facts = self.known.get(self.workflow.kind(node))
        if (
            facts is None
            or "guidance" not in facts.changes
            or (facts.limits and not beyond(self.workflow, self.known, node, facts.limits))
        ):
            return ""
        if self.workflow.kind(node) == "ManualSigmas" and falling(self.workflow.inputs(node).get("sigmas")):
            return ""
        return f"because of {self.workflow.label(node)}"

    def _why_negatives(self, node: str, sampler: Sampler) -> str:
        """Why the negative of a sampler must be guarded; '' where it need not be."""
        if self.policy.negatives:
            return "by this policy"
        scales = [number(self.workflow, self.known, node, name) for name in sampler.scales]
        if not all(within(scale, [1.0, float("inf")]) or _is_no_number(scale) for scale in scales):
            return "because of its guidance scale"
        return self.turned

    def _problems(self, node: str) -> Iterator[Problem]:
        kind = self.workflow.kind(node)
        if reasons := self.why_refused(node):
            yield Problem(node, kind, "", reasons)
            return
        facts = self.known[kind]
        if facts.samples:
            yield from self._sampler(node, facts.samples)
        elif facts.vouched and not facts.carries and not facts.encodes:
            yield from self._vouched(node)
        for name in facts.texts:
            if self.workflow.inputs(node).get(name, "") not in (None, ""):
                yield Problem(node, kind, name, ("a text that this node encodes by itself, without the guard",))
        if kind in (OUR_SAMPLER, OUR_PATCH):
            yield from self._our_settings(node)

    def _sampler(self, node: str, sampler: Sampler) -> Iterator[Problem]:
        kind = self.workflow.kind(node)
        wanted = effective(self.workflow, node, sampler.positive)
        given = self.workflow.inputs(node)
        if self.known[kind].pack in OWN_PACKS and wanted and not any(source.names(given) for source in wanted):
            yield Problem(node, kind, wanted[0].input, ("nothing is connected here, so nobody can say what it draws",))
        for source in wanted:
            if reasons := self.states.at(node, source, "positive").reasons:
                yield Problem(node, kind, str(source), reasons)
        if why := self._why_negatives(node, sampler):
            for source in effective(self.workflow, node, sampler.negative):
                if reasons := self.states.at(node, source, "negative").reasons:
                    yield Problem(node, kind, str(source), (*reasons, f"a negative must be guarded here {why}"))

    def _vouched(self, node: str) -> Iterator[Problem]:
        """Conditioning that goes into a node which somebody calls harmless."""
        for name, link in self.workflow.links(node):
            if is_conditioning(self.workflow, self.known, Point(*link)):
                role = "negative" if "negative" in name else "positive"
                if role == "negative" and not (self.policy.negatives or self.turned):
                    continue
                if reasons := self.states.at(node, Source(name), role).reasons:
                    yield Problem(node, self.workflow.kind(node), name, reasons)

    def _our_settings(self, node: str) -> Iterator[Problem]:
        """Settings of our sampler and patch with which the guard does not hold to the end."""
        kind, inputs = self.workflow.kind(node), self.workflow.inputs(node)
        if not self.policy.any_mode and (value := inputs.get("filtered_steps")) != -1:
            yield Problem(
                node, kind, "filtered_steps", (f"filtered_steps {shown(value)}: only -1 lets the guard decide",)
            )
        if self.policy.strangers and (value := inputs.get("on_problem", "error")) != "error":
            yield Problem(node, kind, "on_problem", (f"on_problem {shown(value)}: only 'error' stops the run",))
        if self.arithmetic and (value := inputs.get("negatives")) not in CLEANING and self._keeps_words(node):
            # it keeps all words of a guarded negative as long as that is drawn away from, which sums of runs turn round
            reason = f"negatives {shown(value)}: only 'guarded' counts (or 'cleaned') {self.arithmetic}"
            yield Problem(node, kind, "negatives", (reason,))

    def _keeps_words(self, node: str) -> bool:
        """Whether a guarded negative may reach our sampler, or the samplers behind our patch."""
        return self.workflow.kind(node) == OUR_PATCH or self.states.at(node, Source("negative"), "negative").guarded


def unheard_of(facts: Facts, info: dict) -> str:
    """What a class does by its types on a server, and by the tables does not; '' if nothing. Newer versions may add."""
    if names := frozenset() if facts.reads or facts.refused else conditioning_inputs(info) - facts.takes:
        return f"takes conditioning at {', '.join(sorted(names))}, of which this check knows nothing"
    inputs, outputs = types(info)
    if "CLIP" in inputs and outputs & DRAWN and not (facts.encodes or facts.samples or facts.refused):
        return "has a text encoder and draws or encodes with it, of which this check knows nothing"
    return ""


def _is_no_number(value) -> bool:
    """Whether `value` is a text that the server cannot read as a number either: it refuses to run the node."""
    try:
        return isinstance(value, str) and float(value) != float(value)
    except ValueError:
        return True


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
