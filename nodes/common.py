"""What the nodes share."""

from __future__ import annotations

import json

from comfy_api.latest import io

from .. import safree
from ..host.prompt.guarded import Guarded
from ..host.sampling.switching import NEGATIVES, ON_PROBLEMS, UNITS

CATEGORY = "SAFREE"
ALIASES = ["nsfw", "safety", "safe", "unlearn", "concept erasure", "negative", "censor", "SAFREE"]
ConceptSubspaces = io.Custom("CONCEPT_SUBSPACE")  # tuple[ConceptSubspace, ...]
ConceptPresences = io.Custom("CONCEPT_PRESENCE")  # tuple[ConceptPresence, ...]
SafetyJudges = io.Custom("SAFETY_JUDGE")  # tuple[Judge, ...]

UNIT = io.Combo.Input(
    "unit",
    options=list(UNITS),
    tooltip="How the self-validated t' counts. share: as a share of the schedule's steps, right for "
    "any length. steps: as that many steps, what the paper's 50-step code does.",
)
FILTERED_STEPS = io.Int.Input(
    "filtered_steps",
    default=-1,
    min=-1,
    max=10000,
    tooltip="-1: as many steps as self-validation says. Otherwise exactly that many.",
)
ON_PROBLEM = io.Combo.Input(
    "on_problem",
    options=list(ON_PROBLEMS),
    default="error",
    optional=True,  # API-format workflows made before this input have no value for it
    tooltip="Where the guard cannot hold for all that is sampled: unguarded, edited or lost conditioning. error: stop. "
    "warn: go on, and say 'guard not active' in the log and the report. again: error, but where a concept of "
    "LatentGuardPatch is seen in the result, sample once more at full strength.",
)
NEGATIVES_INPUT = io.Combo.Input(
    "negatives",
    options=list(NEGATIVES),
    default="subtracting",
    optional=True,
    tooltip="subtracting: a negative prompt may say anything and keeps all its words, as long as each step draws away "
    "from it; that is measured. guarded: it has to come from SafreeConditioning or be zero, and its flagged words are "
    "taken out; for graphs of strangers, who can turn a subtraction round with the latents of several samplers. "
    "cleaned: the same for one from SafreeConditioning, and a plain one is measured; a server with a policy for "
    "strangers sets it.",
)


def naming(node: type[io.ComfyNode]):
    """Context manager that puts the node's name before the text of a SafreeError."""
    return safree.naming(lambda: node.define_schema().node_id)


def lines(text: str) -> list[str]:
    """The lines of a multiline widget that hold something."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def guarded_output(guarded: Guarded, conditioning: list) -> io.NodeOutput:
    """What the nodes that guard one prompt put out: CONDITIONING, report and number of flagged words."""
    report = guarded.report()
    return io.NodeOutput(conditioning, as_json(report), report["flagged"], ui={"safree_report": [report]})


def as_json(report: dict) -> str:
    return json.dumps(report, indent=1, ensure_ascii=False)
