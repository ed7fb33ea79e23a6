"""Write the guarded twin of a workflow: its prompts go through SAFREE. Standard library alone.

    python -m headless guard workflow.json guarded.json --concept-set nudity --concept-set violence

Every text encoder whose conditioning reaches the positive input of a sampler, a guider or a node that samples inside
(FaceDetailer, UltimateSDUpscale, ...) becomes SafreeConditioning, with one chain of ConceptSubspaces for each CLIP.
Conditioning is followed through pipes, switches and everything else that packs/*.json knows to pass it on. Samplers
and negative prompts stay as they are; a prompt that is both is copied, and the copy guarded.

Exit code: 0 when every sampler is guarded; 1, and nothing is written unless --partial, when one is not; 2 when a file
cannot be read or written. A node class that packs/*.json does not name is judged by what it is connected with: where
pictures, masks, sound, numbers, text or latents go through it, it changes no guard, and a line says so; an unknown
patch of the model is named to look at (--strict refuses it); all else is refused. --server lets a running ComfyUI say
what it knows of a class, --treat NAME=WHAT lets you (harmless, sampler, carrier or encoder); the report ends with a
line of them to paste. Text encoders that SAFREE does not support are noted: there the guarded workflow stops with an
error instead of a picture.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from ..files import Document, read_document
from ..guard import guard
from ..workflow import Workflow, WorkflowError, write
from .options import add_policy, command_line, object_info, policy_of


def as_it_was(document: Document, twin: Workflow) -> dict:
    """What to write: a file like the one that was read. In API format where the editor's own cannot hold the twin."""
    try:
        return document.with_nodes(twin.nodes)
    except WorkflowError as error:
        nodes = document.as_sent(twin.nodes)
        print(f"guard: written in API format, since {error}", file=sys.stderr)
        return nodes


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
        twin, report = guard(document.workflow, policy, info, args.self_validation, document.types)
        print(json.dumps(dataclasses.asdict(report), indent=1) if args.json else report)
        if report.unguarded and not args.partial:
            print("guard: nothing written; see UNGUARDED, or pass --partial.", file=sys.stderr)
            return 1
        write(as_it_was(document, twin), args.output, args.overwrite)
    except WorkflowError as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    return 0
