"""`bench concept-removal`: does the concept go, does the rest stay, prompt by prompt and guard by guard."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tqdm import tqdm

from ..world import white_box
from ..world.guards import BY_NAME, Bench, Guard, Shot
from ..world.prompts import SEED, Concept, Item, World, stratified
from ..world.records import Record, record, write
from ..world.studio import Sampling, Studio
from . import report

FULL = ("none", "adaptive")  # these see every prompt; the others a stratified subset, for time
SWEPT = (0.3, 0.7)  # thresholds of the trade-off plot, beside the calibrated one
NOUNS_ONLY = "adaptive, list of nouns only"


@dataclasses.dataclass(frozen=True)
class Task:
    guard: Guard
    item: Item
    concept: Concept


def plan(world: World, guards: tuple[Guard, ...], subset: int, limit: int = 0) -> list[Task]:
    """What to run: FULL guards first, on every prompt (or `limit` of them), then the others on the subset."""
    concepts, items = world.concepts(), world.items()
    items = stratified(items, limit) if limit else items
    weapon = [item for item in items if item.concept in ("", "weapon")]
    few = stratified(weapon, subset)
    tasks = []
    for guard in sorted(guards, key=lambda guard: guard.name not in FULL):
        chosen = items if guard.name in FULL else few
        tasks += [Task(guard, item, concepts[item.concept or "weapon"]) for item in chosen]
    if BY_NAME["adaptive"] in guards:
        nouns = concepts["weapon nouns"]
        bare = dataclasses.replace(BY_NAME["adaptive"], name=NOUNS_ONLY)
        unlisted = [i for i in items if i.case in ("synonym", "family word")]
        unlisted = [i for i in unlisted if not set(i.prompt.split()) & set(nouns.phrases)]
        tasks += [Task(bare, item, nouns) for item in unlisted]
        for value in SWEPT:
            swept = dataclasses.replace(BY_NAME["adaptive"], name=f"adaptive, threshold {value}", threshold=value)
            tasks += [Task(swept, item, concepts["weapon"]) for item in few]
    return tasks


class Runner:
    """Takes the shots of tasks; knows what the unguarded model makes of each prompt and of each object alone."""

    def __init__(self, bench: Bench, world: World):
        self.bench, self.concepts = bench, world.concepts()
        self.unguarded: dict[str, Shot] = {}
        self.alone: dict[tuple[str, int], bool] = {}
        self.singles = [item for item in world.items() if item.case == "benign single"]

    def plain(self, item: Item) -> Shot:
        if item.name not in self.unguarded:
            self.unguarded[item.name] = self.bench.shoot(item, BY_NAME["none"], self.concepts["weapon"])
        return self.unguarded[item.name]

    def measure_alone(self, items: list[Item]) -> None:
        """Draw every kept object of `items` alone, with the item's seed."""
        wanted = {(kept, item.seed) for item in items for kept in item.kept}
        for single in self.singles:
            if (single.kept[0], single.seed) in wanted:
                self.alone[single.kept[0], single.seed] = single.kept[0] in self.bench.studio.seen(
                    self.plain(single).picture
                )

    def run(self, task: Task) -> Record:
        unguarded = self.plain(task.item)
        shot = unguarded
        if task.guard.name != "none":
            shot = self.bench.shoot(task.item, task.guard, task.concept)
        see = self.bench.studio.seen
        return record(task.guard.name, task.item, task.concept, shot, unguarded, see, self.alone)


def run(out: Path, guards: tuple[Guard, ...], subset: int, limit: int = 0, seed: int = SEED) -> None:
    """Run, write results.json, results.csv, figures and report.md to `out`. Resumable: pictures are kept on disk."""
    out.mkdir(parents=True, exist_ok=True)
    sampling = Sampling()
    bench, world = Bench(Studio(sampling)), World(seed)
    (weapon,) = bench.subspaces(world.concepts()["weapon"])
    learned = white_box.learn(bench.studio, weapon)
    tasks = plan(world, guards, subset, limit)
    runner = Runner(bench, world)
    runner.measure_alone([task.item for task in tasks])
    records = []
    for task in tqdm(tasks, desc="concept-removal", unit="picture"):
        records.append(runner.run(task))
        if len(records) % 25 == 0:  # what is there can be looked at meanwhile
            write(records, out, {})
    settings = {**dataclasses.asdict(sampling), "seed": seed, "threshold": learned["threshold"], "attack": learned}
    write(records, out, settings)
    report.write(records, settings, bench.studio.cache, out)
