"""A Chromium for the tests of the editor: the machine's own, or one that this command brings.

    python -m dev.browser    bring one if there is none: playwright's own build, else the package of Debian and Ubuntu

Run it with the interpreter of `.comfy/venv`. Without a browser the other tests run all the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import setup_host

NAMES = ("chromium", "chromium-browser", "google-chrome")
BUILDS = setup_host.WORK / "browsers"  # of playwright
COMMAND = "make browser"
REASON = "no Chromium on this machine"
PATIENCE = 300  # seconds of one attempt


def find() -> str | None:
    """The path of a Chromium: on PATH, or a build of playwright in `.comfy/browsers`."""
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    builds = sorted(path for path in BUILDS.glob("chromium-*/chrome-*/*") if path.name in ("chrome", "Chromium.app"))
    return installed or (_executable(builds[-1]) if builds else None)


def _executable(build: Path) -> str:
    return str(build / "Contents" / "MacOS" / "Chromium" if build.suffix == ".app" else build)


def attempts(root: bool) -> list[list[str]]:
    """The commands that may bring one, in order; Debian's package only for who may install it."""
    own = [sys.executable, "-m", "playwright", "install", "chromium"]
    package = ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"]
    return [own, *([["apt-get", "update", "-q"], package] if root and shutil.which("apt-get") else [])]


def bring() -> str | None:
    """The path of a Chromium, brought if need be; None where neither way works."""
    for command in [] if find() else attempts(root=hasattr(os, "geteuid") and os.geteuid() == 0):
        try:
            environment = {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(BUILDS)}
            subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue  # the next way
        if find():
            break
    return find()


def left_out(reasons: list[str]) -> str | None:
    """One line on the tests that were skipped for want of a browser; `reasons` are those of all skipped tests.

    >>> left_out(["Skipped: no Chromium on this machine", "Skipped: this ComfyUI has no such node"])
    '1 test of the editor was left out: no Chromium on this machine. To bring one: make browser'
    """
    count = sum(REASON in reason for reason in reasons)
    tests = "1 test of the editor was" if count == 1 else f"{count} tests of the editor were"
    return f"{tests} left out: {REASON}. To bring one: {COMMAND}" if count else None


if __name__ == "__main__":
    found = bring()
    print(f"[browser] {found or f'{REASON}, and none could be brought: the tests of the editor are left out'}")
