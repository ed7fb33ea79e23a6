"""Say whether every sampler of an API-format workflow is guarded by SAFREE. Standard library alone.

    python -m headless check workflow.json --concept-set nudity --server 127.0.0.1:8188

The exit code is 0 when all samplers are guarded, 1 when one is not or a node is unknown, 2 when the file is no workflow
in API format. In a server of your own, call headless.check.unguarded_samplers on the body of each POST /prompt.

Checked: each input that a sampler or guider draws its picture from is followed back, through nodes that are known to
pass conditioning on, to where the text was encoded. That must be SafreeConditioning in mode adaptive, with automatic
threshold, full strength, and a subspace in effect. With --concept-set, the shipped set of that name must be among its
subspaces, made with the same CLIP and without phrases added or exempted. Negative prompts may be plain where the
guidance scale is a number of 1 or more; below 1 a sampler draws what the negative says.

Refused, because nobody can tell from the workflow what they do: nodes that are not ComfyUI's own (--allow NAME for
those that you know), API nodes, conditioning from files, encoders that take a second text or a picture beside the
prompt (ControlNet text, GLIGEN boxes, PhotoMaker, Qwen-Image-Edit). Not checked: pictures that go in (img2img,
ControlNet, Redux, reference images), what a LoRA draws unasked, and text encoders that SAFREE does not support: there
SafreeConditioning stops the run with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request

from .check import unguarded_samplers
from .client import address
from .knowledge import VOUCHED
from .policy import Policy
from .workflow import WorkflowError, command_line, read, read_json


def add_policy(parser: argparse.ArgumentParser) -> None:
    """The options that the commands check and guard share."""
    parser.add_argument(
        "--treat",
        action="append",
        default=[],
        type=_treatment,
        metavar="NAME=WHAT",
        help=f"what an unknown node class is: {', '.join(VOUCHED)}; conditioning into a harmless one must be guarded",
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="NAME", help="the same as --treat NAME=harmless"
    )
    parser.add_argument("--negatives", action="store_true", help="negative prompts must be guarded too")
    parser.add_argument(
        "--accept-filter", action="store_true", help="SafreeFilterConditioning, which is weaker, counts"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--server", metavar="HOST:PORT", help="a running ComfyUI, to recognise its version's own nodes")
    known.add_argument("--object-info", metavar="FILE", help="the same from a saved answer to GET /object_info")


def _treatment(text: str) -> tuple[str, str]:
    """(class, what it is) of NAME=WHAT; the name may hold an equals sign itself."""
    name, equals, what = text.rpartition("=")
    if not equals or not name or what not in VOUCHED:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=WHAT with one of {', '.join(VOUCHED)} for WHAT")
    return name, what


def policy_of(args: argparse.Namespace, concept_sets: tuple[str, ...], **more) -> Policy:
    """The policy that the shared options describe."""
    shared = {"negatives": args.negatives, "filters": args.accept_filter, "allowed": frozenset(args.allow)}
    return Policy(concept_sets=concept_sets, treated=tuple(args.treat), **shared, **more)


def object_info(args: argparse.Namespace) -> dict:
    """What --server or --object-info says about node classes; WorkflowError when it cannot be had."""
    if args.object_info:
        return read_json(args.object_info)
    if not args.server:
        return {}
    try:
        with urllib.request.urlopen(f"http://{address(args.server)}/object_info", timeout=60) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise WorkflowError(f"no answer from a ComfyUI server at {args.server}: {error}.") from error


def main(argv: list[str] | None = None) -> int:
    parser = command_line("check", __doc__)
    parser.add_argument("workflow", help="file in API format")
    parser.add_argument("--concept-set", action="append", default=[], metavar="NAME", help="must be guarded against")
    parser.add_argument("--min-strength", type=float, default=1.0, help="least strength that counts (default 1)")
    parser.add_argument("--any-mode", action="store_true", help="any mode, threshold and self-validation counts")
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")
    add_policy(parser)
    args = parser.parse_args(argv)
    policy = policy_of(args, tuple(args.concept_set), strength=args.min_strength, any_mode=args.any_mode)
    try:
        problems = unguarded_samplers(read(args.workflow).nodes, object_info(args), policy)
    except WorkflowError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([vars(problem) for problem in problems], indent=1))
    else:
        print("\n".join(map(str, problems)) or "Every sampler is guarded.")
    return 1 if problems else 0
