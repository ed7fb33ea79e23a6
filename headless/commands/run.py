"""Run a workflow on a ComfyUI server; fetch its pictures and SAFREE's reports. Standard library alone.

    python -m headless run workflow.json out --set 6.text="a cat" --seed 7
    python -m headless run workflow.json out --csv prompts.csv

What the workflow saves (pictures, videos,
sound) goes into the output folder under the name that the server gave it, and the report of each SAFREE node as JSON;
a file that exists already is never replaced, the new one gets a number. The paths are printed on stdout, progress
and what the guard found on stderr.

--set takes NODE.INPUT=VALUE, once for each input; NODE is an id, as in the file, or a title that no other node has.
VALUE is JSON (3, 0.5, true, "text"), or else a text as it stands. --seed sets every seed and noise_seed.
--dry-run prints the workflow in API format as it would be sent, and sends nothing: of a file of the editor with the
values that the editor would send, the nodes that fetch the reports included.

--csv runs the workflow once for each row of a table. Its columns are named prompt (where the workflow has one), seed or
NODE.INPUT. Each row has a folder, out/0001 and so on, with its pictures, its reports and run.json; the same command
again goes on where the last one ended, and tries again what failed.

Exit code: 0 done; 1 a node failed; 2 the workflow or an option is wrong, or the server refused it or an output of it;
3 no server, or it went away; 4 interrupted on the server; 130 Ctrl-C (the server goes on with the workflow).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

from ..batch import PROMPT, SEED, Batch, prompt_input, read_table
from ..client import SILENCE, Client, PromptFailed, PromptInterrupted, PromptRejected, Result, address
from ..files import read_document
from ..guards import GUARDS
from ..workflow import NeedsServer, Workflow, WorkflowError
from .options import command_line

SEEDS = ("seed", "noise_seed")
REPORTING = dict.fromkeys((*GUARDS, "SelfValidatingSampler", "SafreeMeasureConcept"), 1)  # slot of the report
REPORT = "safree_report_of_"  # id of the node that shows a report, before the id of the node that made it


def override(workflow: Workflow, assignment: str) -> None:
    """Apply NODE.INPUT=VALUE."""
    target, equals, text = assignment.partition("=")
    found = [
        (node, target[len(name) + 1 :])
        for node in workflow.nodes
        for name in {node, workflow.nodes[node].get("_meta", {}).get("title")}
        if name and target.startswith(f"{name}.")
    ]
    found = [(node, name) for node, name in found if name in workflow.inputs(node)]
    if not equals or len(found) != 1:
        known = [f"{node}.{name}" for node in workflow.nodes for name in workflow.inputs(node)]
        what = "no input" if not found else "several inputs"
        raise WorkflowError(f"--set {assignment}: {what} of that name. Write NODE.INPUT=VALUE with {', '.join(known)}.")
    node, name = found[0]
    inputs = workflow.inputs(node)
    inputs[name] = text if isinstance(inputs[name], str) and not text.startswith('"') else _value(text)


def _value(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return text


def reseed(workflow: Workflow, seed: int) -> None:
    """Set every seed that is not connected to another node."""
    seeds = [
        (inputs, name)
        for node in workflow.nodes
        for inputs in [workflow.inputs(node)]
        for name in SEEDS
        if type(inputs.get(name)) is int
    ]
    if not seeds:
        raise WorkflowError("--seed: no node of this workflow has a seed.")
    for inputs, name in seeds:
        inputs[name] = seed


def with_reports(workflow: Workflow) -> dict:
    """The graph plus a node for each report: a server gives cached results again only for output nodes."""
    shown = {
        f"{REPORT}{node}": {"class_type": "PreviewAny", "inputs": {"source": [node, REPORTING[kind]]}}
        for node in workflow.nodes
        if (kind := workflow.kind(node)) in REPORTING
    }
    return {**workflow.nodes, **shown}


def save(folder: Path, name: str, data: bytes) -> Path:
    """Write a new file; one that exists already stays, and the new one is called 'name (2)'."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).lstrip(".") or "unnamed"
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            with open(path, "xb") as file:
                file.write(data)
            return path
        except FileExistsError:
            number += 1
        except OSError as error:
            raise WorkflowError(f"{path}: {error.strerror}.") from error


def collect(client: Client, workflow: Workflow, result: Result, folder: Path) -> list[Path]:
    """Save the files and reports of a finished prompt."""
    paths = []
    for node, output in sorted(result.outputs.items()):
        if node.startswith(REPORT):
            made_by, report = node.removeprefix(REPORT), output["text"][0]
            paths.append(save(folder, f"report_{made_by}.json", report.encode()))
            tell(workflow, made_by, report)
            continue
        files = [entry for entries in output.values() if isinstance(entries, list) for entry in entries]
        for file in files:
            if isinstance(file, dict) and {"filename", "subfolder", "type"} <= file.keys() and file["type"] != "input":
                query = {key: file[key] for key in ("filename", "subfolder", "type")}
                paths.append(save(folder, file["filename"], client.get("/view", **query)))
    return paths


