"""Write the guarded twin of an API-format workflow: its prompts go through SAFREE. Standard library alone.

    python -m headless guard workflow.json guarded.json --concept-set nudity --concept-set violence

Every text encoder whose conditioning reaches the positive input of a sampler or guider becomes SafreeConditioning, with
one chain of ConceptSubspaces for each CLIP. Samplers stay as they are. Exit code: 0 when every sampler is guarded; 1,
and nothing is written unless --partial, when one is not; 2 when a file cannot be read or written.

Replaced: CLIPTextEncode; CLIPTextEncodeFlux and CLIPTextEncodeSD3 when their texts are the same; CLIPTextEncodeLumina2.
With --accept-filter SafreeFilterConditioning, which is weaker, is put after CLIPTextEncodeSDXL and its refiner twin.

Not possible, and reported:
  two different texts (Flux, SD3)             SafreeConditioning has one text for all encoders
  TextEncodeQwenImageEdit, PhotoMakerEncode,  their text is encoded together with a picture
    TextEncodeHunyuanVideo_ImageToVideo
  CLIPTextEncodeControlnet, GLIGENTextBoxApply  a second text beside the prompt
  PixArt sizes, HunyuanDiT, HiDream, music    no guarded encoder for them
  custom nodes, API nodes                     what they do is not in the workflow; --allow NAME for harmless ones
  CLIPs that SAFREE does not support          a note; the guarded workflow stops with an error instead of a picture
A prompt that feeds a negative input too is guarded there as well. The workflow must be in API format: in the editor,
Workflow > Export (API).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from pathlib import Path

from .check import INERT, Policy, Problem, inputs_to_guard, unguarded_samplers, why_refused
from .check_command import add_policy, object_info
from .guards import FILTER, GUARD
from .node_tables import (
    CARRIERS,
    FILTERABLE,
    GUARDABLE,
    LUMINA2,
    REFUSED,
    SAMPLERS,
    UNSUPPORTED_CLIPS,
)
from .workflow import Link, Workflow, WorkflowError, command_line, read, write

SETTINGS = {"mode": "adaptive", "strength": 1.0, "threshold": 0.0, "self_validation": "auto"}

KNOWN = INERT | GUARDABLE | REFUSED.keys()  # beside the carriers
NO_TEXT = "its text is missing, is several different texts, or is connected and would need another one before it"


@dataclasses.dataclass
class Report:
    """What was done: one line for each guarded encoder, what remains unguarded, and what else to know."""

    guarded: list[str] = dataclasses.field(default_factory=list)
    unguarded: list[Problem] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"guarded    {line}" for line in self.guarded]
        lines += [f"UNGUARDED  {problem}" for problem in self.unguarded]
        lines += [f"note       {note}" for note in self.notes]
        return "\n".join(lines) or "There is no sampler in this workflow, so nothing to guard."


def guard(workflow: Workflow, policy: Policy, info: dict, self_validation: bool = False) -> tuple[Workflow, Report]:
    """(guarded twin, report) of `workflow`, which stays as it is; policy.concept_sets are the concepts."""
    twin, report = Workflow(copy.deepcopy(workflow.nodes)), Report()
    rewriter = _Rewriter(twin, policy, report)
    positive, negative = set(), set()
    for node in workflow.nodes:
        if workflow.kind(node) in SAMPLERS:
            wanted = inputs_to_guard(workflow, node, policy)
            positive |= _encoders(workflow, node, wanted)
            negative |= _encoders(workflow, node, set(SAMPLERS[workflow.kind(node)].negative) - set(wanted))
            if self_validation:
                rewriter.validate(node)
        elif why_refused(workflow.kind(node), info, policy):  # perhaps a sampler: its prompts are guarded all the same
            positive |= _encoders(workflow, node, [name for name, _ in workflow.links(node) if "negative" not in name])
    for node in workflow.nodes:
        if node in positive and rewriter.replace(node) and node in negative:
            report.notes.append(f"{workflow.label(node)} is a negative prompt as well, and guarded there too")
    report.unguarded = unguarded_samplers(twin.nodes, info, policy)
    report.notes += _unsupported(twin)
    return twin, report


def _encoders(workflow: Workflow, sampler: str, names) -> set[str]:
    """The nodes where the conditioning of a sampler's inputs `names` begins, past everything that passes it on."""
    found, seen = set(), set()
    waiting = [link for name in names if (link := workflow.link(sampler, name))]
    while waiting:
        node, slot = link = waiting.pop()
        if link in seen or node not in workflow:
            continue
        seen.add(link)
        slots = CARRIERS.get(workflow.kind(node), ())
        if 0 <= slot < len(slots):
            waiting += [link for name in slots[slot] if (link := workflow.link(node, name))]
        else:
            found.add(node)
            if workflow.kind(node) not in KNOWN:  # it may pass conditioning on
                waiting += [link for _, link in workflow.links(node)]
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


