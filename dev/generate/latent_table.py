"""The table of what the latent guard reads, from the cells that its tests wrote in each ComfyUI that ran them.

    python -m dev.generate.latent_table             print it
    python -m dev.generate.latent_table --write     put it between the markers in docs/compatibility.md

Run `pytest tests/host/latent/test_latent_guard_families.py` first, in the tests' own ComfyUI and with COMFYUI_PATH in a
newer one: each cell is there only if its test passed.
"""

from __future__ import annotations

from .. import setup_host
from . import tables

TESTS = "tests/host/latent/test_latent_guard_families.py"
RESULTS = setup_host.WORK / "latent_table.json"
PAGE = setup_host.ROOT / "docs" / "compatibility.md"
MARKER = "<!-- latent -->"
COLUMNS = {
    "read": "read as",
    "blocks": "blocks read",
    "learned": "learned",
    "unchanged": "nothing shows",
    "damped": "damped where it shows",
    "cfg 1": "CFG 1",
    "batch": "batch",
    "mask": "mask",
    "references": "reference pictures left alone",
    "look": "finished latent",
}


def table(results: dict[str, dict[str, dict[str, str]]]) -> str:
    """Markdown of {version: {family: cells}}: a row for each family, with the versions whose tests of it passed.

    Where versions differ the newest is shown. A cell without a passed test shows as 'not tested'.
    """
    versions = sorted(results, key=tables.version_key)
    rows: dict[str, dict[str, str]] = {}
    for version in versions:
        for family, cells in results[version].items():
            rows[family] = rows.get(family, {}) | cells
    lines = ["| family | " + " | ".join(COLUMNS.values()) + " | ran in ComfyUI |", "|---" * (len(COLUMNS) + 2) + "|"]
    for family, cells in rows.items():
        shown = [cells.get(column, "-" if column == "references" else "not tested") for column in COLUMNS]
        ran = ", ".join(version for version in versions if "read" in results[version].get(family, {}))
        lines.append(f"| {family} | {' | '.join(shown)} | {ran} |")
    return "\n".join(lines)


if __name__ == "__main__":
    tables.command(__doc__, TESTS, RESULTS, PAGE, MARKER, table)
