"""Files of the editor, read as the editor reads them: value by value, by the real one, in both front ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dev import setup_host
from dev.compare_editor import compare, opened_editor
from dev.editor import CHROMIUM
from dev.generate.widgets import FRESH, of_editor, settled
from headless.editor.widgets import known_widgets, widgets_of
from headless.object_info import is_core

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FILES = sorted((setup_host.ASSETS / "editor").glob("*.json"))
MORE = sorted(Path(os.environ["EDITOR_FILES"]).glob("*.json")) if "EDITOR_FILES" in os.environ else []  # a folder


@pytest.fixture(scope="module", params=["pinned", "newest"])
def editor(request):
    """(page, object_info) of the real editor."""
    with opened_editor(None, request.param) as opened:
        yield opened


@pytest.mark.parametrize("path", [*FILES, *MORE], ids=lambda path: path.stem)
def test_headless_reads_every_value_as_the_editor_does(editor, path):
    page, info = editor
    if path.stem in OF_NEW_EDITORS and "1.32" in page.evaluate("window.__COMFYUI_FRONTEND_VERSION__"):
        pytest.skip("this front end restores these values in another order")
    document = json.loads(path.read_text("utf-8"))
    for told in ({}, info):  # by the table alone, and with what the server tells
        result = compare(page, told, document, set(info))
        assert (result.differences, result.refused) == ([], "")
        assert result.values


def test_the_rule_for_widgets_is_the_editors(editor):
    """Each class whose widgets the schema tells, as the editor makes a fresh node of it."""
    page, info = editor
    fresh = page.evaluate(FRESH)
    core = [kind for kind, entry in info.items() if is_core(entry) and kind in fresh]
    assert len(core) > 300
    other = [kind for kind in core if settled(widgets_of(info[kind])) != settled(of_editor(fresh[kind]))]
    assert set(other) <= OF_EXTENSIONS, {kind: settled(of_editor(fresh[kind])) for kind in set(other) - OF_EXTENSIONS}
    assert all(known_widgets()[kind] for kind in set(other) & OF_EXTENSIONS)


OF_NEW_EDITORS = {"proxy_order", "proxy_of_unlinked"}
# Classes to whose nodes the editor's own extensions add widgets; widgets.json has them from the editor.
OF_EXTENSIONS = {
    *("LoadImageOutput", "ImageCropV2", "WebcamCapture", "RecordAudio", "Load3D", "Preview3D", "CustomCombo"),
    *("Painter", "SaveGLB", "Load3DAnimation", "Preview3DAnimation"),
}
