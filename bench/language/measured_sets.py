"""Write what a run measured into the concept sets' own files, by text encoder."""

from __future__ import annotations

import json
import os
from pathlib import Path

KEPT = ("caught", "false_flags", "area", "caught_at_1_percent", "words_lost")


def write(entries: list[dict], split: str, folder: Path, left_out: dict[tuple[str, str], dict] | None = None):
    """Figures of mode adaptive into the field `measured` of each set's file in `folder`; the files that changed.

    left_out: (encoder, set) -> what is found of what a third of the phrases names, without that third
    """
    changed = []
    for entry in entries:
        path = folder / f"{entry['guard']}.json"
        if entry["mode"] != "adaptive" or not path.exists():
            continue
        data = json.loads(path.read_text(encoding="utf-8"))
        figures = {name: entry["figures"][name] for name in KEPT}
        if figure := (left_out or {}).get((entry["encoder"], entry["guard"])):
            figures["left_out"] = figure
        measured = {"version": data["version"], "split": split, "figures": figures}
        data["measured"] = {**data.get("measured", {}), entry["encoder"]: measured}
        partial = path.with_suffix(f".{os.getpid()}")  # whole or not at all
        partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
        changed.append(path)
    return changed
