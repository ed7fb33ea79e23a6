"""The table of model families, from the cells that tests/host/test_families.py wrote in each ComfyUI that ran it.

    python -m dev.generate.family_table             print it
    python -m dev.generate.family_table --write     put it between the markers in docs/compatibility.md

Run `pytest tests/host/test_families.py` first, in the tests' own ComfyUI and with COMFYUI_PATH in a newer one: each
cell is there only if its test passed.
"""

from __future__ import annotations

from .. import setup_host
from . import tables

RESULTS = setup_host.WORK / "family_table.json"
PAGE = setup_host.ROOT / "docs" / "compatibility.md"
MARKER = "<!-- families -->"
COLUMNS = {
    "encoders": "text encoders, each steered in its own space",
    "steering": "words steered",
    "pooled": "pooled output steered",
    "embeddings": "textual-inversion embeddings steered",
    "unflagged": "nothing flagged, strength 0",
    "self-validation": "self-validation",
    "re-attention": "re-attention",
    "paper": "`paper`",
    "reference": "`reference`",
    "sampled": "sampled",
}


def table(results: dict[str, dict[str, dict[str, str]]]) -> str:
    """Markdown of {version: {family: cells}}: a row for each family, with the versions that sampled it.

    Where versions differ the oldest is shown. A cell without a passed test shows as 'not tested'.
    """
    versions = sorted(results, key=tables.version_key)
    rows = {family: cells for version in reversed(versions) for family, cells in results[version].items()}
    order = dict.fromkeys(family for version in versions for family in results[version])
    lines = ["| family | " + " | ".join(COLUMNS.values()) + " | ran in ComfyUI |", "|---" * (len(COLUMNS) + 2) + "|"]
    for family in order:
        cells = [rows[family].get(column, "not tested") for column in COLUMNS]
        ran = ", ".join(version for version in versions if "sampled" in results[version].get(family, {}))
        lines.append(f"| {family} | {' | '.join(cells)} | {ran} |")
    return "\n".join(lines)


if __name__ == "__main__":
    tables.command(__doc__, "tests/host/test_families.py", RESULTS, PAGE, MARKER, table)
