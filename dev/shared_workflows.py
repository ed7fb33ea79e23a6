"""What guard makes of a folder of workflows as people share them: figures, and a table of every refusal's reason.

    python -m dev.shared_workflows FOLDER [--concept-set NAME] [--json]

Files may be in any format that `headless guard` reads. Counted: guarded and passing the check, negative prompts that
the twin has otherwise than the file, originals with a text prompt that the check lets pass, and files that end in an
error of ours.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import sys
import traceback
from pathlib import Path

from headless.check import known_to, unguarded_samplers
from headless.files import read_document
from headless.flow import Trace
from headless.guard import Report, guard
from headless.knowledge import Knowledge
from headless.policy import Policy
from headless.workflow import Workflow, WorkflowError

SUFFIXES = {".json", ".png", ".webp"}


@dataclasses.dataclass
class Summary:
    """Figures of a folder. refusals: reason -> names of files; changed, passed, crashed, unread: names of files."""

    files: int = 0
    guarded: int = 0
    without_sampler: int = 0
    negatives: int = 0
    changed: list[str] = dataclasses.field(default_factory=list)
    passed: list[str] = dataclasses.field(default_factory=list)
    crashed: list[str] = dataclasses.field(default_factory=list)
    unread: dict[str, str] = dataclasses.field(default_factory=dict)
    refusals: dict[str, list[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))

    def __str__(self) -> str:
        read = self.files - len(self.unread)
        lines = [
            f"{self.files} files, {read} read; guarded and passing the check: {self.guarded} "
            f"({self.guarded / max(read, 1):.3f}), {self.without_sampler} of them without a sampler",
            f"negative prompts: {self.negatives}, changed: {len(self.changed)} {' '.join(self.changed)}",
            f"originals with a text prompt that the check accepts: {len(self.passed)} {' '.join(self.passed)}",
            f"crashes: {len(self.crashed)} {' '.join(self.crashed)}",
            "",
            "| reason of a refusal | files |",
            "|---|---|",
        ]
        rows = sorted(self.refusals.items(), key=lambda row: (-len(row[1]), row[0]))
        lines += [f"| {reason} | {len(names)}: {' '.join(names)} |" for reason, names in rows]
        lines += [f"| not read: {reason} | 1: {name} |" for name, reason in self.unread.items()]
        return "\n".join(lines)


def negatives(workflow: Workflow, known: Knowledge) -> dict[str, list]:
    """Of each sampler that the tables know, what its negative inputs come from: (node, class, its own values)."""
    found = {}
    for node in workflow.nodes:
        facts = known.get(workflow.kind(node))
        if facts and facts.samples and facts.samples.negative:
            trace = Trace()
            trace.follow(workflow, known, node, facts.samples.negative)
            ends = [end for end in trace.ends if end.node in workflow]
            found[node] = sorted((end.node, workflow.kind(end.node), str(workflow.inputs(end.node))) for end in ends)
    return found


def reasons(report: Report) -> set[str]:
    """Why a workflow is not guarded, without the numbers of its nodes."""
    found = set()
    for problem in report.unguarded:
        for reason in problem.reasons:
            about = problem.class_type + " " if reason.startswith(("is ", "a text", "takes ", "comes ")) else ""
            found.add(about + " ".join(part for part in reason.replace("(node ", "(").split() if part[-1:] != ")"))
    return found


def has_prompt(workflow: Workflow, known: Knowledge) -> bool:
    """Whether a node encodes a text, as far as the tables know."""
    facts = [known.get(workflow.kind(node)) for node in workflow.nodes]
    return any(one and (one.encodes or one.texts) for one in facts)


def add(summary: Summary, path: Path, policy: Policy, known: Knowledge) -> None:
    """Count one file."""
    summary.files += 1
    try:
        document = read_document(path)
    except WorkflowError as error:
        summary.unread[path.name] = str(error).removeprefix(f"{path}: ")
        return
    workflow = document.workflow
    twin, report = guard(workflow, policy, {}, drawn=document.types)
    before, after = negatives(workflow, known), negatives(twin, known)
    summary.negatives += sum(map(len, before.values()))
    if any(before[node] != after.get(node) for node in before):
        summary.changed.append(path.name)
    if has_prompt(workflow, known) and not unguarded_samplers(workflow.nodes, None, policy, document.types):
        summary.passed.append(path.name)
    if report.unguarded:
        for reason in reasons(report):
            summary.refusals[reason].append(path.name)
    else:
        summary.guarded += 1
        summary.without_sampler += not report.samplers


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--concept-set", default="nudity")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    policy, summary = Policy(concept_sets=(args.concept_set,)), Summary()
    known = known_to(policy, {})
    for path in sorted(path for path in args.folder.iterdir() if path.suffix in SUFFIXES):
        try:
            add(summary, path, policy, known)
        except Exception:  # that is what is counted
            traceback.print_exc()
            summary.crashed.append(path.name)
    print(json.dumps(dataclasses.asdict(summary), indent=1) if args.json else summary)
    return 1 if summary.crashed or summary.passed else 0


if __name__ == "__main__":
    sys.exit(main())
