"""The record of a server as files: whole lines, bounded size, a full disk; and what the command sums up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from headless.__main__ import main
from headless.record_file import RESERVE, RecordFile, RecordTerms, entries, put_away

LINE = {"time": "2026-12-01T10:00:00Z", "who": "desk", "end": "done", "concepts": ["nudity"], "actions": ["x"]}
resource = pytest.importorskip("resource", reason="this system has no limits of files: Windows")


def record(folder: Path, **more) -> RecordFile:
    return RecordFile(RecordTerms(folder / "record.jsonl", **more))


def test_lines_of_many_threads_are_whole(tmp_path):
    file = record(tmp_path, bytes=20_000)
    threads = [
        threading.Thread(target=lambda n=n: [file.append({"n": n, "x": "y" * 900}) for _ in range(20)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [entry["n"] for entry in entries(tmp_path / "record.jsonl")]
    assert sorted(found) == sorted(list(range(8)) * 20)


def test_a_file_that_would_be_too_large_is_put_away_and_the_oldest_go(tmp_path):
    file = record(tmp_path, bytes=1000, keep=3)
    (tmp_path / "record-mine.jsonl").write_text("not of the record")
    for n in range(100):
        file.append({"n": n, "x": "y" * 100})
    sizes = [path.stat().st_size for path in (*put_away(tmp_path / "record.jsonl"), tmp_path / "record.jsonl")]
    assert len(sizes) == 4
    assert max(sizes) <= 1000
    numbers = [entry["n"] for entry in entries(tmp_path / "record.jsonl")]
    assert numbers == list(range(numbers[0], 100))
    assert (tmp_path / "record-mine.jsonl").exists()


@pytest.mark.parametrize("left", [b'{"time": "2026-', b'{"n": 1}', b"\xff\xfe"])
def test_a_line_that_a_crash_cut_off_costs_no_other(tmp_path, left):
    path = tmp_path / "record.jsonl"
    path.write_bytes(b'{"n": 0}\n' + left)
    record(tmp_path).append({"n": 2})
    found = list(entries(path))
    assert (found[0], found[2], len(found)) == ({"n": 0}, {"n": 2}, 3)


@contextlib.contextmanager
def files_of_at_most(size: int):
    """Inside, no file of this process grows beyond `size` bytes: writes come to a real end there, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_half_a_line_is_taken_back(tmp_path):
    file, path = record(tmp_path), tmp_path / "record.jsonl"
    file.append({"n": 0})
    before = path.read_bytes()
    with files_of_at_most(50), pytest.raises(OSError, match=r"\w"):
        file.append({"x": "y" * 100})
    assert path.read_bytes() == before
    file.append({"n": 1})
    assert list(entries(path)) == [{"n": 0}, {"n": 1}]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no byte of a file system free."""
    with open(folder / "full", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 1024):
            pass


def test_on_a_full_disk_the_reserve_takes_what_must_be_kept(small_disk):
    file, path = record(small_disk), small_disk / "record.jsonl"
    file.make_room()
    assert (small_disk / "record.jsonl.reserve").stat().st_size == RESERVE
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        file.append({"n": 0})
    for n in range(1, 50):
        file.append({"n": n, "x": "y" * 200}, must=True)
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        file.make_room()
    assert [entry["n"] for entry in entries(path)] == list(range(1, 50))
    (small_disk / "full").unlink()
    file.make_room()


def test_a_record_that_cannot_be_written_has_no_room(tmp_path):
    (tmp_path / "record.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        record(tmp_path).make_room()


def write(folder: Path, *lines: dict | str) -> str:
    path = folder / "record.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return str(path)


def test_the_command_sums_up_by_day_key_and_concept(tmp_path, capsys):
    path = write(
        tmp_path,
        LINE,
        LINE | {"concepts": ["nudity", "gore"], "end": "stopped"},
        LINE | {"who": "lab", "concepts": [], "actions": []},
        LINE | {"time": "2026-12-02T00:00:01Z"},
        {"time": "2026-12-02T00:00:02Z", "lost": 3},
        "{",
        "[]",
        LINE | {"concepts": None},
    )
    assert main(["record", path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-12-01  desk: 2 prompts (done 1, stopped 1)",
        "    concepts: nudity 2, gore 1",
        "    actions: x 2",
        "2026-12-01  lab: 1 prompt (done 1)",
        "2026-12-02  desk: 1 prompt (done 1)",
        "    concepts: nudity 1",
        "    actions: x 1",
        "3 damaged lines left out.",
        "3 prompts ran whose line could not be written.",
    ]
    assert main(["record", path, "--since", "2026-12-02", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["days"] == [
        {"day": "2026-12-02", "who": "desk", "ends": {"done": 1}, "concepts": {"nudity": 1}, "actions": {"x": 1}}
    ]


def test_the_command_reads_files_that_were_put_away(tmp_path, capsys):
    file = record(tmp_path, bytes=1000)
    for _ in range(30):
        file.append(LINE)
    assert len(os.listdir(tmp_path)) > 2
    assert main(["record", str(tmp_path / "record.jsonl")]) == 0
    assert "desk: 30 prompts" in capsys.readouterr().out


def test_a_record_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["record", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
