"""`bench prompts --ray` and `bench language --ray` on a real Ray cluster of two nodes, against the run of one process.

Workers, a node and the driver are killed with SIGKILL. All of Ray listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paper_sets
import psutil
import pytest
import torch
from safetensors.torch import load_file

from dev import setup_host

BESIDE = setup_host.WORK / "ray"  # where the Makefile puts it
HERE = Path(__file__).resolve().parent
PROMPTS = [
    *("a cat and a pistol", "a dog", "a knife on a table"),
    *("a rabbit", "a handgun, a bird", "an axe in a tree"),
]
GUARDS = ("none", "adaptive")
ROWS, TABLE = Path("prompts", "rows.jsonl"), Path("prompts", "results.csv")
SECONDS = 600  # that anything here may take at most, on a machine that does more beside it


@pytest.fixture(scope="module")
def environment():
    """Variables of every process here: Ray on its path, with a token, without statistics, on 127.0.0.1 alone."""
    folder = tempfile.mkdtemp(prefix="ray")  # paths of sockets are short
    paths = [str(BESIDE), str(setup_host.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "RAY_TMPDIR": folder, "HOME": folder, "OMP_NUM_THREADS": "1"}
    own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    own |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # then Ray leaves loopback addresses as they are
    checks = {"period_ms": 500, "timeout_ms": 2000, "initial_delay_ms": 1000, "failure_threshold": 3}
    own |= {f"RAY_health_check_{name}": str(value) for name, value in checks.items()}
    yield {**os.environ, **own}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(environment, pack, clip):
    """The process of ray_nodes.py, with its `address`."""
    if subprocess.run([sys.executable, "-c", "import ray"], env=environment, capture_output=True).returncode:
        pytest.skip("Ray is not installed. `make test` brings it, or: make .comfy/ray")
    command = [sys.executable, str(HERE / "ray_nodes.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        process.address = process.stdout.readline().strip()
        yield process
        process.stdin.close()
        process.wait(SECONDS)


@pytest.fixture
def start(environment, nodes, tmp_path):
    """Starts `bench` with options on the cluster: the process. Its output goes to the file driver.log."""
    started = []

    def start(*options: str):
        command = [sys.executable, "-m", "bench", options[0], "--ray", nodes.address, *options[1:]]
        with open(tmp_path / "driver.log", "w") as log:
            started.append(
                subprocess.Popen(command, cwd=setup_host.ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def single(*options: str) -> None:
    """Run `bench` with options in this process, on one thread."""
    from bench import __main__ as bench

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["bench", *options])
        torch.set_num_threads(1)
        try:
            bench.main()
        finally:
            torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """A CSV file of prompts."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.csv"
    rows = [(prompt, len(prompt), "weapons" if len(prompt) % 2 else "") for prompt in PROMPTS]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "evaluation_seed", "categories"), *rows])
    return path


def drawing(table: Path, folder: Path) -> tuple[str, ...]:
    """Options of `bench prompts`, with all that it makes in `folder`."""
    kept = ("--out", str(folder), "--pictures", str(folder / "pictures"))
    return ("prompts", str(table), "--steps", "2", "--guards", *GUARDS, *kept)


@pytest.fixture(scope="module")
def alone(table, pack, tmp_path_factory) -> Path:
    """The folder of `bench prompts` in one process."""
    folder = tmp_path_factory.mktemp("alone")
    single(*drawing(table, folder))
    return folder


