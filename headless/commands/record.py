"""Sum up the record of a server, by day, key and concept. Standard library alone.

    python -m headless record safree_record.jsonl
    python -m headless record safree_record.jsonl --since 2026-12-01 --json

The record is what `record` in a policy file asks for: a line for each prompt, without text and without picture. Files
that were put away for their size are read as well. The exit code is 0, or 2 where the record cannot be read.

A row is one day of one key, header or address: how many prompts there were, and how they ended (done; stopped by the
guard; failed; interrupted; refused, which means that they were never queued). Under it stands in how many of them each
concept was found, and what was done. Concepts that are no set of the server are named (own): their names are texts of
whoever sent them.
"""

from __future__ import annotations

import collections
import datetime
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..record_file import entries
from .options import command_line

FIELDS = ("who", "end", "concepts", "actions")  # of a line that are counted
SUMS = ("ends", "concepts", "actions")
Sum = dict[str, collections.Counter]  # of one day and key, by the names in SUMS


def main(argv: list[str] | None = None) -> int:
    parser = command_line("record", __doc__)
    parser.add_argument("record", type=Path, help="the newest file of the record")
    parser.add_argument("--since", type=datetime.date.fromisoformat, metavar="DAY", help="from this day on (UTC)")
    parser.add_argument("--until", type=datetime.date.fromisoformat, metavar="DAY", help="up to this day, included")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    args = parser.parse_args(argv)
    try:
        sums, damaged, lost = summed(entries(args.record), str(args.since or ""), str(args.until or "9999"))
    except OSError as error:
        print(f"record: {args.record} cannot be read ({error.strerror}).", file=sys.stderr)
        return 2
    if args.json:
        days = [{"day": day, "who": who, **found} for (day, who), found in sums.items()]
        print(json.dumps({"days": days, "damaged_lines": damaged, "lost": lost}, indent=1))
    else:
        print("\n".join(_told(sums, damaged, lost)))
    return 0


def summed(found: Iterable[dict | None], since: str, until: str) -> tuple[dict[tuple[str, str], Sum], int, int]:
    """(what was counted, by day and key; damaged lines; prompts whose line was lost) of the lines of a record."""
    sums: dict[tuple[str, str], Sum] = {}
    damaged = lost = 0
    for entry in found:
        try:
            day, gone = entry["time"][:10], int(entry.get("lost", 0))
            who, *values = ("", "", (), ()) if gone else (entry[name] for name in FIELDS)
            counted = [collections.Counter(map(str, one)) for one in ([values[0]], *values[1:])]
        except (KeyError, TypeError, ValueError, AttributeError):
            damaged += 1
            continue
        if not since <= day <= until:
            continue
        lost += gone
        if not gone:
            one = sums.setdefault((day, str(who)), {name: collections.Counter() for name in SUMS})
            for name, more in zip(SUMS, counted, strict=True):
                one[name].update(more)
    return dict(sorted(sums.items())), damaged, lost


def _told(sums: dict[tuple[str, str], Sum], damaged: int, lost: int) -> Iterator[str]:
    for (day, who), one in sums.items():
        count = one["ends"].total()
        yield f"{day}  {who}: {count:,} prompt{'s' * (count != 1)} ({_counts(one['ends'])})"
        for name in ("concepts", "actions"):
            if one[name]:
                yield f"    {name}: {_counts(one[name])}"
    if not sums:
        yield "No prompts."
    if damaged:
        yield f"{damaged:,} damaged line{'s' * (damaged != 1)} left out."
    if lost:
        yield f"{lost:,} prompt{'s' * (lost != 1)} ran whose line could not be written."


def _counts(counted: collections.Counter) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counted.most_common())
