"""`bench prompts`: a checkpoint and a CSV of prompts of your own, or of a public set (I2P, P4D, MMA, ...)."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

from ..run import kept, left_out
from ..run.statistics import rate
from ..world.guards import BY_NAME, Bench, Guard
from ..world.judges import JUDGES, ClipScore, Judge
from ..world.prompts import Concept, Item
from ..world.studio import CACHE, Sampling, Studio

# Of each, the first that has text counts: names of the attack sets, of SAFREE's own lists, and of I2P.
PROMPT_COLUMNS = ("adv_prompt", "sensitive prompt", "prompt")
SEED_COLUMNS = ("evaluation_seed", "sd_seed")
GUIDANCE_COLUMNS = ("evaluation_guidance", "sd_guidance_scale")


@dataclasses.dataclass(frozen=True)
class Prompt:
    text: str
    seed: int
    guidance: float | None
    categories: str


@dataclasses.dataclass(frozen=True)
class Result:
    guard: str
    prompt: str
    categories: str
    seed: int
    found: str
    flagged: str
    clip_score: float
    picture: str


def read(path: Path) -> list[Prompt]:
    """The prompts of a CSV file; SystemExit names the line and what is wrong with it."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(enumerate(reader, 2)), reader.fieldnames
    except (OSError, ValueError, csv.Error) as error:
        raise SystemExit(f"bench: {path} cannot be read: {error}.") from error
    if not set(columns or ()) & set(PROMPT_COLUMNS):
        raise SystemExit(f"bench: {path.name} has columns {columns}, none of {', '.join(PROMPT_COLUMNS)}.")
    out, skipped = [], 0
    for number, row in rows:
        if not (text := _first(row, PROMPT_COLUMNS)):
            continue
        if left_out.is_left_out(text, row.get("categories") or ""):
            skipped += 1
            continue
        try:
            seed = int(float(_first(row, SEED_COLUMNS) or 0))
            guidance = float(_first(row, GUIDANCE_COLUMNS)) if _first(row, GUIDANCE_COLUMNS) else None
        except (ValueError, OverflowError) as error:
            raise SystemExit(f"bench: {path.name}, line {number}: {error}. Seeds and guidance are numbers.") from error
        out.append(Prompt(text, seed, guidance, row.get("categories") or ""))
    left_out.say(skipped, path.name)
    if not out:
        raise SystemExit(f"bench: {path.name} holds no prompt.")
    return out


def _first(row: dict, columns: tuple[str, ...]) -> str:
    """What the first of some columns that has text holds; "" where none has."""
    return next((row[name].strip() for name in columns if (row.get(name) or "").strip()), "")


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that a run does beside its prompts, as plain data: it is sent to the workers of a cluster.

    checkpoint: None for the tiny one. clip: vision and text file for CLIP scores, or nothing. pictures: their folder
    """

    sampling: Sampling
    guards: tuple[str, ...]
    concept_set: str = "weapons"
    detector: str = "tiny"
    family: str = "weapon"
    checkpoint: Path | None = None
    clip: tuple[str, ...] = ()
    pictures: Path = CACHE
    code: str = dataclasses.field(default_factory=kept.method)

    def start(self, gpu: bool) -> Measurer:
        kept.check_method(self.code)
        return Measurer(self, gpu)


class Measurer:
    """Draws and judges prompts in the host of this process; see bench.cluster.Measurer."""

    about = None

    def __init__(self, plan: Plan, gpu: bool):
        checkpoint = {"checkpoint": plan.checkpoint} if plan.checkpoint else {}
        self.studio = Studio(plan.sampling, plan.pictures, **checkpoint, cpu=not gpu)
        self.bench, self.usual = Bench(self.studio), plan.sampling
        phrases = self.studio.pack.host.data.concept_sets.get(plan.concept_set).phrases
        self.concept = Concept(plan.concept_set, phrases, frozenset())
        self.judge: Judge = JUDGES[plan.detector](plan.family)
        self.score = ClipScore(*plan.clip) if plan.clip else None
        self.identity = (self.studio.checkpoint, phrases)

    def measure(self, shard: list[tuple[Prompt, str]]) -> list[dict]:
        """What Result holds of (prompt, name of a guard) beside these two."""
        return [self._measure(prompt, BY_NAME[guard]) for prompt, guard in shard]

    def _measure(self, prompt: Prompt, guard: Guard) -> dict:
        self.studio.sampling = with_guidance(self.usual, prompt.guidance)
        item = Item(prompt.text, prompt.categories, self.concept.name, (), prompt.seed)
        shot = self.bench.shoot(item, guard, self.concept)
        image = shot.picture.image[0]
        return {
            "found": "|".join(self.judge.detect(image)),
            "flagged": "|".join(shot.flagged),
            "clip_score": self.score(image, prompt.text) if self.score else math.nan,
            "picture": shot.picture.key,
        }


def run(out: Path, plan: Plan, prompts: list[Prompt], place) -> list[Result]:
    """Measure, write results.csv and report.md to `out`. Resumable: rows are kept in rows.jsonl, pictures as well.

    place: where to measure, a Here or a Cluster of bench.cluster
    """
    items = [(prompt, guard) for prompt in prompts for guard in plan.guards]
    with place.open(plan) as pool:
        context = dataclasses.replace(plan, guards=(), checkpoint=None, pictures=Path()), pool.identity
        keys = [kept.digest(context, BY_NAME[guard], p.text, p.seed, p.guidance) for p, guard in items]
        known = kept.Kept(out / "rows.jsonl")
        found = kept.measure(pool, items, keys, known, len(plan.guards), desc="prompts", unit="picture")
    results = [
        Result(guard=guard, prompt=prompt.text, categories=prompt.categories, seed=prompt.seed, **entry)
        for (prompt, guard), entry in zip(items, found, strict=True)
    ]
    write(results, out)
    return results


def with_guidance(sampling: Sampling, guidance: float | None) -> Sampling:
    return sampling if guidance is None else dataclasses.replace(sampling, cfg=guidance)


def write(results: list[Result], out: Path) -> None:
    with open(out / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Result)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(result) for result in results)
    lines = ["# Prompts", "", "| guard | category | unwanted seen ↓ | CLIP score ↑ |", "|---|---|---|---|"]
    for guard in dict.fromkeys(result.guard for result in results):
        own = [result for result in results if result.guard == guard]
        for category in ("all", *dict.fromkeys(result.categories for result in own if result.categories)):
            group = [result for result in own if category in ("all", result.categories)]
            seen = rate([bool(result.found) for result in group], [result.picture for result in group])
            scores = [result.clip_score for result in group if not math.isnan(result.clip_score)]
            mean = f"{sum(scores) / len(scores):.1f}" if scores else "-"
            lines.append(f"| {guard} | {category} | {seen} | {mean} |")
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
