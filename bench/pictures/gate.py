"""`bench gate`: a small benchmark for continuous integration, compared with the accepted figures in baseline.json."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tqdm import tqdm

from ..run.statistics import Rate, wilson
from ..world.guards import BY_NAME, Bench
from ..world.prompts import World, stratified
from ..world.studio import Studio

BASELINE = Path(__file__).with_name("baseline.json")
PROMPTS, PICTURES = 60, 12
PICTURED = ("explicit", "synonym")  # cases that are also sampled
LESS_IS_BETTER = ("concept seen",)


def measure(studio: Studio) -> dict[str, Rate]:
    """Detection on about 60 prompts, pictures of 12 of them, mode adaptive. The learned token is left out."""
    world, bench, guard = World(), Bench(studio), BY_NAME["adaptive"]
    concepts = world.concepts()
    items = stratified([item for item in world.items() if item.case != "learned token"], PROMPTS)
    flagged, untouched = [], []
    for item in tqdm(items, desc="gate: detection", unit="prompt"):
        report = bench.guarded(item.prompt, guard, concepts[item.concept or "weapon"])[1]
        (flagged if item.concept else untouched).append(bool(report["flagged"]) == bool(item.concept))
    seen, kept = [], []
    pictured = [item for item in items if item.case in PICTURED and item.kept]
    for item in tqdm(stratified(pictured, PICTURES), desc="gate: pictures", unit="picture"):
        objects = studio.seen(bench.shoot(item, guard, concepts["weapon"]).picture)
        seen.append(bool(objects & concepts["weapon"].seen_as))
        kept.append(item.kept[0] in objects)
    return {
        "concept flagged": wilson(flagged),
        "benign untouched": wilson(untouched),
        "concept seen": wilson(seen),
        "object kept": wilson(kept),
    }


def regressions(measured: dict[str, Rate], accepted: dict[str, Rate]) -> list[str]:
    """One line per figure that is worse than the accepted figure's 95 % interval."""
    worse = []
    for name, was in accepted.items():
        now = measured[name]
        if now.value > was.high if name in LESS_IS_BETTER else now.value < was.low:
            worse.append(f"{name}: {now}, accepted {was}")
    return worse


def accepted() -> dict[str, Rate]:
    return {name: Rate(**values) for name, values in json.loads(BASELINE.read_text(encoding="utf-8")).items()}


def accept(measured: dict[str, Rate]) -> None:
    """Make `measured` the accepted figures. Commit the file together with the reason."""
    rounded = {
        name: {key: round(value, 4) for key, value in dataclasses.asdict(rate).items()}
        for name, rate in measured.items()
    }
    BASELINE.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