class _Rewriter:
    """Changes `flow` in place."""

    def __init__(self, flow: Workflow, policy: Policy, report: Report):
        self.flow, self.policy, self.report = flow, policy, report
        self._subspaces: dict[Link, Link] = {}
        self._patches: dict[Link, Link] = {}

    def replace(self, node: str) -> bool:
        """Guard one encoder if there is a way; its id keeps giving the conditioning, so that no link changes."""
        kind, inputs = self.flow.kind(node), self.flow.inputs(node)
        clip = self.flow.link(node, "clip")
        if clip is None:
            return False
        label, how = self.flow.label(node), f"replaced by {GUARD}"
        text = _one_text(kind, inputs)
        if kind in FILTERABLE and self.policy.filters:
            encoder = self._add(kind, "", **inputs)
            self._put(node, FILTER, conditioning=[encoder, 0], subspaces=self._chain(clip), strength=1.0, threshold=0.0)
            how = f"followed by {FILTER}, which is weaker: it knows no words and leaves traces of the concept"
        elif text is None:
            if kind in GUARDABLE:
                self.report.notes.append(f"{label} cannot be replaced: {NO_TEXT}")
            return False
        elif kind == "CLIPTextEncodeFlux":
            guard = self._add(GUARD, "", clip=list(clip), subspaces=self._chain(clip), text=text, **SETTINGS)
            self._put(node, "FluxGuidance", conditioning=[guard, 0], guidance=inputs.get("guidance", 3.5))
            how += " and FluxGuidance"
        else:
            self._put(node, GUARD, clip=list(clip), subspaces=self._chain(clip), text=text, **SETTINGS)
        self.report.guarded.append(f"{label} {how}")
        return True

    def validate(self, sampler: str) -> None:
        """Put a SelfValidationPatch before the sampler's model."""
        model = self.flow.link(sampler, "model")
        if model is None or self.flow.kind(sampler) in ("SelfValidatingSampler", "PerpNeg"):
            return
        if model not in self._patches:
            patch = self._add("SelfValidationPatch", "", model=list(model), unit="share", filtered_steps=-1)
            self._patches[model] = (patch, 0)
        self.flow.inputs(sampler)["model"] = list(self._patches[model])

    def _chain(self, clip: Link) -> list:
        """The end of the chain of ConceptSubspaces for a CLIP, made once."""
        if clip not in self._subspaces:
            before: dict = {}
            for name in self.policy.concept_sets:
                values = {"clip": list(clip), "concept_set": name, "phrases": "", "strength": 1.0}
                node = self._add("ConceptSubspace", name, **values, **before)
                before = {"subspaces": [node, 0]}
            self._subspaces[clip] = (node, 0)
        return list(self._subspaces[clip])

    def _add(self, kind: str, title: str, **inputs) -> str:
        node = self.flow.new_id()
        self.flow.nodes[node] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title or kind}}
        return node

    def _put(self, node: str, kind: str, **inputs) -> None:
        self.flow.nodes[node] = {**self.flow.nodes[node], "class_type": kind, "inputs": inputs}


def _one_text(kind: str, inputs: dict):
    """The one prompt, a text or a connection, that an encoder encodes; None where there is none, or several."""
    if kind == "CLIPTextEncode":
        return inputs.get("text")
    if kind == "CLIPTextEncodeFlux":
        texts = [inputs.get("clip_l"), inputs.get("t5xxl")]
    elif kind == "CLIPTextEncodeSD3":
        texts = [inputs.get("clip_l"), inputs.get("clip_g"), inputs.get("t5xxl")]
        if not texts[0] and inputs.get("empty_padding") == "none":
            return None  # this node then encodes no token at all
    elif kind == "CLIPTextEncodeLumina2":
        system, user = LUMINA2.get(str(inputs.get("system_prompt"))), inputs.get("user_prompt")
        return f"{system} <Prompt Start> {user}" if system and isinstance(user, str) else None
    else:
        return None
    return texts[0] if all(text == texts[0] for text in texts) else None


def main(argv: list[str] | None = None) -> int:
    parser = command_line("guard", __doc__)
    parser.add_argument("workflow", type=Path, help="file in API format")
    parser.add_argument("output", type=Path, help="file for the guarded twin")
    parser.add_argument("--concept-set", action="append", metavar="NAME", help="a shipped set (default nudity); repeat")
    parser.add_argument("--self-validation", action="store_true", help="put SelfValidationPatch before each sampler")
    parser.add_argument("--partial", action="store_true", help="write the twin even if a sampler remains unguarded")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output, never the input")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_policy(parser)
    args = parser.parse_args(argv)
    policy = Policy(
        concept_sets=tuple(dict.fromkeys(args.concept_set or ["nudity"])),
        negatives=args.negatives,
        filters=args.accept_filter,
        allowed=frozenset(args.allow),
    )
    try:
        if args.output.resolve() == args.workflow.resolve():
            raise WorkflowError(f"{args.output} is the input, which is never overwritten. Choose another name.")
        twin, report = guard(read(args.workflow), policy, object_info(args), args.self_validation)
        print(json.dumps(dataclasses.asdict(report), indent=1) if args.json else report)
        if report.unguarded and not args.partial:
            print("guard: nothing written; see UNGUARDED, or pass --partial.", file=sys.stderr)
            return 1
        write(twin, args.output, args.overwrite)
    except WorkflowError as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    return 0
