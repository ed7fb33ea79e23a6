"""Command line of the benchmarks; see `python -m bench --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .world import SEED

OUT = Path(__file__).resolve().parent.parent / "output" / "bench"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the guard in the real ComfyUI, on the CPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, default=OUT, help="folder for results (default: output/bench)")
    removal = commands.add_parser(
        "concept-removal", parents=[common], help="removal and preservation on the tiny checkpoint"
    )
    removal.add_argument("--guards", nargs="*", metavar="NAME", help="only these (default: all)")
    removal.add_argument("--subset", type=int, default=36, help="prompts for guards other than none and adaptive")
    removal.add_argument("--limit", type=int, default=0, help="at most about so many prompts in all (0: all)")
    removal.add_argument("--seed", type=int, default=SEED, help="of the prompt generator")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    out = arguments.out / arguments.command
    if arguments.command == "concept-removal":
        from . import concept_removal, guards

        unknown = set(arguments.guards or ()) - set(guards.BY_NAME)
        if unknown:
            raise SystemExit(f"bench: unknown guard {', '.join(unknown)}. Known: {', '.join(guards.BY_NAME)}.")
        chosen = tuple(guards.BY_NAME[name] for name in arguments.guards or guards.BY_NAME)
        concept_removal.run(out, chosen, arguments.subset, arguments.limit, arguments.seed)
    print(f"Report: {out / 'report.md'}")


if __name__ == "__main__":
    main()
