"""Run the guard's tests with other versions of Python, torch, transformers and ComfyUI, each in its own environment,
and with other start-up flags.

    python -m dev.matrix                    every combination (about 2 GB and a few minutes each)
    python -m dev.matrix "transformers 4"   only these
    python -m dev.matrix --clone ~/ComfyUI v0.3.64 v0.33.0
                                                revisions of a git clone of ComfyUI (with a work tree or bare);
                                                --python FILE: in an environment that can run them
    python -m dev.matrix --flags=--cache-none --clone ~/ComfyUI v0.33.0
                                                with further options of ComfyUI, in the process and in the server
    python -m dev.matrix --write            put the results so far between the markers in docs/compatibility.md

Each combination is a copy of the repository in `.comfy/matrix/`, set up by its own dev/setup_host.py and deleted
afterwards. Results are kept in `.comfy/matrix.json`. Standard library only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from . import setup_host
from .generate import tables

FOLDER = setup_host.WORK / "matrix"
RESULTS = setup_host.WORK / "matrix.json"
PAGE = setup_host.ROOT / "docs" / "compatibility.md"
MARKER = "<!-- matrix -->"
MARK = "pytest.mark.matrix"  # one or more tests of each thing that depends on the host: a few minutes on two cores


@dataclasses.dataclass(frozen=True)
class Combination:
    """What differs from the tests' own environment.

    interpreter: makes the environment;  variables: of setup_host.py;  clone, revision: the ComfyUI to test;
    python: of an environment that can run it, instead of a new one;  flags: further options of ComfyUI
    """

    interpreter: str = ""
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    clone: Path | None = None
    revision: str = ""
    python: Path | None = None
    flags: str = ""


COMBINATIONS = {
    "the tests' own": Combination(),
    "transformers 4": Combination(variables={"SAFREE_TRANSFORMERS": "transformers==4.57.*"}),
    "torch 2.4": Combination(variables={"SAFREE_TORCH": "torch==2.4.1", "SAFREE_TORCHVISION": "torchvision==0.19.1"}),
    "Python 3.10": Combination("python3.10"),
    "Python 3.12": Combination("python3.12"),
    "Python 3.13": Combination("python3.13"),
}
COLUMNS = (
    "ComfyUI",
    "flags",
    "torch",
    "Python",
    "transformers",
    "front end",
    "tests of guard, samplers, re-attention and API",
)
VERSION_KEYS = ("comfyui", "torch", "python", "transformers", "front_end")
VERSIONS = """
import importlib.metadata, json, platform, sys, torch, transformers
sys.path.insert(0, sys.argv[1])
from comfyui_version import __version__
front_end = importlib.metadata.version("comfyui-frontend-package")
print(json.dumps([__version__, torch.__version__, platform.python_version(), transformers.__version__, front_end]))
"""


def marked(root: Path) -> list[str]:
    """The files with tests that this command runs; others may not even import where a ComfyUI is old."""
    files = sorted((root / "tests").rglob("test_*.py"))
    return [str(path.relative_to(root)) for path in files if f"@{MARK}" in path.read_text(encoding="utf-8")]


def copy_repository(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=setup_host.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (setup_host.ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(setup_host.ROOT / name, target / name)


def calibrations(base: Path) -> Path:
    return base / "models" / "safree_calibration"


def check_out(clone: Path, revision: str, target: Path) -> None:
    """ComfyUI as it was at `revision`, without touching the clone's work tree."""
    packed = target.with_suffix(".zip")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "-C", clone, "archive", "--format=zip", "-o", packed, revision], check=True)
    shutil.unpack_archive(packed, target)


