"""The table of text encoders, from the cells that tests/host/text/test_text_encoders.py wrote in each ComfyUI.

    python -m dev.generate.encoder_table             print it
    python -m dev.generate.encoder_table --write     put it between the markers in docs/compatibility.md

Run `pytest tests/host/text/test_text_encoders.py` first, in the tests' own ComfyUI and with COMFYUI_PATH in a newer.
"""

from __future__ import annotations

from .. import setup_host
from . import tables

RESULTS = setup_host.WORK / "encoder_table.json"
PAGE = setup_host.ROOT / "docs" / "compatibility.md"
MARKER = "<!-- encoders -->"
COLUMNS = (
    "models",
    "text encoders",
    "a flagged word is neutral in",
    "nothing flagged, strength 0",
    "detection measured",
    "ran in ComfyUI",
)


def table(results: dict[str, dict[str, dict[str, str]]]) -> str:
    """Markdown of {version: {models: cells}}: a row for each models, with the versions whose tests of it passed."""
    versions = sorted(results, key=tables.version_key)
    rows = {name: cells for version in versions for name, cells in results[version].items()}
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, cells in sorted(rows.items(), key=lambda row: (row[1].get("steered") != "yes", row[0].lower())):
        ran = ", ".join(version for version in versions if name in results[version])
        lines.append(f"| {name} | {' | '.join(_cells(cells))} | {ran} |")
    return "\n".join(lines)


def _cells(cells: dict[str, str]) -> list[str]:
    if cells.get("steered") != "yes":
        return ["", cells.get("steered", "not tested"), "", ""]
    reached = ["the token states", *(f"`{part}`" for part in cells.get("extras", "").split(", ") if part)]
    measured = cells.get("measured") or "no"
    return [cells["encoders"], ", ".join(reached), cells.get("unflagged", "not tested"), measured]


if __name__ == "__main__":
    tables.command(__doc__, "tests/host/text/test_text_encoders.py", RESULTS, PAGE, MARKER, table)
