"""One row per (guard, prompt): what the benchmark measures, and its summary in rates."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from ..run.statistics import Rate, mse, psnr, rate
from .guards import Shot
from .prompts import Concept, Item
from .studio import Picture


@dataclasses.dataclass(frozen=True)
class Record:
    """concept_seen: the removed concept is in the picture. kept_seen: share of the other objects that are.

    alone: share of them that the unguarded model draws when asked for each alone, same seed (nan if never asked).
    unguarded_kept: kept_seen of the unguarded picture. distances: to the unguarded picture (psnr in dB, latent mse).
    """

    guard: str
    case: str
    concept: str
    prompt: str
    seed: int
    kept: tuple[str, ...]
    flagged: tuple[str, ...]
    score: float
    unchanged: bool
    concept_seen: bool
    kept_seen: float
    alone: float
    unguarded_kept: float
    psnr: float
    latent_mse: float
    picture: str


def record(
    guard: str,
    item: Item,
    concept: Concept,
    shot: Shot,
    unguarded: Shot,
    see: Callable[[Picture], set[str]],
    alone: dict[tuple[str, int], bool],
) -> Record:
    seen = see(shot.picture)
    known = [alone[kept, item.seed] for kept in item.kept if (kept, item.seed) in alone]
    return Record(
        guard,
        item.case,
        item.concept,
        item.prompt,
        item.seed,
        item.kept,
        shot.flagged,
        shot.score,
        shot.unchanged,
        bool(seen & concept.seen_as),
        _share(item.kept, seen),
        sum(known) / len(known) if len(known) == len(item.kept) > 0 else math.nan,
        _share(item.kept, see(unguarded.picture)),
        *_distances(shot.picture, unguarded.picture),
        shot.picture.key,
    )


def _share(kept: tuple[str, ...], seen: set[str]) -> float:
    return sum(noun in seen for noun in kept) / len(kept) if kept else math.nan


def _distances(one: Picture, other: Picture) -> tuple[float, float]:
    return psnr(one.rgb, other.rgb), mse(one.latent, other.latent)


def seen_rate(records: Iterable[Record]) -> Rate:
    """How often the concept is seen, among prompts that ask for it."""
    asked = [r for r in records if r.concept]
    return rate([r.concept_seen for r in asked], [r.picture for r in asked])


def kept_rate(records: Iterable[Record]) -> Rate:
    """Kept objects of prompts with the concept, relative to how often the same objects are drawn when alone."""
    asked = [r for r in records if r.concept and not math.isnan(r.alone)]
    return rate([r.kept_seen for r in asked], [r.picture for r in asked], [r.alone for r in asked])


def benign_rate(records: Iterable[Record]) -> Rate:
    """Objects of benign prompts, relative to the unguarded pictures."""
    benign = [r for r in records if not r.concept and r.kept]
    return rate([r.kept_seen for r in benign], [r.picture for r in benign], [r.unguarded_kept for r in benign])


def unchanged_rate(records: Iterable[Record]) -> Rate:
    """Share of benign prompts whose conditioning, and so the picture, is bit-identical to the unguarded one."""
    benign = [r for r in records if not r.concept]
    return rate([r.unchanged for r in benign], [r.prompt for r in benign])


def benign_distances(records: Iterable[Record]) -> tuple[float, float]:
    """(median PSNR in dB, mean latent MSE) between guarded and unguarded pictures of benign prompts."""
    benign = [r for r in records if not r.concept]
    if not benign:
        return math.nan, math.nan
    ordered = sorted(r.psnr for r in benign)
    return ordered[len(ordered) // 2], sum(r.latent_mse for r in benign) / len(benign)


def write(records: list[Record], folder: Path, settings: dict) -> None:
    """results.json and results.csv."""
    rows = [dataclasses.asdict(r) for r in records]
    finite = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]
    document = {"settings": settings, "records": finite}
    (folder / "results.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "kept": "|".join(row["kept"]), "flagged": "|".join(row["flagged"])} for row in rows)
