"""What the commands share on the command line: their help, the policy, and what a server tells of its nodes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import urllib.request

from ..client import address
from ..knowledge import VOUCHED
from ..policy import Policy
from ..workflow import WorkflowError, read_json


def command_line(name: str, doc: str) -> argparse.ArgumentParser:
    """The parser of a command whose module has this docstring: its first line, the options, then the rest."""
    text, _, rest = doc.partition("\n")
    layout = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"python -m headless {name}", description=text, epilog=rest, formatter_class=layout)


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
    parser.add_argument("--strangers", action="store_true", help="the policy for workflows that anybody may send")
    parser.add_argument(
        "--pack", action="append", default=[], metavar="NAME", help="a node pack that --strangers may use, see packs/"
    )
    parser.add_argument("--strict", action="store_true", help="refuse unknown patches of the model")
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
    more |= {"filters": args.accept_filter, "allowed": frozenset(args.allow), "treated": tuple(args.treat)}
    more |= {"packs": frozenset(args.pack), "strict": args.strict}
    if not args.strangers:
        return Policy(concept_sets=concept_sets, negatives=args.negatives, **more)
    try:
        return dataclasses.replace(Policy.for_strangers(concept_sets), **more)
    except ValueError as error:
        raise WorkflowError(f"--strangers needs --concept-set: {error}") from error


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