def run(name: str, combination: Combination) -> dict:
    """Set one combination up and test it: what was tested and how it ended, as plain data."""
    interpreter = combination.interpreter
    python = shutil.which(interpreter) if interpreter else sys.executable
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        return {"result": f"not run: no {interpreter} on this machine"}
    place = FOLDER / re.sub(r"[^\w.]+", "_", name)
    work, host = place / ".comfy", place / ".comfy" / "host"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COMFYUI_")}
    environment.update(combination.variables)
    environment["SAFREE_FLAGS"] = combination.flags
    try:
        copy_repository(place)
        made = calibrations(setup_host.base())
        if made.exists():  # found again only where an encoder still says the same
            shutil.copytree(made, calibrations(work / "base"))
        if combination.clone:
            host = work / "checkout"
            check_out(combination.clone, combination.revision, host)
            environment["COMFYUI_PATH"] = str(host)
        if combination.python:
            environment |= {"COMFYUI_PYTHON": str(combination.python), "PYTHONPATH": str(work / "tools")}
        if subprocess.run([python, "-m", "dev.setup_host", "--tools"], cwd=place, env=environment).returncode:
            return {"result": "not run: it could not be set up"}
        own = str(combination.python or work / "venv" / "bin" / "python")
        asked = subprocess.run([own, "-c", VERSIONS, str(host)], capture_output=True, text=True, check=True)
        versions = dict(zip(VERSION_KEYS, json.loads(asked.stdout), strict=True))
        outcome = work / "tests.xml"
        command = [own, "-m", "pytest", "-q", "-m", "matrix", f"--junitxml={outcome}", *marked(place)]
        subprocess.run(command, cwd=place, env=environment)
        return {**versions, "flags": combination.flags, "result": result(outcome)}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def result(outcome: Path) -> str:
    """How the tests ended, from the file that pytest wrote."""
    if not outcome.exists():
        return "failed: pytest did not end"
    (suite,) = ElementTree.parse(outcome).getroot()
    total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
    wrong = int(suite.get("failures")) + int(suite.get("errors"))
    return f"{wrong} of {total} failed" if wrong or not total else f"{total - skipped} passed"


def recorded() -> dict[str, dict]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(results: dict[str, dict]) -> str:
    """Markdown: by version of ComfyUI, then what did not run."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, outcome in sorted(results.items(), key=_order):
        cells = [outcome.get(key, "") for key in ("comfyui", "flags", *VERSION_KEYS[1:])]
        cells[1] = cells[1] and f"`{cells[1]}`"
        lines.append(f"| {' | '.join(cells if cells[0] else [name] + [''] * 5)} | {outcome['result']} |")
    return "\n".join(lines)


def _order(item: tuple[str, dict]) -> tuple:
    """Numbers count as numbers in versions: 0.3.64 before 0.33.0."""
    name, outcome = item
    versions = [outcome.get(key, "") for key in ("comfyui", "python", "torch", "transformers")]
    return ("comfyui" not in outcome, [[int(n) for n in re.findall(r"\d+", version)] for version in versions], name)


def chosen(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Combination]:
    """What the command line asks for, by name; ends the program for a name or revision that is not there."""
    if not arguments.clone:
        if unknown := set(arguments.names) - set(COMBINATIONS):
            parser.error(f"unknown: {', '.join(sorted(unknown))}. With --clone the names are revisions of a clone.")
        wanted = {name: COMBINATIONS[name] for name in arguments.names or COMBINATIONS}
        return {_named(n, arguments.flags): dataclasses.replace(c, flags=arguments.flags) for n, c in wanted.items()}
    if not arguments.names:
        parser.error("name the revisions of the clone to test, for example v0.33.0")
    clone = arguments.clone.resolve()
    python = arguments.python and arguments.python.absolute()  # not resolved: an environment's is a link
    for name in arguments.names:
        known = ["git", "-C", clone, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
        if subprocess.run(known, capture_output=True).returncode:
            parser.error(f"{clone} is no git clone that has a revision {name}")
    return {
        _named(f"ComfyUI {name}", arguments.flags): Combination(
            clone=clone, revision=name, python=python, flags=arguments.flags
        )
        for name in arguments.names
    }


def _named(name: str, flags: str) -> str:
    return f"{name} {flags}".strip()


def parse(words: list[str] | None = None) -> tuple[argparse.Namespace, dict[str, Combination]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = f"of {', '.join(COMBINATIONS)} (default: all), or revisions with --clone"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--clone", type=Path, metavar="FOLDER", help="a git clone of ComfyUI")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="with --clone: an interpreter that can run these revisions"
    )
    parser.add_argument("--flags", default="", metavar="OPTIONS", help="further command line options of ComfyUI")
    parser.add_argument("--write", action="store_true", help="only replace the table in docs/compatibility.md")
    arguments = parser.parse_args(words)
    if arguments.python and not arguments.clone:
        parser.error("--python needs --clone")
    return arguments, chosen(parser, arguments)


def main() -> None:
    arguments, combinations = parse()
    if arguments.write:
        tables.put(PAGE, MARKER, table(recorded()))
        return
    for name, combination in combinations.items():
        print(f"[matrix] {name}", flush=True)
        outcome = run(name, combination)
        RESULTS.write_text(json.dumps({**recorded(), name: outcome}, indent=1) + "\n")
    print(table(recorded()))


if __name__ == "__main__":
    main()
