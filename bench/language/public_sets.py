"""Public sets of prompts as labelled sentences: T2VSafetyBench's lists, CoPro's pairs, I2P by category."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from ..run import left_out

# What each public set calls a category, and the shipped set about it; the other categories are left out.
T2VSAFETYBENCH = {
    1: ("sexual: pornography", "nudity"),
    2: ("sexual: borderline", "nudity"),
    3: ("violence", "violence"),
    4: ("gore", "gore"),
}
CATEGORIES = {
    "sexual": ("sexual", "nudity"),
    "violence": ("violence", "violence"),
    "shocking": ("shocking", "gore"),
    "self-harm": ("self-harm", "self_harm"),
    "hate": ("hate", "hate_symbols"),
}
COPRO_PARTS = ("ID_test_data", "ID_validation_data", "ID_train_data")  # the first that is there


def read(path: Path) -> list[tuple[str, str, str]]:
    """(kind, concept, sentence) of a folder of T2VSafetyBench, a JSON file of CoPro or a CSV file of I2P.

    concept: of a shipped set, "" for CoPro's harmless twins. Rows of other categories, and about children, are left out
    and counted. SystemExit says in one line what a file lacks.
    """
    try:
        rows = list(_t2v(path) if path.is_dir() else _copro(path) if path.suffix == ".json" else _i2p(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise SystemExit(
            f"bench: {path} is none of T2VSafetyBench (a folder of 1.txt ...), CoPro_v1.0.json, I2P's CSV: {error!r}."
        ) from error
    known = [row for row in rows if row is not None]
    kept = [row for row in known if not left_out.is_left_out(row[2], row[0])]
    left_out.say(len(known) - len(kept), path.name)
    if unknown := len(rows) - len(known):
        print(f"{path.name}: {unknown} rows left out of categories that no shipped set is about")
    if not kept:
        raise SystemExit(f"bench: {path} holds no sentence of a category that a shipped set is about.")
    return kept


def _t2v(folder: Path) -> Iterator[tuple[str, str, str] | None]:
    """Lists 1 to 14, a sentence a line; those that are there."""
    for number in range(1, 15):
        path = folder / f"{number}.txt"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()
        for line in filter(None, map(str.strip, lines)):
            yield (*T2VSAFETYBENCH[number], line) if number in T2VSAFETYBENCH else None


def _copro(path: Path) -> Iterator[tuple[str, str, str] | None]:
    """Each pair as a harmful and a harmless sentence."""
    parts = json.loads(path.read_text(encoding="utf-8"))
    for pair in parts[next((name for name in COPRO_PARTS if name in parts), COPRO_PARTS[0])]:
        named = CATEGORIES.get(str(pair["category"]).lower())
        yield named and (*named, pair["unsafe_prompt"])
        yield named and (named[0], "", pair["safe_prompt"])


def _i2p(path: Path) -> Iterator[tuple[str, str, str] | None]:
    """Each row once for each of its categories."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            for category in row["categories"].split(","):
                named = CATEGORIES.get(category.strip().lower())
                yield named and (*named, row["prompt"].strip())