def say(text: str, end: str = "\n") -> None:
    """Write a line to stderr over the one that `waiting` left there."""
    print(f"\r{text.ljust(79)}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def waiting(ahead: int) -> None:
    if sys.stderr.isatty():
        say(f"waiting behind {ahead} other prompt{'s' * (ahead > 1)}" if ahead else "running", end="")


def tell(workflow: Workflow, node: str, report: str) -> None:
    """Say what a report of SAFREE found; programs read its `state` and `reason` in the file."""
    try:
        said = json.loads(report)["verdict"]
    except (ValueError, KeyError, TypeError):
        said = "its report cannot be read"
    say(f"{workflow.label(node)}: {said}")


def run(args: argparse.Namespace) -> int:
    workflow = read_as_sent(args)
    for assignment in args.set:
        override(workflow, assignment)
    if args.seed is not None:
        reseed(workflow, args.seed)
    if args.dry_run:
        print(json.dumps(with_reports(workflow), indent=1, ensure_ascii=False))
        return 0
    client = Client(address(args.server), args.silence, args.key)
    if args.csv:
        return run_table(args, workflow, client)
    result = run_once(client, workflow, args.folder, print)
    if result.refused:
        return fail(2, f"the server left out outputs that it could not run: {result.refused}")
    return 0


def read_as_sent(args: argparse.Namespace) -> Workflow:
    """The workflow as the editor sends it; the server is asked what its nodes' widgets are called where need be.

    Of a choice {a|b} in a text one word is taken: the same for the same --seed, and for all calls with one table.
    """
    fixed = args.seed is not None or args.csv
    choose = random.Random(args.seed or 0).choice if fixed else random.choice  # noqa: S311  a word, no secret
    try:
        return Workflow(read_document(args.workflow).as_sent(choose=choose))
    except NeedsServer:
        info = Client(address(args.server), args.silence).get_json("/object_info")
        return Workflow(read_document(args.workflow, info).as_sent(choose=choose))


def run_once(client: Client, workflow: Workflow, folder: Path, done: Callable[[Path], None]) -> Result:
    """Run a workflow and save what it made; `done` is told each path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkflowError(f"{folder}: {error.strerror}.") from error
    result = client.run(with_reports(workflow), waiting)
    for path in collect(client, workflow, result, folder):
        done(path)
    return result


def run_table(args: argparse.Namespace, workflow: Workflow, client: Client) -> int:
    def one(changed: Workflow, folder: Path) -> list[Path]:
        paths: list[Path] = []
        result = run_once(client, changed, folder, paths.append)
        if result.refused:
            raise result.refused
        return paths

    failed = Batch(workflow, read_table(args.csv), args.folder, change).run(one, (PromptRejected, PromptFailed))
    if failed:
        return fail(1, f"row {', '.join(map(str, failed))} failed; see run.json there. The same command tries again.")
    return 0


def change(workflow: Workflow, column: str, value: str) -> None:
    """Apply a value of a table."""
    if column == PROMPT:
        node, name = prompt_input(workflow)
        workflow.inputs(node)[name] = value
    elif column == SEED:
        if not value.strip().isdecimal():
            raise WorkflowError(f"seed {value!r} of the table is no whole number.")
        reseed(workflow, int(value))
    else:
        override(workflow, f"{column}={value}")


def fail(code: int, text: str) -> int:
    print(f"run: {text}", file=sys.stderr)
    return code


def main(argv: list[str] | None = None) -> int:
    parser = command_line("run", __doc__)
    parser.add_argument("workflow", type=Path, help="file of the workflow, in either format or inside a picture")
    parser.add_argument("folder", type=Path, help="where pictures and reports go")
    parser.add_argument("--server", default="127.0.0.1:8188", metavar="HOST:PORT", help="default %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="change an input")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="run once for each row of a table")
    parser.add_argument("--seed", type=int, help="for every sampler")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, as JSON, and send nothing")
    parser.add_argument(
        "--silence",
        type=float,
        default=SILENCE,
        metavar="SECONDS",
        help="give up without an answer (default %(default)s)",
    )
    parser.add_argument("--key", default="", help="your key, for a server with a policy file")
    args = parser.parse_args(argv)
    try:
        return run(args)
    except PromptRejected as error:
        return fail(2, f"the server refused the workflow: {error}")
    except PromptFailed as error:
        return fail(1, str(error))
    except PromptInterrupted as error:
        return fail(4, f"{error}.")
    except TimeoutError:
        return fail(3, f"no answer from {args.server} for {args.silence:g} s. Raise --silence for a slow machine.")
    except KeyboardInterrupt:
        return fail(130, "stopped; the server goes on with the workflow.")
    except ValueError as error:
        return fail(2, str(error))
    except OSError as error:
        return fail(3, f"no connection to a ComfyUI server at {args.server}: {error}.")
