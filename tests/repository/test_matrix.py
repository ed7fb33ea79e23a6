"""dev/matrix.py: what its command line asks for, how a revision is taken out of a clone, and its table."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dev import matrix


@pytest.fixture
def clone(tmp_path):
    """A git repository with revisions `old` and `new` of one file."""
    folder = tmp_path / "clone"
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "init", "-q", folder], check=True)
    for version in ("old", "new"):
        (folder / "comfyui_version.py").write_text(version)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", version], check=True)
        subprocess.run([*git, "tag", version], check=True)
    return folder


def test_without_arguments_every_combination_is_run_and_names_choose_some():
    assert matrix.parse([])[1] == matrix.COMBINATIONS
    assert matrix.parse(["torch 2.4"])[1] == {"torch 2.4": matrix.COMBINATIONS["torch 2.4"]}


def test_with_a_clone_the_names_are_its_revisions(clone, tmp_path):
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", clone, bare], check=True)
    for folder in (clone, bare):
        combinations = matrix.parse(["--clone", str(folder), "old", "HEAD"])[1]
        assert list(combinations) == ["ComfyUI old", "ComfyUI HEAD"]
        assert combinations["ComfyUI old"] == matrix.Combination(clone=folder, revision="old")


def test_flags_hold_for_every_row_and_are_in_its_name(clone):
    flags = ["--flags=--cache-lru 3"]
    (combination,) = matrix.parse([*flags, "--clone", str(clone), "old"])[1].items()
    assert combination == (
        "ComfyUI old --cache-lru 3",
        matrix.Combination(clone=clone, revision="old", flags="--cache-lru 3"),
    )
    assert matrix.parse([*flags, "torch 2.4"])[1].keys() == {"torch 2.4 --cache-lru 3"}


def test_the_interpreter_of_a_virtual_environment_stays_one(clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").symlink_to("/usr/bin/env")
    (combination,) = matrix.parse(["--clone", str(clone), "--python", "python", "old"])[1].values()
    assert combination.python == tmp_path / "python"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["ComfyUI 9"], "unknown: ComfyUI 9"),
        (["--clone", "{clone}"], "name the revisions"),
        (["--clone", "{clone}", "old", "v9"], "no git clone that has a revision v9"),
        (["--clone", "{clone}/..", "old"], "no git clone that has a revision old"),
        (["--python", "python3"], "--python needs --clone"),
    ],
)
def test_what_is_not_there_is_named_before_anything_is_set_up(clone, capsys, words, cause):
    with pytest.raises(SystemExit):
        matrix.parse([word.format(clone=clone) for word in words])
    assert cause in capsys.readouterr().err


def test_a_revision_is_taken_out_and_the_work_tree_left_alone(clone, tmp_path):
    matrix.check_out(clone, "old", tmp_path / "work" / "checkout")
    assert (tmp_path / "work" / "checkout" / "comfyui_version.py").read_text() == "old"
    assert (clone / "comfyui_version.py").read_text() == "new"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ('tests="9" failures="0" errors="0" skipped="1"', "8 passed"),
        ('tests="9" failures="1" errors="2" skipped="0"', "3 of 9 failed"),
        ('tests="0" failures="0" errors="0" skipped="0"', "0 of 0 failed"),
    ],
)
def test_the_result_counts_the_tests(tmp_path, counts, said):
    path = tmp_path / "tests.xml"
    path.write_text(f"<testsuites><testsuite {counts}/></testsuites>")
    assert matrix.result(path) == said


def test_a_run_without_a_result_has_failed(tmp_path):
    assert matrix.result(tmp_path / "tests.xml").startswith("failed")


def test_the_table_is_sorted_by_version_with_what_did_not_run_at_its_end():
    def tested(version: str) -> dict:
        versions = (version, "2.13.0", "3.11.7", "5.0", "1.58.1")
        return {**dict(zip(matrix.VERSION_KEYS, versions, strict=True)), "result": "8 passed"}

    results = {
        "Python 3.10": {"result": "not run: no python3.10 on this machine"},
        "ComfyUI v0.33.0 --cache-none": {**tested("0.33.0"), "flags": "--cache-none"},
        "ComfyUI v0.3.64": tested("0.3.64"),
    }
    assert matrix.table(results).splitlines()[2:] == [
        "| 0.3.64 |  | 2.13.0 | 3.11.7 | 5.0 | 1.58.1 | 8 passed |",
        "| 0.33.0 | `--cache-none` | 2.13.0 | 3.11.7 | 5.0 | 1.58.1 | 8 passed |",
        "| Python 3.10 |  |  |  |  |  | not run: no python3.10 on this machine |",
    ]


def test_each_thing_that_depends_on_the_host_has_tests_with_the_mark():
    files = matrix.marked(matrix.setup_host.ROOT)
    named = {name for name in ("guard", "self_validation", "reattention", "api") for path in files if name in path}
    assert named == {"guard", "self_validation", "reattention", "api"}
    collected = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "matrix", *files]
    done = subprocess.run(collected, cwd=matrix.setup_host.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+)/\d+ tests collected", done.stdout)[1]) >= 57
