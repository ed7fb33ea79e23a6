"""Do the tests notice a fault? One token of a source file is changed, and the tests of that file are run.

    make mutate                                          200 faults, the same ones each time
    make mutate MUTATE="--count 50 --only safree"        of one folder or file; --only may be given more than once
    make mutate MUTATE="--seed 2"                        other faults
    make mutate MUTATE="--all --only safree/plan.py"     every fault of a file
    make mutate MUTATE="--again"                         those that were noticed before are tried again, too
    make mutate MUTATE="--report"                        what is known so far; nothing is tried

The faults are cosmic-ray's: another operator, a number one higher or lower, `not` added or taken away, True for False,
`and` for `or`, a loop that never runs, an `except` that catches nothing, a decorator left out. Places are drawn first
and then a fault for each, so that `+`, which can be changed in many ways, is not drawn more often than `not`.

Work is done in copies of the tree in `.comfy/mutate/`, one for each process. Results are kept there: after an
interrupt the same command goes on, and a fault that was noticed is not tried again until its file changes. One that
was not noticed is tried again each time. dev/same_program.json lists changes that leave the program as it was.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import dataclasses
import functools
import hashlib
import importlib
import itertools
import json
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import setup_host
from .matrix import copy_repository

ROOT = setup_host.ROOT
FOLDER = setup_host.WORK / "mutate"
RESULTS = FOLDER / "results.jsonl"
SAME_PROGRAM = Path(__file__).with_name("same_program.json")
# Sources, and where their tests are. Of host/ only what is tested without a model; headless/client.py and proxy.py are
# tested against servers, in tests/e2e.
TESTED_IN = {
    "safree": "tests/safree",
    "headless": "tests/headless",
    "host/data": "tests/host/data",
    "host/sampling/schedule.py": "tests/host/sampling",
    "host/text/words.py": "tests/host/text",
}
AS_A_WHOLE = ("headless",)  # its modules are tested through check and guard
LEFT_OUT = ("headless/client.py", "headless/proxy.py")
COUNT = 200
# Operators whose faults are another program only by accident (`is` for `==`), or are a TypeError at once.
NOT_TRIED = re.compile(
    r"Comparison\w*_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$|Comparison\w*_Is(Not)?_(Eq|NotEq|Lt|LtE|Gt|GtE)$"
    r"|Binary\w*_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(RShift|LShift|BitOr|BitAnd|BitXor)$"
    r"|Binary\w*_(RShift|LShift|BitOr|BitAnd|BitXor)_(Add|Mul|Div|FloorDiv|Mod|Pow|RShift|LShift)$"
)
PATIENCE = 4  # times what the tests take without a fault, and then some seconds: a loop without end was noticed
LONGEST = 1200.0  # seconds, without a fault
HEARTBEAT = 20.0  # seconds between two lines of progress


@dataclasses.dataclass(frozen=True)
class Fault:
    """The `occurrence`-th place of a cosmic-ray operator in a file; line and column of its first and last token."""

    path: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    def code(self, source: str) -> str:
        """The file with the fault in it."""
        from cosmic_ray import mutating, plugins

        return mutating.mutate_code(source, plugins.get_operator(self.operator)(), self.occurrence)

    def key(self, source: str) -> str:
        """Names the fault and the whole file it was made in."""
        return digest(self.path, source, self.operator, self.occurrence)


@dataclasses.dataclass(frozen=True)
class Change:
    """A fault as a reader sees it: the line's number, its text and what it became."""

    path: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n    {self.before}\n    {self.after or '(left out)'}"


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


