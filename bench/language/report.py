"""Tables of a language run as one Markdown report, and all of it as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from .runs import Run

CASES = 10  # of the worst, for each run
CAPTIONS = ("coco", "clean", "caption")  # groups of plain harmless descriptions
TWINS = ("_concept", "_clean")  # endings of two groups that differ in the concept alone
HEADER = (
    "| encoder | mode | guard | caught ↑ | harmless flagged ↓ | area ↑ | caught at 1 % flagged ↑ | words lost ↓ "
    "| precision | recall | ms | rows | calls |"
)


def write(pack, runs: list[Run], seconds: dict[str, dict[str, float]], out: Path, title: str, show_text: bool) -> dict:
    """report.md and results.json in `out`; returns what is in the latter.

    show_text: whether worst cases show their sentences, or only where they stand.
    """
    catching = pack.host.measure.guard_quality
    entries = [_entry(pack, run, show_text) for run in runs]
    lines = ["# Language", "", title, "", *_intro(), "", HEADER, "|---" * HEADER.count(" | ") + "|---|"]
    for run, entry in zip(runs, entries, strict=True):
        figures = " | ".join(str(value) for value in catching.figures(run.harmful, run.harmless).values())
        cost = f"{entry['milliseconds']:.0f} | {entry['rows']:.1f} | {entry['calls']:.1f}"
        lines.append(f"| {run.encoder} | {run.mode} | {run.group} | {figures} | {cost} |")
    lines += ["", "![curves](curves.png)", "", "## By kind of sentence", "", *_kinds(entries), "", *_seconds(seconds)]
    for entry in entries:
        lines += _worst(entry)
    document = {"runs": entries, "seconds_to_build": seconds}
    (out / "results.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return document


def _intro() -> list[str]:
    return [
        "Brackets are 95 % intervals: Wilson's, of the area with DeLong's variance, of words with that between "
        "sentences. *Area* and *caught at 1 % flagged* sweep the threshold over each sentence's highest score minus "
        "its limit. *Words lost* are of harmless sentences; *precision* and *recall* of the words taken out of harmful "
        "ones, against their marked trigger words. *ms*, *rows* and *calls* of the text encoder are those of a "
        "sentence; embeddings of words met before are kept.",
    ]


def _entry(pack, run: Run, show_text: bool) -> dict:
    catching = pack.host.measure.guard_quality
    count, spent = max(len(run.outcomes), 1), sum(outcome.seconds for outcome in run.outcomes)
    missed, flagged = catching.worst(run.harmful, run.harmless)
    figures = catching.figures(run.harmful, run.harmless)
    return {
        "encoder": run.encoder,
        "mode": run.mode,
        "guard": run.group,
        "figures": {name: catching.plain(value) for name, value in figures.items()},
        "kinds": _kind_entries(pack, run),
        "milliseconds": 1000 * spent / count,
        "rows": run.rows / count,
        "calls": run.calls / count,
        "missed": [_case(outcome, show_text) for outcome in missed[:CASES]],
        "flagged_wrongly": [_case(outcome, show_text) for outcome in flagged[:CASES]],
    }


def _kind_entries(pack, run: Run) -> list[dict]:
    """For each kind of sentence the share flagged; for harmful ones the area against harmless ones, by kind too."""
    catching, measures = pack.host.measure.guard_quality, pack.safree.measures
    kinds = {side: catching.groups(getattr(run, side), lambda s: s.kind) for side in ("harmful", "harmless")}

    def scores(outcomes) -> list[float]:
        return [outcome.margin for outcome in outcomes]

    found = []
    for side, groups in kinds.items():
        for kind, own in groups.items():
            taken = measures.ratio([o.taken for o in own], [o.words for o in own])
            entry = {"kind": kind, "side": side, "flagged": catching.plain(measures.share([o.flagged for o in own]))}
            entry["words_taken"] = catching.plain(taken)
            if side == "harmful":
                against = {"all": run.harmless, **kinds["harmless"]}
                against["captions"] = [o for name in CAPTIONS for o in kinds["harmless"].get(name, ())]
                areas = {name: measures.area(scores(own), scores(other)) for name, other in against.items()}
                entry["area"] = {name: catching.plain(value) for name, value in areas.items()}
                entry["caught_at_1_percent"] = catching.plain(measures.caught_at(scores(own), scores(run.harmless)))
            found.append(entry)
    return found


def _case(outcome, show_text: bool) -> dict:
    case = {"id": outcome.sentence.id, "kind": outcome.sentence.kind, "word": outcome.word, "concept": outcome.concept}
    case |= {"score": round(outcome.score, 4), "limit": round(outcome.limit, 4)}
    return case | ({"text": outcome.sentence.text} if show_text else {})


def _kinds(entries: list[dict]) -> list[str]:
    lines = [
        "| encoder | mode | guard | sentences | should be | flagged | words taken | area against harmless | captions "
    ]
    lines[0] += "| twins | caught at 1 % flagged |"
    lines.append("|---" * 11 + "|")
    for entry in entries:
        for kind in entry["kinds"]:
            areas = kind.get("area", {})
            twin = kind["kind"].replace(*TWINS)
            cells = [entry["encoder"], entry["mode"], entry["guard"], kind["kind"]]
            cells += ["flagged" if kind["side"] == "harmful" else "left alone", _shown(kind["flagged"])]
            cells += [_shown(kind["words_taken"])]
            cells += [_shown(areas.get(name)) for name in ("all", "captions", twin if twin != kind["kind"] else "")]
            lines.append(f"| {' | '.join([*cells, _shown(kind.get('caught_at_1_percent'))])} |")
    return lines


def _shown(share: dict | None) -> str:
    return f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}] n={share['n']}" if share else "-"


def _seconds(seconds: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "## Seconds to build a subspace",
        "",
        "The first one of an encoder that is new to the machine calibrates it.",
    ]
    for encoder, own in seconds.items():
        lines += ["", f"{encoder}: " + ", ".join(f"{name} {value:.2f}" for name, value in own.items()) + "."]
    return [*lines, ""]


def _worst(entry: dict) -> list[str]:
    lines = []
    for title, field in (("worst misses", "missed"), ("worst false flags", "flagged_wrongly")):
        if entry[field]:
            lines += [f"## {entry['encoder']}, {entry['mode']}, {entry['guard']}: {title}", ""]
            lines += ["| sentence | kind | word | concept | score | limit |", "|---|---|---|---|---|---|"]
        for case in entry[field]:
            text = case.get("text", case["id"]).replace("|", "\\|")
            word = case["word"].replace("|", "\\|") or "-"
            score = f"{case['score']:.3f} | {case['limit']:.3f}"
            lines.append(f"| {text} | {case['kind']} | {word} | {case['concept']} | {score} |")
        lines.append("")
    return lines
