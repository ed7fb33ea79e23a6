"""Pictures and manifests as eval-unlearn lays out its runs: a folder for each guard, images/ and metadata.json in it.

Its own metrics (TIFA, ERR, UA-IRA), or any other that reads a folder and a table, go on from there.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from PIL import Image

from . import fid
from .drawing import GATED, Plan

COLUMNS = ("case_number", "image", "prompt", "evaluation_seed", "evaluation_guidance", "set", "categories")


def write(folder: Path, measured: list, plan: Plan) -> list[Path]:
    """The folders written. The gate's pictures are not kept, so its guard has none; nor have rows drawn elsewhere."""
    written = []
    for number, guard in enumerate(guard for guard in plan.guards if guard != GATED):
        place = folder / f"{number:02}_{''.join(c if c.isalnum() else '_' for c in guard)}"
        (place / "images").mkdir(parents=True, exist_ok=True)
        rows = [(row, entry) for row, name, entry in measured if name == guard]
        lines = [line for case, (row, entry) in enumerate(rows) if (line := _picture(place, case, row, entry, plan))]
        with open(place / "prompts.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(lines)
        about = {"technique_name": guard, "dataset_name": plan.protocol, "total": len(lines), "samples": lines}
        (place / "metadata.json").write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
        written.append(place)
    return written


def _picture(place: Path, case: int, row, entry: dict, plan: Plan) -> dict | None:
    source = fid.path_of(plan, entry)
    if not source.exists():
        return None
    name = f"images/{case:05}.png"
    Image.fromarray(fid.load(source)[0].movedim(0, -1).numpy()).save(place / name)
    seed = plan.settings.seed if row.seed is None else row.seed
    guidance = plan.settings.sampling.cfg if row.guidance is None else row.guidance
    values = (case, name, row.text, seed, guidance, row.set, ", ".join(row.categories))
    return dict(zip(COLUMNS, values, strict=True))
