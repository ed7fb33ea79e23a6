"""Fixtures over the real ComfyUI, started once, in this process, on the CPU. tests/safree uses none."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)  # how long an example takes is no property of ours
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def comfy_nodes():
    """ComfyUI's module `nodes`."""
    from dev import inprocess

    return inprocess.boot()


@pytest.fixture(scope="session")
def english(comfy_nodes):
    """A CLIP that reads English: all-MiniLM-L6-v2."""
    from dev import setup_host, text_encoders

    try:
        return text_encoders.minilm()
    except setup_host.SetupError as error:
        pytest.skip(f"all-MiniLM-L6-v2 could not be fetched: {error}")


@pytest.fixture(scope="session")
def pack(comfy_nodes):
    """This pack, loaded as ComfyUI loads it: `pack.host.prompt.guard`, `pack.nodes`, ..."""
    from dev import inprocess

    return inprocess.load_pack()


@pytest.fixture(scope="session")
def tiny(comfy_nodes):
    """(model, clip, vae) of the tiny checkpoint. Shared: tests clone what they change."""
    from dev import inprocess

    return inprocess.load_tiny()


@pytest.fixture(scope="session")
def model(tiny):
    return tiny[0]


@pytest.fixture(scope="session")
def clip(tiny):
    return tiny[1]


@pytest.fixture(scope="session")
def nudenet():
    """NudeNet's own module `nudenet.nudenet`: installed by the user, or by `make test` into `.comfy/judges`."""
    from dev import setup_host

    beside = str(setup_host.WORK / "judges")
    if beside not in sys.path:
        sys.path.append(beside)  # behind all others, so that it takes the place of no package
    return pytest.importorskip("nudenet.nudenet", reason="NudeNet is not installed. To bring it: make .comfy/judges")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running ComfyUI server; without metadata the bytes of a PNG are those of its pixels, not of its graph."""
    from dev.server import Server

    with Server(tmp_path_factory.mktemp("server"), "--disable-metadata") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    return server.client()


FAULTS = pytest.StashKey[dict]()
COLLECTED = pytest.StashKey[set]()


def _id(item) -> str:
    return f"{item.path.relative_to(ROOT)}::{item.name}"


@pytest.hookimpl(tryfirst=True)  # before -k and -m leave some out
def pytest_collection_modifyitems(config, items):
    config.stash[FAULTS], config.stash[COLLECTED] = {}, {_id(item) for item in items}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note how each test marked `fault` ended, and how many cases it says it tried (record_property)."""
    report = yield
    for mark in item.iter_markers("fault"):
        if report.failed or (call.when == "call" and report.passed):
            what, outcome = mark.args
            cases = dict(item.user_properties).get("cases", 1)
            noted = {"what": what, "outcome": outcome, "cases": cases, "passed": report.passed}
            item.config.stash[FAULTS][_id(item)] = noted
    return report


def pytest_terminal_summary(terminalreporter):
    """Say how many tests of the editor were left out, and the command that brings what they miss."""
    from dev import browser

    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    if line := browser.left_out(reasons):
        terminalreporter.write_line(line, yellow=True)


def pytest_sessionfinish(session):
    """Write them to `.comfy/fault_table.json`, for dev/generate/fault_table.py; a worker of pytest-xdist sends them."""
    noted, collected = session.config.stash.get(FAULTS, {}), session.config.stash.get(COLLECTED, set())
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = noted, sorted(collected)
    else:
        _record(noted, collected)


@pytest.hookimpl(optionalhook=True)  # one of pytest-xdist
def pytest_testnodedown(node):
    noted, collected = getattr(node, "workeroutput", {}).get("faults", ({}, ()))
    _record(noted, set(collected))


def _record(noted: dict, collected: set[str]) -> None:
    if noted:
        from dev.generate import fault_table

        fault_table.record(noted, collected)
