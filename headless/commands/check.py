"""Say whether every sampler of an API-format workflow is guarded by SAFREE. Standard library alone.

    python -m headless check workflow.json --concept-set nudity
    python -m headless check workflow.json --concept-set nudity --strangers --server 127.0.0.1:8188

The exit code is 0 when all samplers are guarded, 1 when one is not or a node is unknown, 2 when the file is no workflow
in API format. A ComfyUI server holds to a policy file itself (`python -m headless policy`, docs/hosting.md); in another
server of your own, call headless.check.unguarded_samplers on each workflow.

One rule: what reaches the model is guarded, whatever its branch. Each input that a sampler or guider draws with is
followed back, through nodes that are known to pass conditioning on, to where the text was encoded. That must be
SafreeConditioning in mode adaptive, with automatic threshold, full strength, and a subspace in effect. With
--concept-set, the shipped set of that name must be among its subspaces, made with the same CLIP and without phrases
added or exempted.

Negative prompts: with --strangers they must be guarded too, zero (ConditioningZeroOut), or lists of faults of a picture
('blurry, watermark'; headless/quality_words.py). Without, in one's own workflows, plain ones pass where they are surely
drawn away from: guidance scales that are numbers of 1 or more, no patch that may turn guidance round (FreSca below 1,
tone mapping, rising sigmas, ...), and no arithmetic on what samplers make.

Every class of node must stand in headless/packs with the reason why it may be there; in one's own workflows others may
be where no prompt goes through them, by their connections, and a note names them. Refused: all others (--allow NAME
for those that you know to be harmless), nodes that write or read models, latents or conditioning, training, API nodes,
some encoders that take a picture beside the prompt. Not checked: pictures that go in (img2img, ControlNet,
reference images), what a LoRA draws unasked, and text encoders that SAFREE does not support: there SafreeConditioning
stops the run with an error.
"""

from __future__ import annotations

import json
import sys

from ..check import known_in, unguarded_samplers
from ..files import read_document
from ..guard import unknown_nodes
from ..workflow import WorkflowError
from .options import add_policy, command_line, object_info, policy_of


def main(argv: list[str] | None = None) -> int:
    parser = command_line("check", __doc__)
    parser.add_argument(
        "workflow", help="file of the workflow: JSON in either format, or a PNG or WebP picture with it inside"
    )
    parser.add_argument("--concept-set", action="append", default=[], metavar="NAME", help="must be guarded against")
    parser.add_argument("--min-strength", type=float, default=1.0, help="least strength that counts (default 1)")
    parser.add_argument("--any-mode", action="store_true", help="any mode, threshold and self-validation counts")
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")
    add_policy(parser)
    args = parser.parse_args(argv)
    try:
        policy = policy_of(args, tuple(args.concept_set), strength=args.min_strength, any_mode=args.any_mode)
        info = object_info(args)
        document = read_document(args.workflow, info)
        workflow = document.workflow
        problems = unguarded_samplers(workflow.nodes, info, policy, document.types)
    except WorkflowError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([vars(problem) for problem in problems], indent=1))
    else:
        known = known_in(workflow, policy, info, document.types)
        samplers = sum(bool(known[kind].samples) for node in workflow.nodes if (kind := workflow.kind(node)) in known)
        passed = f"Every sampler is guarded ({samplers})." if samplers else "There is no sampler, so nothing to guard."
        print("\n".join(map(str, problems)) or passed)
        print("".join(f"note: {note}.\n" for note in unknown_nodes(workflow, known)), end="")
    return 1 if problems else 0
