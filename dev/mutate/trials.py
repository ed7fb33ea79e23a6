"""Try faults in copies of the tree, some at a time, and write down whether the tests noticed."""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

from .. import setup_host
from ..matrix import copy_repository
from .faults import Fault, change, read
from .sources import files_testing, folder_of

ROOT = setup_host.ROOT
FOLDER = setup_host.WORK / "mutate"
RESULTS = FOLDER / "results.jsonl"
PATIENCE = 4  # times what the tests take without a fault, and then some seconds: a loop without end was noticed
LONGEST = 1200.0  # seconds, without a fault
HEARTBEAT = 20.0  # seconds between two lines of progress


def make_copy(number: int) -> Path:
    """A copy of the tree with a `.comfy` of its own: what a faulty program writes stays in it."""
    copy = FOLDER / f"copy-{number}"
    copy_repository(copy)
    for part in setup_host.WORK.iterdir():
        if part.is_dir() and part.name not in (FOLDER.name, "base", "matrix"):
            (copy / ".comfy").mkdir(exist_ok=True)
            (copy / ".comfy" / part.name).symlink_to(part.resolve(), target_is_directory=True)
    models = copy / ".comfy" / "base" / "models"
    for kind in ("checkpoints", "safree_calibration"):
        (models / kind).mkdir(parents=True)
        for file in (setup_host.base() / "models" / kind).glob("*.safetensors"):
            (models / kind / file.name).symlink_to(file.resolve())
    # By content, not by date: a fault may be as long as what it replaces, and made in the same second.
    compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compiled, *(name for name in ("safree", "headless", "host", "dev", "nodes"))], cwd=copy)
    return copy


def enter(copies: multiprocessing.Queue) -> None:
    """A worker takes a copy and works in it, with what is slow to import at hand for each run of tests."""
    copy = copies.get()
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no test needs one here, and each takes its time
    for module in ("hypothesis", "pytest", "torch"):
        importlib.import_module(module)


def run_tests(tests: tuple[str, ...], log: str) -> None:
    """In a process of its own, made from a worker: nothing of the pack is imported yet but dev/."""
    for name in [name for name in sys.modules if name.split(".")[0] == "dev"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os._exit(int(importlib.import_module("pytest").main(["-xq", "-p", "no:cacheprovider", "--assert=plain", *tests])))


def passes(tests: tuple[str, ...], seconds: float, log: str = os.devnull) -> bool:
    """Whether the tests pass in that time."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    process = multiprocessing.get_context(method).Process(target=run_tests, args=(tests, log))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == 0


def time_without_fault(folder: str) -> float:
    """Seconds. Raises RuntimeError where the tests fail as it is: they could notice nothing."""
    began = time.monotonic()
    if not passes((folder,), LONGEST, "tests.log"):
        raise RuntimeError(f"without a fault, tests fail:\n{Path('tests.log').read_text()[-2000:]}")
    return time.monotonic() - began


def try_fault(fault: Fault, seconds: float) -> bool:
    """Whether the tests notice it."""
    path, original = Path(fault.path), read(fault.path)
    try:
        path.write_text(fault.code(original), encoding="utf-8")
        return not passes(files_testing(fault.path), PATIENCE * seconds + 10)
    finally:
        path.write_text(original, encoding="utf-8")


def kept() -> dict[str, bool]:
    """Results of earlier runs, by `Fault.key`."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return dict(json.loads(line) for line in lines)


def try_all(todo: list[Fault], workers: int) -> dict[Fault, bool]:
    """Whether each was noticed. Written down one by one."""
    context, noticed = multiprocessing.get_context("spawn"), {}
    copies = context.Queue()
    for number in range(workers):
        copies.put(make_copy(number))
    with (
        concurrent.futures.ProcessPoolExecutor(workers, context, enter, (copies,)) as pool,
        open(RESULTS, "a", encoding="utf-8") as results,
    ):
        folders = sorted({folder_of(fault.path) for fault in todo})
        seconds = dict(zip(folders, pool.map(time_without_fault, folders), strict=True))
        running = {pool.submit(try_fault, fault, seconds[folder_of(fault.path)]): fault for fault in todo}
        said = time.monotonic()
        for done in concurrent.futures.as_completed(running):
            fault = running[done]
            noticed[fault] = done.result()
            results.write(json.dumps([fault.key(read(fault.path)), noticed[fault]]) + "\n")
            results.flush()
            if not noticed[fault]:
                print(f"  not noticed: {change(fault)}", flush=True)
            if time.monotonic() - said > HEARTBEAT:
                said = time.monotonic()
                print(f"  {len(noticed)} of {len(todo)}, {sum(noticed.values())} noticed", flush=True)
    return noticed
