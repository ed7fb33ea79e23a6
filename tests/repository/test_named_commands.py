"""Commands that the Makefile and the pages name exist: a module that has moved is not left behind in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "Makefile", ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_run_exists(page):
    named = set(re.findall(r"-m ((?:bench|dev|headless)(?:\.\w+)*)", page.read_text(encoding="utf-8")))
    places = {name: ROOT / name.replace(".", "/") for name in named}
    missing = [n for n, at in places.items() if not (at.with_suffix(".py").exists() or (at / "__main__.py").exists())]
    assert not missing
