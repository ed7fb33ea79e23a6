"""The table of model families, from the cells that the tests of tests/host/test_families.py wrote.

    python -m dev.generate.family_table             print it
    python -m dev.generate.family_table --write     put it between the markers in docs/compatibility.md

Run `pytest tests/host/test_families.py` first: each cell is there only if its test passed.
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


def table(cells: dict[str, dict[str, str]]) -> str:
    """Markdown; a cell without a passed test shows as 'not tested'."""
    lines = ["| family | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [
        f"| {family} | " + " | ".join(row.get(column, "not tested") for column in COLUMNS) + " |"
        for family, row in cells.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    tables.command(__doc__, "tests/host/test_families.py", RESULTS, PAGE, MARKER, table)
