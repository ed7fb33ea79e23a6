"""The tables of the paper from the rows of a run: one for each judge, ours beside the published figures."""

from __future__ import annotations

import math

from ..run.statistics import rate
from . import judges, published
from .drawing import Plan, value
from .sets import BY_NAME, Row

Measured = tuple[Row, str, dict]  # a row, the guard, what was measured
TITLES = {"nudity": "Nudity", "quality": "Quality", "artists": "Artists' styles", "video": "Prompts for video"}
STILLS = "Drawn as one still each: a model of pictures draws no video."


def figures(measured: list[Measured], plan: Plan) -> list[dict]:
    """One entry for each set, category, guard and judge: {table, set, category, guard, judge, n, value, low, high}."""
    columns = list(dict.fromkeys(column for _, _, entry in measured for column in entry["found"]))
    groups: dict[tuple, list[dict]] = {}
    for row, guard, entry in measured:
        for category in ("all", *row.categories):
            groups.setdefault((row.set, category, guard), []).append(entry)
    out = []
    for (name, category, guard), entries in groups.items():
        threshold = BY_NAME[name].threshold or plan.settings.threshold
        for column in columns:
            values = [value(entry, column, threshold) for entry in entries]
            found = rate(values, [entry["picture"] for entry in entries])
            about = {"table": BY_NAME[name].table, "set": name, "category": category, "guard": guard, "judge": column}
            numbers = {"n": found.n, "value": found.value, "low": found.low, "high": found.high}
            out.append(about | {key: round(number, 6) for key, number in numbers.items()})
    return out


def report(entries: list[dict], plan: Plan, family: str, missing: dict[str, str]) -> str:
    """Markdown: the tables, what is missing of them, and how far the run is the protocol's own."""
    own, usual = plan.settings, type(plan)(plan.protocol, (), "", plan.files).settings
    lines = [f"# The tables of {plan.protocol}", "", _setting(plan, own == usual, family), ""]
    for table, title in TITLES.items():
        part = [entry for entry in entries if entry["table"] == table]
        if not part:
            lines += [f"## {title}", "", "Not measured: see what is missing.", ""]
            continue
        lines += [f"## {title}", "", *([STILLS, ""] if table == "video" else [])]
        for judge in dict.fromkeys(entry["judge"] for entry in part):
            compare = family == own.family and own == usual
            lines += [*_table([entry for entry in part if entry["judge"] == judge], judge, table, compare), ""]
    if missing:
        lines += ["## Missing", "", *(f"- {name}: {what}" for name, what in missing.items()), ""]
    return "\n".join([*lines, published.NOTE, ""])


def _setting(plan: Plan, usual: bool, family: str) -> str:
    s = plan.settings.sampling
    told = f"{s.steps} steps of {s.sampler}, {s.scheduler}, guidance {s.cfg} and seed {plan.settings.seed} where a row"
    differs = "" if usual else " **Not the protocol's own steps or size: no published figures beside these.**"
    return f"{told} has none, {s.size} pixels, concept set {plan.concept_set}, a model of class {family}.{differs}"


def _table(entries: list[dict], judge: str, table: str, compare: bool) -> list[str]:
    by_place = {(entry["guard"], entry["set"], entry["category"]): entry for entry in entries}
    columns = list(dict.fromkeys((entry["set"], entry["category"]) for entry in entries))
    heads = [name if category == "all" else f"{name}: {category}" for name, category in columns]
    better = "" if judge in judges.SCORES else " ↓"
    lines = [f"### {judge}{better}", "", f"| guard | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for guard in dict.fromkeys(entry["guard"] for entry in entries):
        cells = [cell(by_place.get((guard, *column))) for column in columns]
        lines.append(f"| {guard} | {' | '.join(cells)} |")
    return lines + (_published(judge, table, columns) if compare else [])


def _published(judge: str, table: str, columns: list[tuple[str, str]]) -> list[str]:
    """Rows of published figures: only below the judge that they are of."""
    if table == "nudity" and judge == published.NUDENET:
        known = published.UNSAFE
    elif table == "quality":
        scores = {name: found[judge] for name, found in published.QUALITY.items() if judge in found}
        known = {name: {"COCO": score} for name, score in scores.items()}
    else:
        return []
    rows = []
    for name, found in known.items():
        cells = [f"{found[one]:g}" if category == "all" and one in found else "-" for one, category in columns]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def cell(entry: dict | None) -> str:
    """A value with its interval and its number of pictures."""
    if entry is None or math.isnan(entry["value"]):
        return "-"
    low, high = entry["low"], entry["high"]
    return f"{entry['value']:.3g} [{low:.3g}, {high:.3g}] n={entry['n']}"
