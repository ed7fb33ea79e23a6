"""Check, guard or run an API-format workflow, with nothing but Python.

    python -m headless check my.json     is every sampler guarded?
    python -m headless guard my.json my_guarded.json     write its guarded twin
    python -m headless run my_guarded.json out     run it on a ComfyUI server, fetch pictures and reports
    python -m headless policy safree_policy.json     explain the policy file of a server, try a workflow against it
    python -m headless record safree_record.jsonl     sum up a server's record by day, key and concept

Run it in the folder of this pack. `--help` after a command says what it can do.
"""

from __future__ import annotations

import sys

from .commands import check, guard, policy, record, run

COMMANDS = {"check": check.main, "guard": guard.main, "run": run.main, "policy": policy.main, "record": record.main}


def main(argv: list[str]) -> int:
    """The exit code of the command that `argv` starts with; 2 where it starts with none."""
    command = COMMANDS.get(argv[0]) if argv else None
    if command:
        return command(argv[1:])
    asked = argv[:1] in (["-h"], ["--help"])
    print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
