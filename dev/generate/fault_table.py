"""SECURITY.md's table of faults tried, from what the tests marked `fault` wrote when they ran last.

    python -m dev.generate.fault_table             print it
    python -m dev.generate.fault_table --write     put it between the markers `<!-- faults -->` in SECURITY.md

Run `make test` first: a fault is in the table only if every test of it passed.
"""

from __future__ import annotations

import argparse
import json
import sys

from .. import setup_host
from . import tables

RESULTS = setup_host.WORK / "fault_table.json"
SECURITY = setup_host.ROOT / "SECURITY.md"
MARKER = "<!-- faults -->"


def record(noted: dict[str, dict], collected: set[str]) -> None:
    """Add the results of a test run, by test id; those of tests that are no longer in their files go."""
    files = {test.split("::")[0] for test in collected}
    kept = {test: old for test, old in results().items() if test in collected or test.split("::")[0] not in files}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept | noted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def results() -> dict[str, dict]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def table(noted: dict[str, dict]) -> str:
    """Markdown, one line a fault, in the order of the test files."""
    faults: dict[str, list[tuple[str, dict]]] = {}
    for test in sorted(noted, key=lambda test: test.split("::")[0]):
        faults.setdefault(noted[test]["what"], []).append((test, noted[test]))
    lines = ["| fault | what happens | cases | test |", "|---|---|---|---|"]
    for what, tests in faults.items():
        if all(result["passed"] for _, result in tests):
            files = sorted({test.split("::")[0] for test, _ in tests})
            cases = sum(result["cases"] for _, result in tests)
            lines.append(f"| {what} | {tests[0][1]['outcome']} | {cases:,} | {', '.join(f'`{f}`' for f in files)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in SECURITY.md")
    arguments = parser.parse_args()
    noted = results()
    if not noted:
        sys.exit(f"{RESULTS} is not there. Run make test first.")
    failed = sorted(test for test, result in noted.items() if not result["passed"])
    if arguments.write:
        tables.put(SECURITY, MARKER, table(noted))
    else:
        print(table(noted))
    if failed:
        sys.exit("Left out, for these tests failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
