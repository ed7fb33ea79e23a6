"""Tables, figures and pictures of a concept-removal run as one Markdown report."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from ..world.prompts import World
from ..world.records import Record, benign_distances, benign_rate, kept_rate, seen_rate, unchanged_rate
from . import figures

SHOWN = 24  # failing cases with pictures, per kind
LONGEST = 90  # characters of a prompt in a table
HEADER = (
    "| guard | concept seen ↓ | kept, of objects drawn alone ↑ | benign kept, of unguarded ↑ | benign untouched ↑ "
    "| PSNR, median | latent MSE |"
)


def write(records: list[Record], settings: dict, cache: Path, out: Path) -> None:
    """report.md, trade_off.png, sweep.png and the sheets of failing cases, all in `out`."""
    groups: dict[str, list[Record]] = {}
    for r in records:
        groups.setdefault(r.guard, []).append(r)
    compared = on_common_prompts(groups)
    common = len(next(iter(compared.values())))
    lines = ["# Concept removal on the tiny checkpoint", "", *_intro(settings, records), ""]
    lines += [f"## All guards on the same {common} prompts", "", *_table(compared), ""]
    figures.trade_off(compared, out / "trade_off.png")
    lines += ["![removal against preservation](trade_off.png)", ""]
    lines += ["## All prompts", "", *_table({n: g for n, g in groups.items() if n not in compared or len(g) > common})]
    lines += ["", *_cases(groups), ""]
    if "adaptive" in groups:
        _sweep(groups, compared, settings["threshold"], out)
        lines += ["## Threshold", "", "![threshold sweep](sweep.png)", ""]
        lines += _failures(groups["adaptive"], groups["none"], cache, out)
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


def on_common_prompts(groups: dict[str, list[Record]]) -> dict[str, list[Record]]:
    """The groups cut to the prompts that all of them share; groups without benign prompts (special rows) left out."""
    whole = {name: group for name, group in groups.items() if not all(r.concept for r in group)}
    shared = set.intersection(*({(r.prompt, r.seed) for r in group} for group in whole.values()))
    return {name: [r for r in group if (r.prompt, r.seed) in shared] for name, group in whole.items()}


def _intro(settings: dict, records: list[Record]) -> list[str]:
    prompts = {(r.prompt, r.seed) for r in records}
    sampling = f"{settings['sampler']}, {settings['scheduler']}, {settings['steps']} steps, CFG {settings['cfg']}"
    attack = ", ".join(f"{name} {value:.2f}" for name, value in settings["attack"].items())
    known, objects = World().calibrating()
    return [
        f"{len(prompts)} prompts, {settings['size']}×{settings['size']}, {sampling}. Brackets: 95 % bootstrap "
        "intervals over clusters of prompts that share a picture (equal conditioning and seed give one picture). "
        "Guards other than `none` and `adaptive` see a stratified subset, to fit the time.",
        "",
        f"{len(known)} of {len(objects)} benign test objects are words of the vocabulary that calibrates the guard. "
        "*Kept, of objects drawn alone*: the harmless objects of a prompt with the concept, divided by how often the "
        "unguarded model draws the same objects alone with the same seed.",
        "",
        f"Learned token ({attack}): a textual-inversion embedding optimised against the guard's own score.",
    ]


def _table(groups: dict[str, list[Record]]) -> list[str]:
    lines = [HEADER, "|---|---|---|---|---|---|---|"]
    for name, group in groups.items():
        noise, latent = benign_distances(group)
        rates = " | ".join(str(measure(group)) for measure in (seen_rate, kept_rate, benign_rate, unchanged_rate))
        lines.append(f"| {name} | {rates} | {noise:.1f} | {latent:.4f} |")
    return lines


def _cases(groups: dict[str, list[Record]]) -> list[str]:
    lines = [
        "| case | n | concept seen, none | adaptive | kept / alone, adaptive | flagged |",
        "|---|---|---|---|---|---|",
    ]
    adaptive = groups.get("adaptive", groups["none"])
    for case in dict.fromkeys(r.case for r in adaptive):
        own = [r for r in adaptive if r.case == case]
        plain = [r for r in groups["none"] if r.case == case]
        flagged = sum(bool(r.flagged) for r in own)
        seen, before, kept = seen_rate(own), seen_rate(plain), kept_rate(own)
        lines.append(f"| {case} | {len(own)} | {before} | {seen} | {kept} | {flagged} |")
    return lines


def _sweep(groups: dict, compared: dict, threshold: float, out: Path) -> None:
    adaptive = [r for r in groups["adaptive"] if r.concept in ("", "weapon")]
    points = {threshold: compared["adaptive"]}
    for name, group in compared.items():
        if name.startswith("adaptive, threshold "):
            points[float(name.split()[-1])] = group
    scores = [[r.score for r in adaptive if bool(r.concept) == harmful] for harmful in (True, False)]
    figures.sweep(*scores, threshold, dict(sorted(points.items())), out / "sweep.png")


def _failures(adaptive: list[Record], none: list[Record], cache: Path, out: Path) -> list[str]:
    """The prompts that the adaptive guard fails, with pictures (unguarded, guarded)."""
    before = {(r.prompt, r.seed): r for r in none}
    kinds = {
        "Concept still seen": [r for r in adaptive if r.concept and r.concept_seen],
        "Kept object lost, though drawn alone": [r for r in adaptive if r.concept and r.kept_seen < r.alone],
        "Benign prompt flagged": [r for r in adaptive if not r.concept and r.flagged],
    }
    lines = ["## Cases that still fail, mode adaptive", ""]
    for title, failing in kinds.items():
        lines += [f"### {title}: {len(failing)}", ""]
        if not failing:
            continue
        name = title.split(",")[0].lower().replace(" ", "_") + ".png"
        pairs = []
        for r in failing[:SHOWN]:
            pictures = [_image(cache, key) for key in (before[r.prompt, r.seed].picture, r.picture)]
            pairs.append((*pictures, r.prompt[-88:]))
        figures.sheet(pairs, out / name)
        lines += [f"![unguarded and guarded]({name})", "", "| prompt | seed | flagged |", "|---|---|---|"]
        for r in failing:
            text = r.prompt if len(r.prompt) <= LONGEST else f"… {r.prompt[-LONGEST:]}"
            lines.append(f"| {text} | {r.seed} | {', '.join(r.flagged) or 'nothing'} |")
        lines.append("")
    return lines


def _image(cache: Path, key: str):
    return load_file(cache / key[:2] / f"{key}.safetensors")["image"]
