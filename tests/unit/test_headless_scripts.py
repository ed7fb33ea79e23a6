"""The commands for use without the editor start with the standard library alone, from any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.parametrize("name", ["run_workflow", "guard_workflow", "check_workflow"])
def test_a_command_explains_itself_without_any_package(name, tmp_path):
    command = [sys.executable, "-S", str(SCRIPTS / f"{name}.py"), "--help"]  # -S: no site-packages
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"python scripts/{name}.py workflow.json" in done.stdout
    assert "xit code" in done.stdout
