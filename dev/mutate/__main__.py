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
was not noticed is tried again each time. dev/mutate/same_program.json lists changes that leave the program as it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from . import trials
from .faults import Fault, change, changes_something, drawn, faults, read
from .sources import TESTED_IN, sources

SAME_PROGRAM = Path(__file__).with_name("same_program.json")
COUNT = 200


def same_program() -> dict[tuple[str, str, str], str]:
    """(file, line, what it became) -> why nothing can notice it."""
    listed = json.loads(SAME_PROGRAM.read_text(encoding="utf-8"))
    return {(one["file"], one["line"], became): one["why"] for one in listed for became in one["became"]}


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
    trials.FOLDER.mkdir(parents=True, exist_ok=True)
    found = itertools.chain.from_iterable(map(faults, sources(options.only or list(TESTED_IN))))
    sample = filter(changes_something, drawn(found, options.seed))
    sample = list(sample if options.all else itertools.islice(sample, options.count))
    known = {} if options.again else trials.kept()
    results = {fault: known.get(fault.key(read(fault.path))) for fault in sample}
    noticed = {fault: seen for fault, seen in results.items() if seen or (options.report and seen is not None)}
    todo = [] if options.report else [fault for fault in sample if fault not in noticed]
    print(f"{len(sample)} faults, {sum(noticed.values())} of them noticed before; {len(todo)} to try", flush=True)
    report(noticed | (trials.try_all(todo, options.workers) if todo else {}))


if __name__ == "__main__":
    main()