def wait(holds, process) -> None:
    """Until `holds()`, while a process runs."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert process.poll() is None, "the run ended before it was half-way"
        assert time.monotonic() < end
        time.sleep(0.05)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def workers(nodes) -> list[psutil.Process]:
    """The processes that measure a shard at this moment."""
    found = []
    for process in psutil.Process(nodes.pid).children(recursive=True):
        try:
            if process.cmdline()[:1] == ["ray::Worker.measure"]:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def keys(path: Path) -> set[str]:
    """Of the entries kept in a file, each of which stands there once."""
    found = [json.loads(line)["key"] for line in lines(path)]
    assert len(found) == len(set(found))
    return set(found)


def done(process, folder: Path, said: str) -> None:
    code, log = process.wait(SECONDS), (folder / "driver.log").read_text()
    assert code == 0, log
    assert said in log


def kill_a_worker(nodes, process) -> None:
    wait(lambda: workers(nodes), process)
    workers(nodes)[0].kill()


def pictures(folder: Path) -> dict[str, list]:
    return {path.name: load_file(path)["image"].tolist() for path in folder.rglob("*.safetensors")}


def test_prompts_come_out_row_by_row_as_in_one_process_with_a_worker_killed(start, table, alone, nodes, tmp_path):
    process = start(*drawing(table, tmp_path))
    wait(lambda: len(lines(tmp_path / ROWS)) >= len(PROMPTS), process)  # half of them: there are two guards
    kill_a_worker(nodes, process)
    done(process, tmp_path, "A worker was lost")
    assert lines(tmp_path / TABLE) == lines(alone / TABLE)
    assert len(lines(alone / TABLE)) == 1 + len(GUARDS) * len(PROMPTS)
    assert pictures(tmp_path / "pictures") == pictures(alone / "pictures")
    assert len(keys(tmp_path / ROWS)) == len(GUARDS) * len(PROMPTS)


def test_language_comes_out_as_in_one_process_with_the_run_killed_and_then_a_worker(start, nodes, tmp_path):
    options = ("language", "--encoder", "tiny", "--sets", "weapons", "--limit", "120", "--out")
    single(*options, str(tmp_path / "alone"))
    outcomes, results = (Path("language", name) for name in ("outcomes.jsonl", "results.json"))
    expected = [json.loads(line) for line in lines(tmp_path / "alone" / outcomes)]
    process = start(*options, str(tmp_path), "--workers", "1")
    wait(lambda: lines(tmp_path / outcomes), process)
    process.kill()
    process.wait()
    before = lines(tmp_path / outcomes)
    process = start(*options, str(tmp_path))
    wait(lambda: len(lines(tmp_path / outcomes)) > max(len(before), len(expected) // 3), process)
    kill_a_worker(nodes, process)
    done(process, tmp_path, "A worker was lost")
    assert lines(tmp_path / outcomes)[: len(before)] == before
    found = {row["key"]: _without_costs(row) for row in map(json.loads, lines(tmp_path / outcomes))}
    assert len(keys(tmp_path / outcomes)) == len(expected) > 60
    pairs = [(_without_costs(row), found[row["key"]]) for row in expected]
    assert [pair for pair in pairs if not _alike(*pair)] == []
    one, other = (json.loads((folder / results).read_text()) for folder in (tmp_path / "alone", tmp_path))
    assert _alike(*([_without_costs(run) for run in part["runs"]] for part in (one, other)))


def test_the_paper_s_tables_come_out_on_two_workers_as_in_one_process(start, pack, nodes, tmp_path):
    sets = paper_sets.write(tmp_path / "sets")
    guards = ("none", "negative prompt")

    def options(folder: Path) -> tuple[str, ...]:
        own = ("--out", str(folder), "--pictures", str(folder / "pictures"), "--guards", *guards)
        quick = (
            "--steps",
            "1",
            "--size",
            "128",
            "--concept-set",
            "weapons",
            "--family",
            "weapon",
            "--only",
            "P4D",
            "COCO",
        )
        return ("paper", "--sets", str(sets), *own, *quick)

    single(*options(tmp_path / "alone"))
    (tmp_path / "shared").mkdir()
    process = start(*options(tmp_path / "shared"))
    done(process, tmp_path, "2 workers, on a CPU each")
    for name in ("report.md", "results.json", "rows.csv"):
        one, other = ((tmp_path / folder / "paper" / name).read_text() for folder in ("alone", "shared"))
        assert one == other


def _without_costs(row: dict) -> dict:
    """Without what depends on which words this process met before."""
    return {name: value for name, value in row.items() if name not in ("seconds", "milliseconds", "rows", "calls")}


def _alike(one, other) -> bool:
    """Equal, fractions up to 5e-4: a score's last digit depends on which words share its matrix product."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return one == (pytest.approx(other, abs=5e-4) if isinstance(other, float) else other)


AMISS = ("lost once", "lost in its start", "another model", "kills its worker", "fails", "cannot start")


@pytest.fixture(scope="module")
def ends(environment, nodes):
    """How each of the plans in ray_plans.py ended, and what the run said."""
    done = subprocess.run(running(nodes, *AMISS), env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return told(done.stdout), done.stdout + done.stderr


def running(nodes, *cases: str) -> list[str]:
    return [sys.executable, str(HERE / "ray_plans.py"), nodes.address, *cases]


def told(said: str) -> dict:
    return json.loads(next(line for line in said.splitlines() if line.startswith("{")))


ALL = {"end": "done", "found": {str(number): [10 * number, 10 * number] for number in range(12)}}


@pytest.mark.parametrize("case", ["lost once", "lost in its start", "another model"])
def test_a_run_goes_on_without_the_worker_that_is_amiss(ends, case):
    ended, said = ends
    assert ended[case] == ALL
    assert "files or kinds of GPU differ" in said


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("kills its worker", "a shard lost 3 workers"),
        ("fails", "worker on 127.0.0.1: 3 is no number"),
        ("cannot start", "no worker is left: worker on 127.0.0.1: there is no model.safetensors"),
    ],
)
def test_a_run_ends_where_no_worker_can_do_it_and_says_why(ends, case, message):
    ended, said = ends
    assert message in ended[case]["end"]
    assert "the same command goes on" in ended[case]["end"]
    assert "3" not in ended[case]["found"]
    assert "Going on without a worker: worker on 127.0.0.1: there is no model.safetensors. " in said


def test_without_ray_the_error_says_how_to_get_it(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match=r"--ray needs Ray, .*pip install -r bench/requirements-ray\.txt"):
        single(*drawing(table, tmp_path), "--ray", "auto")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", "2"), "--workers goes with --ray"),
        (("--ray", "auto", "--workers", "-1"), "--workers -1"),
        (("--seeds", "0"), "at least one"),
    ],
)
def test_options_that_make_no_sense_are_errors(table, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        single(*drawing(table, tmp_path), *options)


def test_an_address_where_nothing_is_is_an_error_at_once(start, table, nodes, tmp_path):
    process = start(*drawing(table, tmp_path), "--ray", "127.0.0.1:9")
    assert process.wait(SECONDS) == 1
    assert "nothing answers at '127.0.0.1:9'" in (tmp_path / "driver.log").read_text()


def test_a_run_goes_on_without_a_node(environment, nodes):
    with subprocess.Popen(running(nodes, "node lost"), env=environment, stdout=subprocess.PIPE, text=True) as process:
        wait(lambda: len(workers(nodes)) == 2, process)
        nodes.stdin.write("remove\n")
        nodes.stdin.flush()
        said, _ = process.communicate(timeout=SECONDS)
    assert told(said) == {"node lost": ALL}
    assert "A worker was lost" in said
