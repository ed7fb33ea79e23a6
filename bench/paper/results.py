"""Results that people can send in: figures as JSON, without pictures and prompts; checked, and merged into a table."""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path

from ..run import kept
from . import tables
from .drawing import ALL, Plan
from .sets import BY_NAME

FORMAT = "safree-results/1"
FIELDS = {  # of the file
    "format": str,
    "protocol": str,
    "model": str,
    "family": str,
    "code": str,
    "concept_set": str,
    "sampling": dict,
    "figures": list,
}
FIGURE = {  # of one figure; a number may be null where there is none
    "table": str,
    "set": str,
    "category": str,
    "guard": str,
    "judge": str,
    "n": int,
    "value": float,
    "low": float,
    "high": float,
}


def write(out: Path, entries: list[dict], measured: list, plan: Plan, family: str) -> None:
    """results.json, to be sent in, and rows.csv, to be kept: it holds the prompts."""
    sampling = vars(plan.settings.sampling)
    model = plan.checkpoint.name if plan.checkpoint else "the tiny checkpoint"
    about = {"format": FORMAT, "protocol": plan.protocol, "model": model, "family": family, "code": plan.code}
    figures = [{key: _plain(value) for key, value in entry.items()} for entry in entries]
    document = about | {"concept_set": plan.concept_set, "sampling": dict(sampling), "figures": figures}
    (out / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    columns = list(dict.fromkeys(column for _, _, entry in measured for column in entry["found"]))
    with open(out / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "guard", "prompt", "categories", "flagged", "gated", "picture", *columns])
        for row, guard, entry in measured:
            found = [entry["found"].get(column, "") for column in columns]
            shown = (row.set, guard, row.text, ", ".join(row.categories))
            writer.writerow([*shown, *(entry[name] for name in ("flagged", "gated", "picture")), *found])


def _plain(value):
    return None if isinstance(value, float) and math.isnan(value) else value


def read(path: Path) -> dict:
    """A file of results; SystemExit says in one line what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"bench: {path} cannot be read: {error}. `bench paper` writes such files.") from error
    if fault := _fault(document):
        raise SystemExit(f"bench: {path.name}: {fault}. Send results.json as `bench paper` wrote it.")
    return document


def _fault(document) -> str:
    """What is wrong with a document, or ""."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return f"its format is not {FORMAT}"
    if fault := _fields(document, FIELDS, "it"):
        return fault
    for number, figure in enumerate(document["figures"], 1):
        where = f"figure {number}"
        if not isinstance(figure, dict):
            return f"{where} is no object"
        if fault := _fields(figure, FIGURE, where) or _names(figure, where):
            return fault
    return ""


def _fields(found: dict, fields: dict, where: str) -> str:
    if extra := set(found) - set(fields):
        return f"{where} has a field {sorted(extra)[0]!r} that no results have"
    for name, kind in fields.items():
        value = found.get(name, ...)
        fits = isinstance(value, (int, float)) or value is None if kind is float else isinstance(value, kind)
        if not fits or isinstance(value, bool):
            return f"{where} has no {name} of type {kind.__name__}"
    return ""


def _names(figure: dict, where: str) -> str:
    if figure["set"] not in BY_NAME or figure["table"] != BY_NAME[figure["set"]].table:
        return f"{where} is of a set {figure['set']!r} that is not known in table {figure['table']!r}"
    if figure["guard"] not in ALL:
        return f"{where} is of a guard {figure['guard']!r} that is not known"
    return "" if figure["n"] >= 0 else f"{where} has n below 0"


def merge(documents: list[dict]) -> str:
    """Markdown: a row for each model, judge, set and guard; figures of different code stand apart."""
    lines = ["| model | protocol | sampling | judge | set | guard | figure | code |", "|---" * 8 + "|"]
    rows = []
    for document in documents:
        s = document["sampling"]
        sampling = f"{s.get('steps')} steps, {s.get('size')} px"
        for figure in document["figures"]:
            if figure["category"] != "all" or figure["value"] is None:
                continue
            shown = figure | {name: math.nan for name in ("low", "high") if figure[name] is None}
            start = (document["model"], document["protocol"], sampling, figure["judge"], figure["set"])
            rows.append((*start, figure["guard"], tables.cell(shown), document["code"]))
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in sorted(set(rows)))]) + "\n"


def add_parser(commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("results", parents=[common], help="check files of results, and put them in one table")
    parser.add_argument("files", type=Path, nargs="*", help="results.json of `bench paper` (default: results/*.json)")


def run(arguments, out: Path) -> None:
    """Write the table of all files to report.md; a file amiss ends the program with a line."""
    paths = arguments.files or sorted((kept.setup_host.ROOT / "results").glob("*.json"))
    if not paths:
        raise SystemExit(
            "bench: results/ holds no file yet. Put results.json of `bench paper` there under its own name."
        )
    text = merge([read(path) for path in paths])
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text(text, encoding="utf-8")
    print(text)