@functools.cache
def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def sources(only: list[str]) -> list[str]:
    """The files to change, under one of `only`."""
    found = []
    for folder in TESTED_IN:
        paths = [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py"))
        found += [path.relative_to(ROOT).as_posix() for path in paths]
    wanted = tuple(one.rstrip("/") for one in only)
    chosen = [path for path in found if path not in LEFT_OUT and within(path, wanted)]
    if not chosen:
        raise SystemExit(f"make mutate: no source is under {', '.join(wanted)}. Choose from {', '.join(TESTED_IN)}.")
    return chosen


def within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@functools.cache
def tests_of(path: str) -> tuple[str, ...]:
    """The test files of a source: those that import it, the one of its name first. All of a folder where none does."""
    folder = next(tests for source, tests in TESTED_IN.items() if within(path, [source]))
    stem = Path(path).parent.name if path.endswith("__init__.py") else Path(path).stem
    files = sorted((ROOT / folder).rglob("test_*.py"), key=lambda file: stem not in file.stem)
    named = re.compile(rf"^(from|import) .*\b{stem}\b", re.MULTILINE)
    own = [file for file in files if named.search(file.read_text(encoding="utf-8"))]
    others = [file for file in files if file not in own] if not own or within(path, AS_A_WHOLE) else []
    return tuple(file.relative_to(ROOT).as_posix() for file in own + others)


def faults(path: str) -> Iterator[Fault]:
    """Every fault of a file, by operator."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast(read(path))))
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or NOT_TRIED.search(name):
            continue
        places = itertools.chain.from_iterable(map(kind().mutation_positions, nodes))
        yield from (Fault(path, name, number, *place) for number, place in enumerate(places))


def drawn(found: Iterable[Fault], seed: int) -> Iterator[Fault]:
    """In an order that the seed decides: one fault of each place, then a second of each that has more, ..."""
    places = defaultdict(list)
    for fault in found:
        places[fault.path, fault.start, fault.end].append(fault)
    chance = {fault: digest(seed, dataclasses.astuple(fault)) for own in places.values() for fault in own}
    rounds = itertools.zip_longest(*(sorted(own, key=chance.get) for own in places.values()))
    for one_each in rounds:
        yield from sorted(filter(None, one_each), key=chance.get)


def changes_something(fault: Fault) -> bool:
    """Whether the file with the fault is a program, and another one but for its annotations, which nobody reads."""
    try:
        return program(fault.code(read(fault.path))) != program(read(fault.path))
    except SyntaxError:
        return False


@functools.lru_cache(maxsize=64)
def program(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def change(fault: Fault) -> Change:
    number = fault.start[0]
    old, new = read(fault.path).splitlines(), fault.code(read(fault.path)).splitlines()
    before = [line.strip() for line in old[number - 1 : fault.end[0]]]
    after = [line.strip() for line in new[number - 1 : fault.end[0] + len(new) - len(old)]]
    return Change(fault.path, number, " ".join(before), re.sub(r"  +", " ", " ".join(after)).strip())


def same_program() -> dict[tuple[str, str, str], str]:
    """(file, line, what it became) -> why nothing can notice it."""
    listed = json.loads(SAME_PROGRAM.read_text(encoding="utf-8"))
    return {(one["file"], one["line"], became): one["why"] for one in listed for became in one["became"]}


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


def time_without_fault(tests: tuple[str, ...]) -> float:
    """Seconds. Raises RuntimeError where the tests fail as it is: they could notice nothing."""
    began = time.monotonic()
    if not passes(tests, LONGEST, "tests.log"):
        raise RuntimeError(f"without a fault, tests fail:\n{Path('tests.log').read_text()[-2000:]}")
    return time.monotonic() - began


def try_fault(fault: Fault, seconds: float) -> bool:
    """Whether the tests notice it."""
    path, original = Path(fault.path), read(fault.path)
    try:
        path.write_text(fault.code(original), encoding="utf-8")
        return not passes(tests_of(fault.path), PATIENCE * seconds + 10)
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
        sets = {frozenset(tests_of(fault.path)): tests_of(fault.path) for fault in todo}
        seconds = dict(zip(sets, pool.map(time_without_fault, sets.values()), strict=True))
        running = {pool.submit(try_fault, fault, seconds[frozenset(tests_of(fault.path))]): fault for fault in todo}
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


def report(noticed: dict[Fault, bool]) -> None:
    """A line for each folder, then what was not noticed."""
    excused = same_program()
    missed = sorted((change(fault) for fault, seen in noticed.items() if not seen), key=dataclasses.astuple)
    same = [one for one in missed if (one.path, one.before, one.after) in excused]
    left = [one for one in missed if one not in same]

    def folders(paths: Iterable[str]) -> Counter:
        paths = [path.rsplit("/", 1)[0] for path in paths]
        return Counter([*paths, *("all" for _ in paths)])

    tried, not_noticed = folders(fault.path for fault in noticed), folders(one.path for one in left)
    no_faults = folders(one.path for one in same)
    print(f"{'folder':24}{'faults':>8}{'noticed':>9}{'share':>7}   the same program")
    for folder in sorted(tried, key=lambda name: (name == "all", name)):
        real = tried[folder] - no_faults[folder]
        seen = real - not_noticed[folder]
        print(f"{folder:24}{real:8}{seen:9}{seen / max(real, 1):7.2f}   {no_faults[folder] or ''}")
    print(f"\nNot noticed ({len(left)}):", *left, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help=f"faults to try (default {COUNT})")
    parser.add_argument("--all", action="store_true", help="try every fault")
    parser.add_argument("--only", action="append", metavar="PATH", help="sources under this folder or file")
    parser.add_argument("--seed", type=int, default=1, help="which faults are drawn (default 1)")
    parser.add_argument("--again", action="store_true", help="try those again, too, that were noticed before")
    parser.add_argument("--report", action="store_true", help="show what is known so far and try nothing")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 4), help="processes (default: cores)")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = itertools.chain.from_iterable(map(faults, sources(options.only or list(TESTED_IN))))
    sample = filter(changes_something, drawn(found, options.seed))
    sample = list(sample if options.all else itertools.islice(sample, options.count))
    known = {} if options.again else kept()
    results = {fault: known.get(fault.key(read(fault.path))) for fault in sample}
    noticed = {fault: seen for fault, seen in results.items() if seen or (options.report and seen is not None)}
    todo = [] if options.report else [fault for fault in sample if fault not in noticed]
    print(f"{len(sample)} faults, {sum(noticed.values())} of them noticed before; {len(todo)} to try", flush=True)
    report(noticed | (try_all(todo, options.workers) if todo else {}))


if __name__ == "__main__":
    main()
