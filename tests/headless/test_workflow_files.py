"""The files that workflows come in: either format, wrapped, commented, with a byte order mark, inside pictures."""

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from dev.graphs import Run, unguarded
from headless.commands.guard import main
from headless.files import read_document
from headless.workflow import WorkflowError

GRAPH = unguarded(Run("a cat and a pistol"))
TEXT = json.dumps(GRAPH)
PICTURE = Image.new("RGB", (8, 8))


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    file = io.BytesIO()
    PICTURE.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def packed_png(text: str) -> bytes:
    body = b"prompt\0\0" + zlib.compress(text.encode())
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = png()
    return plain[:33] + chunk + plain[33:]  # after the header


def webp(**texts: str) -> bytes:
    """As SaveAnimatedWEBP of ComfyUI writes it."""
    exif = PICTURE.getexif()
    for tag, (name, text) in zip((0x0110, 0x010F), texts.items(), strict=False):
        exif[tag] = f"{name}:{text}"
    file = io.BytesIO()
    PICTURE.save(file, "WEBP", exif=exif)
    return file.getvalue()


FILES = {
    "plain": TEXT.encode(),
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "POST body": json.dumps({"prompt": GRAPH, "client_id": "x"}).encode(),
    "worker body": json.dumps({"input": {"workflow": GRAPH}}).encode(),
    "prompt and workflow": json.dumps({"output": GRAPH, "workflow": {"nodes": [], "links": []}}).encode(),
    "comment": json.dumps(GRAPH | {"_comment": "made by hand", "note": "x"}).encode(),
    "PNG": png(prompt=TEXT, workflow="{}"),
    "packed PNG": packed_png(TEXT),
    "WebP": webp(prompt=TEXT),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_a_workflow_is_found_in_its_file(tmp_path, data):
    file = tmp_path / "file"
    file.write_bytes(data)
    assert read_document(file).workflow.nodes == GRAPH


@pytest.mark.parametrize("name", ["POST body", "worker body", "comment"])
def test_the_twin_is_wrapped_as_the_file_was(tmp_path, name):
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_bytes(FILES[name])
    assert main([str(source), str(target), "--concept-set", "weapons"]) == 0
    before, after = json.loads(source.read_text()), json.loads(target.read_text())
    assert after.keys() >= before.keys()
    assert after.get("_comment") == before.get("_comment")
    assert "SafreeConditioning" in target.read_text()
    assert read_document(target).workflow.nodes.keys() > GRAPH.keys()


BROKEN = {
    "no workflow in the picture": (png(), "holds no workflow"),
    "no JSON": (b"hello", "not JSON"),
    "no text": (b"\xff\xfe\x00", "neither JSON"),
    "something else": (b"[1, 2]", "something else"),
    "PNG cut short": (png(prompt=TEXT)[:60], "holds no workflow"),
    "WebP cut short": (webp(prompt=TEXT)[:40], "holds no workflow"),
    "no JSON in the picture": (png(prompt="{"), "not JSON"),
    "damaged picture": (packed_png(TEXT).replace(b"prompt\0\0x", b"prompt\0\0y"), "damaged"),
    "a node of a missing pack": (json.dumps({**GRAPH, "9": {"inputs": {}}}).encode(), "no class_type"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_without_one_says_why(tmp_path, data, reason):
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(WorkflowError, match=reason):
        read_document(file)
