"""Workflows inside pictures and wrappings, byte by byte: each way to hold a text, and each bound."""

from __future__ import annotations

import json
import struct
import zlib

import pytest

from dev.graphs import Run, unguarded
from headless import files
from headless.files import read_document
from headless.workflow import WorkflowError

GRAPH = unguarded(Run("ein Caf\u00e9 \u2615"))
TEXT = json.dumps(GRAPH)
UNICODE = json.dumps(GRAPH, ensure_ascii=False)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    return files.PNG + chunk(b"IHDR", bytes(13)) + b"".join(chunks) + chunk(b"IEND", b"")


def international(text: str, packed: bool, name: bytes = b"prompt") -> bytes:
    body = zlib.compress(text.encode()) if packed else text.encode()
    return chunk(b"iTXt", name + b"\0" + bytes([packed, 0]) + b"en\0Aufforderung\0" + body)


def exif(text: str, order: str, tag: int = 0x0110, kind: int = 2) -> bytes:
    """One directory with one short field and one text."""
    data = text.encode() + b"\0"
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HIH", 42, 8, 2)
    short = struct.pack(order + "HHII", 0x0100, 2, 4, 0x41414100)
    entry = struct.pack(order + "HHII", tag, kind, len(data), 8 + 2 + 24 + 4)
    return head + short + entry + bytes(4) + data


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


PICTURES = {
    "tEXt": png(chunk(b"tEXt", b"prompt\0" + TEXT.encode())),
    "zTXt": png(chunk(b"zTXt", b"prompt\0\0" + zlib.compress(TEXT.encode()))),
    "iTXt": png(international(UNICODE, packed=False)),
    "iTXt, packed": png(international(UNICODE, packed=True)),
    "behind others": png(chunk(b"tEXt", b"parameters\0x"), chunk(b"iTXt", b"x\0"), international(UNICODE, False)),
    "what ran before what is drawn": png(chunk(b"tEXt", b"workflow\0{}"), chunk(b"tEXt", b"prompt\0" + TEXT.encode())),
    "cut short behind it": png(chunk(b"tEXt", b"prompt\0" + TEXT.encode()), b"\0\0\xff\xffIDATx"),
    "little endian": webp((b"VP8 ", b"x"), (b"EXIF", exif(f"Prompt:{UNICODE}", "<"))),
    "big endian": webp((b"VP8X", b"1234567"), (b"EXIF", b"Exif\0\0" + exif(f"prompt:{UNICODE}", ">"))),
}
HOLDING_NONE = {
    "of another kind": webp((b"EXIF", exif(f"prompt:{TEXT}", "<", kind=7))),
    "no name": webp((b"EXIF", exif("prompt", "<"))),
    "no order": webp((b"EXIF", b"XX" + exif(f"prompt:{TEXT}", "<")[2:])),
    "no directory": webp((b"EXIF", b"II*\0\xff\0\0\0")),
    "almost nothing": webp((b"EXIF", b"II*\0")),
    "a chunk cut short": png(chunk(b"tEXt", b"prompt\0" + TEXT.encode()))[:-200],
    "another name": png(chunk(b"tEXt", b"parameters\0" + TEXT.encode())),
    "too short": png(chunk(b"iTXt", b"prompt\0\0\0")),
}


def read(tmp_path, data: bytes):
    file = tmp_path / "file"
    file.write_bytes(data)
    return read_document(file)


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_workflow_is_read_from_a_picture_however_it_holds_the_text(tmp_path, data):
    document = read(tmp_path, data)
    assert document.workflow.nodes == GRAPH
    assert document.with_nodes({"1": {"class_type": "A", "inputs": {}}}) == {"1": {"class_type": "A", "inputs": {}}}


@pytest.mark.parametrize("data", HOLDING_NONE.values(), ids=HOLDING_NONE)
def test_a_picture_without_a_readable_text_holds_none(tmp_path, data):
    with pytest.raises(WorkflowError, match="holds no workflow"):
        read(tmp_path, data)


def test_a_packed_text_is_unpacked_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_TEXT", len(TEXT))
    assert read(tmp_path, PICTURES["zTXt"]).workflow.nodes == GRAPH
    monkeypatch.setattr(files, "MOST_TEXT", len(TEXT) - 1)
    with pytest.raises(WorkflowError, match="more than"):
        read(tmp_path, PICTURES["zTXt"])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_workflow_is_found_in_wrappings_and_put_back_into_them(tmp_path, depth):
    whole = GRAPH | {"_note": "by hand"}
    for name in files.WRAPPERS[:depth]:
        whole = {name: whole, "client_id": "x"}
    document = read(tmp_path, json.dumps(whole).encode())
    assert document.workflow.nodes == GRAPH
    twin = json.loads(json.dumps(whole).replace("CLIPTextEncode", "Another"))
    nodes = json.loads(TEXT.replace("CLIPTextEncode", "Another"))
    assert document.with_nodes(nodes) == twin


def test_wrappings_end_somewhere(tmp_path):
    whole = GRAPH
    for _ in range(files.DEEPEST + 1):
        whole = {"prompt": whole}
    with pytest.raises(WorkflowError):
        read(tmp_path, json.dumps(whole).encode())


@pytest.mark.parametrize(("key", "value"), [("_comment", {"text": "x"}), ("note", "x"), ("_", 5), ("version", 0.4)])
def test_comments_beside_the_nodes_are_no_nodes(tmp_path, key, value):
    document = read(tmp_path, json.dumps(GRAPH | {key: value}).encode())
    assert document.workflow.nodes == GRAPH
    assert document.with_nodes(GRAPH) == GRAPH | {key: value}


def test_an_object_without_a_class_is_a_node_that_is_missing_one(tmp_path):
    with pytest.raises(WorkflowError, match="no class_type"):
        read(tmp_path, json.dumps(GRAPH | {"99": {"inputs": {}}}).encode())
