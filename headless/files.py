"""Workflows out of the files that people share: in API or the editor's format, wrapped, or inside a picture.

Standard library alone. Read: JSON with or without a byte order mark; bodies such as {"prompt": …} or
{"input": {"workflow": …}}; PNG and WebP files that ComfyUI saved, with the workflow that drew them inside.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from . import editor, knowledge
from .workflow import NeedsServer, Workflow, WorkflowError

WRAPPERS = ("prompt", "output", "input", "workflow", "body", "payload", "data", "api_prompt", "api")
DEEPEST = 4  # wrappers within each other
MOST_TEXT = 64 * 2**20  # bytes of a text inside a picture, unpacked
PNG, RIFF = b"\x89PNG\r\n\x1a\n", b"RIFF"
ASCII = 2  # type of a field in Exif


@dataclasses.dataclass(frozen=True)
class Document:
    """A workflow, and the file that it was in.

    workflow: in API format, without keys such as _comment that hold no node
    whole, keys: the JSON around it and where in it the nodes are; None where the file was no JSON in API format
    drawn: the workflow as the editor saved it, where the file was one of those; editing: how it was read. Texts in
        `workflow` then stand as in the file, with their comments and choices {a|b}
    """

    workflow: Workflow
    whole: dict | None
    keys: tuple[str, ...] = ()
    drawn: dict | None = None
    editing: editor.Conversion | None = None

    def as_sent(self, nodes: dict | None = None, choose=None) -> dict:
        """`nodes`, or else those of the workflow, as the editor sends them to a server.

        choose: takes one of the words of a choice {a|b} in a text; at random where it is not given
        Raises NeedsServer where the file does not say what some of the values are.
        """
        nodes = self.workflow.nodes if nodes is None else nodes
        if self.editing is None:
            return nodes
        if unnamed := [key for key in self.editing.unnamed if key in nodes]:
            raise NeedsServer(_without_names(self.workflow, unnamed))
        return {key: self.editing.as_sent(key, node, choose) for key, node in nodes.items()}

    @property
    def types(self) -> dict[tuple[str, int | str], str]:
        """The types that the editor's file names: of outputs by (id, slot), of inputs by (id, name)."""
        return self.editing.types() if self.editing else {}

    def with_nodes(self, nodes: dict) -> dict:
        """What to write for other nodes: in the same wrapping, with the same comments, or drawn in the same place.

        Raises WorkflowError where the editor's file cannot hold them.
        """
        if self.drawn is not None:
            return editor.edited(self.drawn, self.workflow.nodes, nodes, self.editing.info)
        if self.whole is None:
            return nodes
        return _replaced(self.whole, self.keys, nodes)


def read_document(path: str | Path, object_info: dict | None = None) -> Document:
    """The workflow in a file; WorkflowError where there is none, or none that can be read."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from error
    try:
        return _document(data, object_info or {})
    except WorkflowError as error:
        raise type(error)(f"{path}: {error}") from error


def document_of(whole, object_info: dict | None = None) -> Document:
    """The workflow in JSON that is read already; WorkflowError where there is none."""
    return _from_json(whole, object_info or {})


def _document(data: bytes, object_info: dict) -> Document:
    if data.startswith(PNG) or (data.startswith(RIFF) and data[8:12] == b"WEBP"):
        texts = dict(_png_texts(data) if data.startswith(PNG) else _webp_texts(data))
        for name in ("prompt", "workflow"):  # the first is what ran
            if name in texts:
                return dataclasses.replace(_from_json(_json(texts[name]), object_info), whole=None)
        raise WorkflowError("this picture holds no workflow: it was not saved by ComfyUI, or something removed it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowError("this is neither JSON in UTF-8 nor a PNG or WebP picture.") from error
    return _from_json(_json(text), object_info)


def _json(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"it is not JSON ({error}).") from error


def _from_json(whole, object_info: dict) -> Document:
    part, keys = whole, ()
    for _ in range(DEEPEST):
        if editor.is_editor_format(part):
            return _drawn(part, object_info)
        inside = [name for name in WRAPPERS if isinstance(part, dict) and isinstance(part.get(name), dict)]
        inside = [name for name in inside if "class_type" not in part[name]]
        if not inside or any(isinstance(one, dict) and "class_type" in one for one in part.values()):
            break
        part, keys = part[inside[0]], (*keys, inside[0])
    nodes = part
    if isinstance(part, dict) and any(isinstance(one, dict) and "class_type" in one for one in part.values()):
        nodes = {key: node for key, node in part.items() if not _is_comment(key, node)}
    return Document(Workflow(nodes), whole, keys)


def _drawn(part: dict, object_info: dict) -> Document:
    """The workflow of an editor's file; WorkflowError where values that decide about a guard have no names."""
    editing = editor.read(part, object_info)
    workflow = Workflow(editing.nodes())
    known = knowledge.load()
    facts = {key: known.get(workflow.kind(key)) for key in editing.unnamed if key in workflow}
    if decisive := [key for key, one in facts.items() if one and one.looks_at_values]:
        raise NeedsServer(_without_names(workflow, decisive))
    return Document(workflow, None, drawn=part, editing=editing)


