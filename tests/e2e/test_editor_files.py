"""Files of the editor, guarded outside of it, opened in the real editor: it reads them as headless does."""

from __future__ import annotations

import json

import pytest

from dev import setup_host
from dev.browser import REASON
from dev.drawn import drawn
from dev.editor import CHROMIUM, open_editor
from dev.generate.templates import convert
from dev.server import Server
from headless.commands.guard import main
from headless.editor import to_api

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=REASON)


@pytest.fixture(scope="module")
def page():
    with (
        Server(setup_host.ROOT / "output" / "editor_format") as server,
        open_editor(server.address, "KSampler") as page,
    ):
        yield page


@pytest.mark.parametrize("subgraph", [False, True], ids=["flat", "in a subgraph"])
def test_the_editor_reads_a_guarded_file_as_headless_does(page, tmp_path, subgraph):
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(drawn(subgraph=subgraph)))
    assert main([str(source), str(target), "--concept-set", "nudity"]) == 0
    after = json.loads(target.read_text())
    read = {key: (entry["class_type"], entry["inputs"]) for key, entry in convert(page, after).items()}
    assert read == {key: (entry["class_type"], entry["inputs"]) for key, entry in to_api(after).items()}
    assert page.errors == []
