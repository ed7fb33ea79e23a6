"""The commands for use without the editor start with the standard library alone, in the folder of an installed pack."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The pack's folder in a ComfyUI, with nothing in it but `headless`."""
    folder = tmp_path_factory.mktemp("ComfyUI") / "custom_nodes" / "comfyui-safree"
    shutil.copytree(ROOT / "headless", folder / "headless", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def headless(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-S", "-m", "headless", *words]  # -S: no site-packages
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["run", "guard", "check"])
def test_a_command_explains_itself_without_any_package(name, installed):
    done = headless(installed, name, "--help")
    assert done.returncode == 0
    assert f"usage: python -m headless {name}" in done.stdout
    assert f"python -m headless {name} workflow.json" in done.stdout
    assert "xit code" in done.stdout


def test_without_a_command_all_are_listed(installed):
    assert headless(installed, "--help").returncode == 0
    for words in ([], ["chekc"]):
        done = headless(installed, *words)
        assert done.returncode == 2
        assert all(f"python -m headless {name}" in done.stderr for name in ("check", "guard", "run"))
