"""The record of a server: a JSON line for each prompt, in files of bounded size. Standard library alone.

Each line is appended by one write, so a crash costs the last line at most; the next one begins on a line of its own.
A reserve beside the file is given up when the disk is full, so that the prompts which wait by then still have theirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

RESERVE = 256 * 2**10  # bytes: some hundred lines
STAMP = "%Y%m%dT%H%M%SZ"


@dataclasses.dataclass(frozen=True)
class RecordTerms:
    """What a policy file says of the record.

    path: of the newest file;  bytes: its size at most;  keep: older files that stay
    go_on: let prompts run although they cannot be recorded
    """

    path: Path
    bytes: int = 10_000_000
    keep: int = 100
    go_on: bool = False


class RecordFile:
    """Where lines are appended; for one server, from any of its threads. Every method may raise OSError."""

    def __init__(self, terms: RecordTerms):
        self.terms = terms
        self._reserve = terms.path.with_name(f"{terms.path.name}.reserve")
        self._lock = threading.Lock()

    def append(self, entry: dict, must: bool = False) -> None:
        """Write `entry` as a line of its own. must: it outlives a power cut from here on, and may use the reserve."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                self._write(line, must)
            except OSError:
                if not must or not self._reserve.exists():
                    raise
                self._reserve.unlink()
                self._write(line, must)

    def make_room(self) -> None:
        """Keep the reserve on the disk; OSError where there is no room for it, or the record cannot be written."""
        with self._lock:
            with open(self.terms.path, "ab"):
                pass
            with contextlib.suppress(FileNotFoundError):
                if self._reserve.stat().st_size == RESERVE:
                    return
            try:
                with open(self._reserve, "wb") as file:
                    file.write(os.urandom(RESERVE))  # nothing that a file system could pack
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                self._reserve.unlink(missing_ok=True)
                raise

    def _write(self, line: bytes, synced: bool) -> None:
        self._rotate(len(line))
        with open(self.terms.path, "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and not _ends_a_line(file):
                line = b"\n" + line
            if file.write(line) != len(line):
                file.truncate(size)  # half a line is none
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.terms.path))
            if synced:
                os.fsync(file.fileno())

    def _rotate(self, more: int) -> None:
        """Put a file away that `more` bytes would make too large, and delete the oldest of those put away."""
        path = self.terms.path
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return
        if not size or size + more <= self.terms.bytes:
            return
        stamp, place = datetime.datetime.now(datetime.timezone.utc).strftime(STAMP), 0
        if older := put_away(path):  # several within a second, or a clock that was set back
            _, last, number = older[-1].stem.rsplit("-", 2)
            stamp, place = max((stamp, 0), (last, int(number) + 1))
        path.rename(path.with_name(f"{path.stem}-{stamp}-{place:06}{path.suffix}"))
        for old in put_away(path)[: -self.terms.keep]:
            old.unlink()


def _ends_a_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def put_away(path: Path) -> list[Path]:
    """The older files of the record at `path`, the oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}-\d{{8}}T\d{{6}}Z-\d{{6}}{re.escape(path.suffix)}")
    return sorted(one for one in path.parent.iterdir() if name.fullmatch(one.name))


def entries(path: Path) -> Iterator[dict | None]:
    """Every line of the record at `path`, the oldest first; None for one that is damaged."""
    for one in [*put_away(path), path]:
        with open(one, "rb") as file:
            yield from map(_entry, file)


def _entry(line: bytes) -> dict | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
