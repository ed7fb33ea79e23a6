"""Fixtures over the real ComfyUI, started once, in this process, on the CPU. tests/unit uses none of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "scripts"):
    # at the end: in front, our folder `nodes` would hide ComfyUI's module of that name
    sys.path.append(str(folder))


@pytest.fixture(scope="session")
def comfy_nodes():
    """ComfyUI's module `nodes`."""
    import inprocess

    return inprocess.boot()


@pytest.fixture(scope="session")
def pack(comfy_nodes):
    """This pack, loaded as ComfyUI loads it: `pack.host.guard`, `pack.nodes`, ..."""
    import inprocess

    return inprocess.load_pack()


@pytest.fixture(scope="session")
def tiny(comfy_nodes):
    """(model, clip, vae) of the tiny checkpoint. Shared: tests clone what they change."""
    import inprocess

    return inprocess.load_tiny()


@pytest.fixture(scope="session")
def model(tiny):
    return tiny[0]


@pytest.fixture(scope="session")
def clip(tiny):
    return tiny[1]
