"""Many runs of one workflow from a table: a row each, resumed where an earlier call ended."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .check import known_to
from .flow import Trace
from .guards import ENCODING
from .knowledge import Knowledge
from .policy import Policy
from .workflow import Workflow, WorkflowError

DONE = "run.json"  # in the folder of a row: what was asked for, and what came of it
PROMPT, SEED = "prompt", "seed"  # columns that name no input of a node
BAR = 24  # characters

Row = dict[str, str]


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file with a line of column names; WorkflowError where it has none, or a row is too long."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [row for row in reader if any(row.values())]
            columns = reader.fieldnames
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise WorkflowError(f"{path} is no CSV file in UTF-8 ({error}).") from error
    if not columns or not all(columns) or not rows:
        raise WorkflowError(f"{path} needs a line of column names, such as prompt,seed, and a row below it.")
    if wrong := next((n for n, row in enumerate(rows, 1) if None in row or None in row.values()), None):
        raise WorkflowError(
            f"{path}: row {wrong} has not as many values as there are columns. Quote texts with commas."
        )
    return rows


def prompt_input(workflow: Workflow) -> tuple[str, str]:
    """(node, input) of the one text that the samplers of a workflow draw; WorkflowError where there are several."""
    known, trace = known_to(Policy(), {}), Trace()
    for node in workflow.nodes:
        facts = known.get(workflow.kind(node))
        if facts and facts.samples:
            trace.follow(workflow, known, node, facts.samples.positive)
    found = {place for end in trace.ends if end.node in workflow for place in _texts(workflow, known, end)}
    if len(found) != 1:
        raise WorkflowError(
            f"the column {PROMPT!r} needs a workflow with one prompt; this one has {len(found)}. Name the column "
            "NODE.INPUT instead, as in --set."
        )
    return found.pop()


def _texts(workflow: Workflow, known: Knowledge, end) -> list[tuple[str, str]]:
    kind = workflow.kind(end.node)
    encoder = known[kind].encodes.get((end.slot, end.lane)) if kind in known else None
    names = ("text",) if kind in ENCODING else encoder.texts if encoder else ()
    return [(end.node, name) for name in names if isinstance(workflow.inputs(end.node).get(name), str)]


class Batch:
    """The runs of `rows`; `change(workflow, column, value)` applies one value.

    Each has a folder of its own, named after its number, with its pictures, reports and DONE.
    """

    def __init__(self, workflow: Workflow, rows: list[Row], folder: Path, change: Callable[[Workflow, str, str], None]):
        self.workflow, self.rows, self.folder, self.change = workflow, rows, folder, change
        self.digest = hashlib.sha256(json.dumps(workflow.nodes, sort_keys=True).encode()).hexdigest()
        for row in rows:  # a wrong column is found before the first picture
            self._changed(row)

    def run(self, one: Callable[[Workflow, Path], list[Path]], failures: tuple[type[Exception], ...]) -> list[int]:
        """Run every row that is not done with `one(workflow, folder)`; the numbers of those that failed."""
        failed, started, fresh = [], time.monotonic(), 0
        for number, row in enumerate(self.rows, 1):
            folder = self.folder / f"{number:04d}"
            if self._is_done(folder, row):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            record = {"workflow": self.digest, "row": row}
            try:
                record["files"] = [path.name for path in one(self._changed(row), folder)]
            except failures as error:
                record["error"] = str(error)
                failed.append(number)
            (folder / DONE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            fresh += 1
            show(number, len(self.rows), (time.monotonic() - started) / fresh, record.get("error", ""))
        return failed

    def _changed(self, row: Row) -> Workflow:
        workflow = Workflow(copy.deepcopy(self.workflow.nodes))
        for column, value in row.items():
            self.change(workflow, column, value)
        return workflow

    def _is_done(self, folder: Path, row: Row) -> bool:
        """Whether an earlier call ran this row; WorkflowError where the folder holds something else."""
        try:
            record = json.loads((folder / DONE).read_text("utf-8"))
            asked = (record["workflow"], record["row"])
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkflowError(f"{folder / DONE} cannot be read ({error}). Choose another folder.") from error
        if asked != (self.digest, row):
            raise WorkflowError(f"{folder} holds the run of another workflow or row. Choose another folder.")
        return "error" not in record


def show(number: int, count: int, seconds: float, error: str) -> None:
    """The progress bar on a terminal, else a line; and what went wrong."""
    filled = BAR * number // count
    left = f"{seconds * (count - number):.0f} s left" if number < count else "done"
    text = f"[{'#' * filled}{'.' * (BAR - filled)}] {number} of {count}, {left}"
    if error:
        print(f"\rrow {number}: {error}".ljust(79), file=sys.stderr)
    end = "" if sys.stderr.isatty() and number < count else "\n"
    print(f"\r{text.ljust(79)}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)
