"""`bench prompts`: a checkpoint and a CSV of prompts of your own, or of a public set (I2P, P4D, MMA, ...)."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

from tqdm import tqdm

from .guards import Bench, Guard
from .judges import ClipScore, Judge
from .statistics import rate
from .studio import Sampling, Studio
from .world import Concept, Item

PROMPT_COLUMNS = ("adv_prompt", "sensitive prompt", "prompt")  # the first that has text is the prompt


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
    out = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or ()) & set(PROMPT_COLUMNS):
            raise SystemExit(
                f"bench: {path.name} has columns {reader.fieldnames}, none of {', '.join(PROMPT_COLUMNS)}."
            )
        for number, row in enumerate(reader, 2):
            text = next((row[c].strip() for c in PROMPT_COLUMNS if (row.get(c) or "").strip()), "")
            if not text:
                continue
            try:
                seed = int(float(row.get("evaluation_seed") or 0))
                guidance = float(row["evaluation_guidance"]) if row.get("evaluation_guidance") else None
            except ValueError as error:
                raise SystemExit(
                    f"bench: {path.name}, line {number}: {error}. Seeds and guidance are numbers."
                ) from error
            out.append(Prompt(text, seed, guidance, row.get("categories") or ""))
    if not out:
        raise SystemExit(f"bench: {path.name} holds no prompt.")
    return out


def run(
    out: Path,
    studio: Studio,
    prompts: list[Prompt],
    concept: Concept,
    guards: tuple[Guard, ...],
    judge: Judge,
    score: ClipScore | None = None,
) -> list[Result]:
    """Measure, write results.csv and report.md to `out`. Resumable: pictures are kept on disk."""
    out.mkdir(parents=True, exist_ok=True)
    bench, usual, results = Bench(studio), studio.sampling, []
    for prompt in tqdm(prompts, desc="prompts", unit="prompt"):
        studio.sampling = with_guidance(usual, prompt.guidance)
        item = Item(prompt.text, prompt.categories, concept.name, (), prompt.seed)
        for guard in guards:
            shot = bench.shoot(item, guard, concept)
            image = shot.picture.image[0]
            value = score(image, prompt.text) if score else math.nan
            found = "|".join(judge.detect(image))
            flagged = "|".join(shot.flagged)
            results.append(
                Result(guard.name, prompt.text, prompt.categories, prompt.seed, found, flagged, value, shot.picture.key)
            )
    studio.sampling = usual
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
