"""Tables that tests or commands generate, between two equal markers in a Markdown file."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def put(path: Path, marker: str, made: str) -> None:
    """Replace what stands between the two `marker` lines of `path`; ends the program if they are not there."""
    text, found = re.subn(
        f"{marker}.*{marker}", lambda _: f"{marker}\n{made}\n{marker}", path.read_text(encoding="utf-8"), flags=re.S
    )
    if not found:
        sys.exit(f"{path.name} has no pair of markers {marker}.")
    path.write_text(text, encoding="utf-8")
