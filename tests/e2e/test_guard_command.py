"""The editor's command 'Guard this workflow' gives the twin that `headless guard` writes for the same file."""

from __future__ import annotations

import json

import pytest

from dev import setup_host
from dev.compare_editor import opened_editor
from dev.drawn import drawn
from dev.editor import CHROMIUM
from dev.generate.templates import convert
from headless.commands.guard import main
from headless.editor import to_api
from headless.workflow import as_link

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in (setup_host.ASSETS / "editor").glob("*.json")}
OF_NEW_EDITORS = {"proxy_order", "proxy_of_unlinked"}  # older ones restore these values in another order
FILES = {name: file for name, file in FILES.items() if name not in OF_NEW_EDITORS}
FILES |= {"flat": drawn(subgraph=False), "in a subgraph": drawn(subgraph=True)}
COMMAND = "async () => await window.app.extensionManager.command.execute('Safree.GuardWorkflow')"
GRAPH = "() => JSON.parse(JSON.stringify((window.app.rootGraph ?? window.app.graph).serialize()))"


@pytest.fixture(scope="module", params=["pinned", "newest"])
def page(request):
    with opened_editor(None, request.param) as (page, _):
        yield page


def nodes(api: dict) -> list[str]:
    """Class and inputs of each node, connections as (class, slot): newer editors number nodes of subgraphs anew."""
    found = []
    for entry in api.values():
        links = {name: as_link(value) for name, value in entry["inputs"].items()}
        values = {
            n: [api[links[n][0]]["class_type"], links[n][1]] if links[n] else v for n, v in entry["inputs"].items()
        }
        numbers = {name: float(value) if isinstance(value, int) else value for name, value in values.items()}
        found.append(json.dumps([entry["class_type"], numbers], sort_keys=True))
    return sorted(found)


def test_ten_files_at_least():
    assert len(FILES) >= 10


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_command_gives_the_twin_of_the_command_line(page, tmp_path, name):
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(FILES[name]))
    assert main([str(source), str(target), "--concept-set", "nudity"]) == 0
    convert(page, FILES[name])
    page.evaluate(COMMAND)
    page.wait_for_timeout(700)
    first = lambda words: words[0]  # noqa: E731
    by_command, by_line = (
        to_api(page.evaluate(GRAPH), choose=first),
        to_api(json.loads(target.read_text()), choose=first),
    )
    assert nodes(by_command) == nodes(by_line)
    assert "SafreeConditioning" in {entry["class_type"] for entry in by_line.values()}
    assert page.errors == []
