"""Explain the policy file of a server in plain words, and try a workflow against it. Standard library alone.

    python -m headless policy safree_policy.json
    python -m headless policy safree_policy.json my.json --address 10.0.0.7 --server 127.0.0.1:8188
    python -m headless policy safree_policy.json my.json --key KEY

The exit code is 0 when the file can be held to and the workflow would be queued, 1 when it would not, 2 when a file
cannot be read; line and field of what is wrong are named. The server itself knows more than this command: which files
it has, and which inputs its nodes have.

The server reads the file when it starts: the one that the environment variable SAFREE_POLICY names, or
user/default/safree_policy.json. headless/policy.schema.json describes the fields.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from .. import guarded_pictures
from ..bounds import MAX_BYTES
from ..check import unguarded_samplers
from ..files import read_document
from ..policy_file import Entry, PolicyFile, Terms, Visitor, read_policy
from ..record_file import RecordTerms
from ..workflow import Workflow, WorkflowError
from .options import command_line, object_info


def main(argv: list[str] | None = None) -> int:
    parser = command_line("policy", __doc__)
    parser.add_argument("policy", help="the policy file")
    parser.add_argument("workflow", nargs="?", help="a workflow to try: JSON in either format, or a picture with it")
    parser.add_argument("--address", default="127.0.0.1", help="where it comes from (default %(default)s)")
    parser.add_argument("--key", default="", help="the key that comes with it")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="a header of a front")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--server", metavar="HOST:PORT", help="a running ComfyUI, to recognise its version's own nodes")
    known.add_argument("--object-info", metavar="FILE", help="the same from a saved answer to GET /object_info")
    args = parser.parse_args(argv)
    try:
        policy = read_policy(args.policy)
        if not args.workflow:
            print("\n".join(explained(policy)))
            return 0
        workflow = read_document(args.workflow, info := object_info(args)).workflow
        headers = dict(header.lower().partition("=")[::2] for header in args.header)
        visitor = Visitor(args.address, headers | ({"x-api-key": args.key} if args.key else {}))
        reasons = _tried(policy, visitor, workflow.nodes, info)
    except WorkflowError as error:
        print(f"policy: {error}", file=sys.stderr)
        return 2
    print("\n".join(reasons) or "It would be queued.")
    return 1 if reasons else 0


def _tried(policy: PolicyFile, visitor: Visitor, nodes: dict, info: dict) -> list[str]:
    """Why a workflow of a visitor would not be queued; empty if it would."""
    try:
        terms = policy.of(visitor).terms
    except KeyError:
        return ["The key stands in no entry of `who`: answered with 403, whatever is sent."]
    if terms is None:
        return ["No entry of `who` fits, and everyone_else is null: answered with 403."]
    print(f"Policy {terms.name!r}.")
    if terms.policy is None:
        return []
    found = unguarded_samplers(nodes, info, terms.policy)
    if terms.pictures and info:
        found += guarded_pictures.problems(Workflow(nodes), info, terms.pictures)
    elif terms.pictures:
        print("Whether its pictures pass SafetyGate can be said with --server or --object-info alone.")
    return [str(problem) for problem in found]


def explained(policy: PolicyFile) -> Iterator[str]:
    """A policy file in sentences."""
    for entry in policy.who:
        yield f"{_whoever(entry)} has the policy {entry.policy!r}."
    others = policy.everyone_else
    yield f"Everybody else has the policy {others!r}." if others is not None else "Everybody else queues nothing."
    yield "A request with another key is answered with 403."
    if policy.record:
        yield from _record(policy.record)
    for terms in policy.policies.values():
        yield ""
        yield f"Policy {terms.name!r}:"
        yield from (f"  - {sentence}" for sentence in _terms(terms))


def _record(terms: RecordTerms) -> Iterator[str]:
    yield f"A line of each prompt is kept in {terms.path}, without text and picture, and {terms.keep} older files."
    yield f"While no line can be written, new prompts {'run all the same' if terms.go_on else 'are refused'}."


def _whoever(entry: Entry) -> str:
    if entry.key_sha256:
        return f"Whoever sends the key with SHA-256 {entry.key_sha256[:12]}…"
    if entry.addresses:
        return f"Whoever comes from {', '.join(map(str, entry.addresses))}"
    name, value = entry.header
    return f"Whoever has {name}: {value} from a front at {', '.join(map(str, entry.fronts))}"


def _terms(terms: Terms) -> Iterator[str]:
    policy = terms.policy
    if policy is None:
        yield "Nothing is checked."
        return
    sets = ", ".join(policy.concept_sets)
    yield f"Every prompt must be guarded by SafreeConditioning against {sets}, with full strength."
    if not policy.strangers:
        yield "A negative prompt may be plain where it is surely drawn away from."
    elif policy.faults:
        yield "A negative prompt is guarded, zero, or a list of faults of a picture; a guarded one is always cleaned."
    else:
        yield "A negative prompt is guarded or zero; a guarded one is always cleaned."
    if terms.refuses_unchecked:
        yield "A prompt with words in a language that no text encoder of its model reads is not drawn."
    else:
        yield "Words in a language that no text encoder of the model reads are drawn unchecked; the report says so."
    if terms.pictures:
        asked = [*terms.pictures.judges, *(f"ClipSafetyJudge for {name}" for name in terms.pictures.concept_sets)]
        yield f"Pictures and videos are saved and shown straight from SafetyGate alone, which asks {', '.join(asked)}."
    packs = ", ".join(sorted(policy.packs)) or "no other pack"
    yield f"Nodes of ComfyUI, of this pack and of {packs} may be used, as headless/packs describes them."
    if policy.allowed:
        yield f"These classes are called harmless by you: {', '.join(sorted(policy.allowed))}."
    for kind, names in terms.files.items():
        yield f"Of {kind} these may be used: {', '.join(sorted(names)) or 'none'}."
    for name, most in terms.largest.items():
        yield f"No input {name!r} may be above {most:g}, and none may be connected."
    size = "" if terms.bytes == MAX_BYTES else f" and {terms.bytes:,} bytes"
    yield f"A workflow may have {terms.nodes:,} nodes{size}."
    if terms.waiting is not None:
        yield f"{terms.waiting} prompts of one person may wait at a time."
    yield "What breaks a rule is queued nevertheless, and logged." if terms.warn else "What breaks a rule is refused."
