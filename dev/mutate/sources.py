"""Which sources are changed, and which tests should notice."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from .. import setup_host

ROOT = setup_host.ROOT
# Sources, and where their tests are. Of host/ only what is tested without a model; headless/client.py is tested against
# a server, in tests/e2e.
TESTED_IN = {
    "safree": "tests/safree",
    "headless": "tests/headless",
    "host/data": "tests/host/data",
    "host/sampling/schedule.py": "tests/host/sampling",
    "host/text/words.py": "tests/host/text",
}
EXAMPLES = "tests/repository/test_doctests.py"  # of the docstrings of safree
AS_A_WHOLE = ("headless",)  # its modules are tested through check and guard
LEFT_OUT = ("headless/client.py",)


def sources(only: list[str]) -> list[str]:
    """The files to change, under one of `only`."""
    found = []
    for folder in TESTED_IN:
        paths = [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py"))
        found += [path.relative_to(ROOT).as_posix() for path in paths]
    wanted = tuple(one.rstrip("/") for one in only)
    chosen = [path for path in found if path not in LEFT_OUT and within(path, wanted)]
    if not chosen:
        raise SystemExit(f"make mutate: no source is under {', '.join(wanted)}. Choose from {', '.join(TESTED_IN)}.")
    return chosen


def within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def folder_of(path: str) -> str:
    return next(tests for source, tests in TESTED_IN.items() if within(path, [source]))


@functools.cache
def files_testing(path: str) -> tuple[str, ...]:
    """The test files of a source: those that import it, the one of its name first. All of a folder where none does."""
    folder = folder_of(path)
    stem = Path(path).parent.name if path.endswith("__init__.py") else Path(path).stem
    files = sorted((ROOT / folder).rglob("test_*.py"), key=lambda file: stem not in file.stem)
    named = re.compile(rf"^(from|import) .*\b{stem}\b", re.MULTILINE)
    own = [file for file in files if named.search(file.read_text(encoding="utf-8"))]
    others = [file for file in files if file not in own] if not own or within(path, AS_A_WHOLE) else []
    found = [file.relative_to(ROOT).as_posix() for file in own + others]
    return (*found, EXAMPLES) if within(path, ["safree"]) else tuple(found)
