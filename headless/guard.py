"""Write the guarded twin of a workflow: its prompts go through SAFREE. Standard library alone.

    python -m headless guard workflow.json guarded.json --concept-set nudity --concept-set violence

Every text encoder whose conditioning reaches the positive input of a sampler, a guider or a node that samples inside
(FaceDetailer, UltimateSDUpscale, ...) becomes SafreeConditioning, with one chain of ConceptSubspaces for each CLIP.
Conditioning is followed through pipes, switches and everything else that packs/*.json knows to pass it on. Samplers
and negative prompts stay as they are; a prompt that is both is copied, and the copy guarded.

Exit code: 0 when every sampler is guarded; 1, and nothing is written unless --partial, when one is not; 2 when a file
cannot be read or written. A node class that packs/*.json does not name is refused: what it does is not in the workflow.
--server lets a running ComfyUI say what it knows of it, --treat NAME=WHAT lets you (harmless, sampler, carrier or
encoder); the report ends with a line of them to paste. Text encoders that SAFREE does not support are noted: there the
guarded workflow stops with an error instead of a picture.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from pathlib import Path

from .check import Rules, known_to, unguarded_samplers
from .check_command import add_policy, object_info, policy_of
from .files import Document, read_document
from .flow import Trace
from .guards import GUARD
from .knowledge import Knowledge, Source
from .policy import Policy, Problem
from .rewrite import CannotGuard, Rewriter
from .workflow import Workflow, WorkflowError, command_line, write

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


def guard(workflow: Workflow, policy: Policy, info: dict, self_validation: bool = False) -> tuple[Workflow, Report]:
    """(guarded twin, report) of `workflow`, which stays as it is; policy.concept_sets are the concepts."""
    known = known_to(policy, info)
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
    report.unguarded = unguarded_samplers(twin.nodes, info, policy)
    report.notes += _unsupported(twin)
    report.options = options_for(workflow, known)
    return twin, report


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


def as_it_was(document: Document, twin: Workflow, policy: Policy) -> dict:
    """What to write: a file like the one that was read. In API format where the editor's own cannot hold the twin."""
    try:
        return document.with_nodes(twin.nodes)
    except WorkflowError as error:
        print(f"guard: written in API format, since {error}", file=sys.stderr)
        return twin.nodes


def main(argv: list[str] | None = None) -> int:
    parser = command_line("guard", __doc__)
    parser.add_argument("workflow", type=Path, help="file of the workflow")
    parser.add_argument("output", type=Path, help="file for the guarded twin")
    parser.add_argument("--concept-set", action="append", metavar="NAME", help="a shipped set (default nudity); repeat")
    parser.add_argument("--self-validation", action="store_true", help="put SelfValidationPatch before each sampler")
    parser.add_argument("--partial", action="store_true", help="write the twin even if a sampler remains unguarded")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output, never the input")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_policy(parser)
    args = parser.parse_args(argv)
    policy = policy_of(args, tuple(dict.fromkeys(args.concept_set or ["nudity"])))
    try:
        if args.output.resolve() == args.workflow.resolve():
            raise WorkflowError(f"{args.output} is the input, which is never overwritten. Choose another name.")
        info = object_info(args)
        document = read_document(args.workflow, info)
        twin, report = guard(document.workflow, policy, info, args.self_validation)
        print(json.dumps(dataclasses.asdict(report), indent=1) if args.json else report)
        if report.unguarded and not args.partial:
            print("guard: nothing written; see UNGUARDED, or pass --partial.", file=sys.stderr)
            return 1
        write(as_it_was(document, twin, policy), args.output, args.overwrite)
    except WorkflowError as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    return 0
