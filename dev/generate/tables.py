"""Tables that tests or commands generate, between two equal markers in a Markdown file."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path


def put(path: Path, marker: str, made: str) -> None:
    """Replace what stands between the two `marker` lines of `path`; ends the program if they are not there."""
    text, found = re.subn(
        f"{marker}.*{marker}", lambda _: f"{marker}\n{made}\n{marker}", path.read_text(encoding="utf-8"), flags=re.S
    )
    if not found:
        sys.exit(f"{path.name} has no pair of markers {marker}.")
    path.write_text(text, encoding="utf-8")


def version_key(version: str) -> list[int]:
    """To sort versions by: 0.3.64 before 0.29.0."""
    return [int(part) for part in version.split(".") if part.isdigit()]


def command(
    description: str, made_by: str, results: Path, page: Path, marker: str, table: Callable[[dict], str]
) -> None:
    """The command line of a table made of the JSON in `results`, which the tests `made_by` wrote: print or `put` it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"replace the table in docs/{page.name}")
    arguments = parser.parse_args()
    if not results.exists():
        sys.exit(f"{results} is not there. Run pytest {made_by} first.")
    made = table(json.loads(results.read_text()))
    if arguments.write:
        put(page, marker, made)
    else:
        print(made)
