"""The guarded twin of a workflow: its prompts go through SAFREE, and a report says what was done."""

from __future__ import annotations

import copy
import dataclasses

from .check import Rules, known_in, unguarded_samplers
from .flow import Trace
from .guards import GUARD
from .knowledge import Knowledge, Source
from .link_types import Drawn
from .policy import Policy, Problem
from .rewrite import CannotGuard, Rewriter
from .workflow import Workflow

# `type` of ComfyUI's CLIP loaders whose text encoders SafreeConditioning refuses: it stops with an error there.
UNSUPPORTED_CLIPS = frozenset(["ace", "minimax", "stable_audio"])


@dataclasses.dataclass
class Report:
    """What was done: one line for each guarded encoder, what remains unguarded, and what else to know.

    samplers: how many nodes of the workflow draw pictures, as far as is known
    options: of the command line, one for each unknown node class, for whoever knows what it does
    """

    guarded: list[str] = dataclasses.field(default_factory=list)
    unguarded: list[Problem] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    samplers: int = 0
    options: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"guarded    {line}" for line in self.guarded]
        lines += [f"UNGUARDED  {problem}" for problem in self.unguarded]
        lines += [f"note       {note}" for note in self.notes]
        if self.options:
            lines.append("unknown    If you know that these nodes do what the words say: " + " ".join(self.options))
        if not lines and self.samplers:
            lines.append("Every sampler of this workflow is guarded already.")
        return "\n".join(lines) or "There is no sampler in this workflow, so nothing to guard."


def guard(
    workflow: Workflow, policy: Policy, info: dict, self_validation: bool = False, drawn: Drawn | None = None
) -> tuple[Workflow, Report]:
    """(guarded twin, report) of `workflow`, which stays as it is; policy.concept_sets are the concepts.

    drawn: the types that the editor's file names (files.Document.types)
    """
    known = known_in(workflow, policy, info, drawn)
    twin, report = Workflow(copy.deepcopy(workflow.nodes)), Report()
    positive, negative = sides(workflow, known, policy)
    rewriter = Rewriter(twin, known, policy, positive)
    order = {node: place for place, node in enumerate(workflow.nodes)}
    for point in sorted(positive.ends, key=lambda end: (order.get(end.node, -1), end.slot, end.lane)):
        facts = known.get(workflow.kind(point.node)) if point.node in workflow else None
        if facts and (point.slot, point.lane) in facts.encodes:
            _note(report, rewriter.guard, point)
    for node in workflow.nodes:
        facts = known.get(workflow.kind(node))
        for name in facts.texts if facts else ():
            if workflow.inputs(node).get(name):
                _note(report, rewriter.guard_text, node, name)
        report.samplers += bool(facts and facts.samples)
        if self_validation and facts and facts.samples:
            rewriter.validate(node)
    both = sorted({node for node, _, _ in positive.inputs & negative.inputs})
    report.notes += [
        f"{workflow.label(node)} leads to a negative input too, and is guarded there as well" for node in both
    ]
    report.notes += unknown_nodes(workflow, known)
    report.unguarded = unguarded_samplers(twin.nodes, info, policy, drawn)
    report.notes += _unsupported(twin)
    report.options = options_for(workflow, known)
    return twin, report


def unknown_nodes(workflow: Workflow, known: Knowledge) -> list[str]:
    """A line for each unknown class that its connections cleared."""
    kinds = {workflow.kind(node): node for node in workflow.nodes}
    found = []
    for kind, node in kinds.items():
        facts = known.get(kind)
        if facts and facts.by_links and "model" in facts.changes:
            found.append(f"LOOK at {workflow.label(node)}, which is unknown: {facts.reason} It may change anything")
        elif facts and facts.by_links:
            found.append(f"{workflow.label(node)} is unknown; it changes no guard. {facts.reason}")
    return found


def _note(report: Report, rewrite, *args) -> None:
    try:
        done, notes = rewrite(*args)
        report.guarded.append(done)
        report.notes += notes
    except CannotGuard as error:
        report.notes.append(f"{error}")


def sides(workflow: Workflow, known: Knowledge, policy: Policy) -> tuple[Trace, Trace]:
    """What leads to inputs that must be guarded, and what to the other negative inputs."""
    positive, negative, rules = Trace(), Trace(), Rules(workflow, known, policy)
    for node in workflow.nodes:
        facts = known.get(workflow.kind(node))
        if facts and facts.samples:
            wanted = rules.inputs_to_guard(node)
            positive.follow(workflow, known, node, wanted)
            negative.follow(workflow, known, node, [s for s in facts.samples.negative if s not in wanted])
        elif facts is None or facts.vouched:  # perhaps a sampler: go by the names
            names = [Source(name) for name, _ in workflow.links(node)]
            negative.follow(workflow, known, node, [s for s in names if "negative" in s.input])
            positive.follow(workflow, known, node, [s for s in names if s.input in ("positive", "conditioning")])
    return positive, negative


def options_for(workflow: Workflow, known: Knowledge) -> list[str]:
    """--treat for each unknown class, with the likeliest of what it may be called."""
    kinds = {workflow.kind(node): node for node in workflow.nodes if workflow.kind(node) not in known}
    found = []
    for kind, node in kinds.items():
        names = {name for name, _ in workflow.links(node)}
        texts = any(isinstance(value, str) for value in workflow.inputs(node).values())
        what = "harmless"
        if "positive" in names or "conditioning" in names:
            what = "sampler" if {"model", "latent_image"} & names else "carrier"
        elif "clip" in names and (texts or "text" in names):
            what = "encoder"
        quote = '"' if not kind.isidentifier() else ""
        found.append(f"--treat {quote}{kind}={what}{quote}")
    return found


def _unsupported(workflow: Workflow) -> list[str]:
    """Loaders of text encoders that SafreeConditioning does not know, among those it is connected to."""
    guards = [node for node in workflow.nodes if workflow.kind(node) == GUARD]
    loaders = sorted(set().union(*(workflow.before(node, "clip") for node in guards)))
    return [
        f"{workflow.label(node)} loads a text encoder for {kind}, which SAFREE does not support: the guarded workflow "
        "stops with an error"
        for node in loaders
        if (kind := _clip_type(workflow, node)) in UNSUPPORTED_CLIPS
    ]


def _clip_type(workflow: Workflow, node: str):
    """The family whose text encoders a loader loads; None for another node."""
    if workflow.kind(node) == "QuadrupleCLIPLoader":
        return "hidream"
    return workflow.inputs(node).get("type") if "CLIPLoader" in workflow.kind(node) else None