def _without_names(workflow: Workflow, keys: list[str]) -> str:
    return (
        f"which values {', '.join(map(workflow.label, keys))} has, is told by a server that has it: pass --server or "
        "--object-info. Or export the workflow in the editor: Workflow > Export (API)."
    )


def _is_comment(key: str, node) -> bool:
    """Whether an entry beside the nodes is somebody's note, which the server would not take."""
    return not (isinstance(node, dict) and "class_type" in node) and (key.startswith("_") or not isinstance(node, dict))


def _replaced(part: dict, keys: tuple[str, ...], nodes: dict) -> dict:
    if keys:
        return {**part, keys[0]: _replaced(part[keys[0]], keys[1:], nodes)}
    return {**nodes, **{key: node for key, node in part.items() if _is_comment(key, node)}}


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """(name, text) of the text chunks of a PNG file."""
    for kind, body in _chunks(data, len(PNG), ">I", "big"):
        name, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            yield name.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"zTXt":
            yield name.decode("latin-1"), _unpacked(rest[1:]).decode("latin-1")
        elif kind == b"iTXt" and len(rest) > 2:
            packed, (_language, _name, text) = rest[0], rest[2:].split(b"\0", 2)
            yield name.decode("latin-1"), (_unpacked(text) if packed else text).decode("utf-8", "replace")


def _webp_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """(name, text) of the 'name:text' fields in the Exif data of a WebP file."""
    bodies = [body for kind, body in _chunks(data, 12, "<I", "little") if kind == b"EXIF"]
    for body in bodies:
        for text in _exif_texts(body.removeprefix(b"Exif\0\0")):
            name, colon, rest = text.partition(":")
            if colon:
                yield name.lower(), rest


def _chunks(data: bytes, at: int, length: str, order: str) -> Iterator[tuple[bytes, bytes]]:
    """(kind, body) of the chunks of a PNG (big) or RIFF (little endian) file; a file that is cut short just ends."""
    while at + 8 <= len(data):
        if order == "big":  # length, kind, body, checksum
            (size,), kind = struct.unpack_from(length, data, at), data[at + 4 : at + 8]
            step = 12 + size
        else:  # kind, length, body, padding to an even number
            (size,), kind = struct.unpack_from(length, data, at + 4), data[at : at + 4]
            step = 8 + size + size % 2
        if at + 8 + size > len(data):
            return
        yield kind, data[at + 8 : at + 8 + size]
        at += step


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MOST_TEXT)
    except zlib.error as error:
        raise WorkflowError(f"a text in this picture is damaged ({error}).") from error
    if unpacker.unconsumed_tail:
        raise WorkflowError(f"a text in this picture has more than {MOST_TEXT:,} bytes.")
    return text


def _exif_texts(data: bytes) -> Iterator[str]:
    """The texts of the first directory of Exif data."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for n in range(count):
            _tag, kind, size, where = struct.unpack_from(order + "HHII", data, start + 2 + 12 * n)
            if kind == ASCII and size > 4:
                yield data[where : where + size].rstrip(b"\0").decode("utf-8", "replace")
    except struct.error:  # cut short
        return
