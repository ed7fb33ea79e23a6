"""`bench start`: what the pack adds to the start of ComfyUI, and what the first guarded prompt waits for.

Each round is a process of its own, as after a restart.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from dev import inprocess, setup_host

TEXT = "a wolf near a robot on a yellow background with a red rocket and one corn next to the turtle"
STEPS = {
    "host": "ComfyUI, imported",
    "pack": "the pack, imported",
    "checkpoint": "checkpoint, loaded",
    "encode": "CLIPTextEncode, first prompt",
    "concept": "ConceptSubspace, first concept",
    "first": "SafreeConditioning, first prompt",
    "second": "SafreeConditioning, the same prompt again",
}


def measure(calibrated: bool) -> dict[str, float]:
    """Seconds of each of STEPS, in this process.

    calibrated: with the calibration that is kept on disk; otherwise as if this encoder had never been seen
    """
    from .calls import own_calibrations

    seconds = {}

    def timed(step: str, action: Callable):
        start = time.perf_counter()
        value = action()
        seconds[step] = time.perf_counter() - start
        return value

    nodes = timed("host", inprocess.boot)
    host = timed("pack", inprocess.load_pack).host
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    clip = timed("checkpoint", lambda: nodes.CheckpointLoaderSimple().load_checkpoint(setup_host.CHECKPOINT))[1]
    with own_calibrations(copied=calibrated):
        timed("encode", lambda: nodes.CLIPTextEncode().encode(clip, TEXT))
        weapons = host.data.concept_sets.get("weapons")
        space = timed("concept", lambda: host.prompt.subspaces.build_subspace(clip, weapons.name, weapons.phrases))
        for step in ("first", "second"):
            timed(
                step,
                lambda: host.prompt.guard.guard_prompt(clip, TEXT, (space,), host.prompt.findings.Settings()),
            )
    return seconds


def run(out: Path, rounds: int) -> None:
    """Write start.json and report.md to `out`; the first round, which fills the file cache, does not count."""
    out.mkdir(parents=True, exist_ok=True)
    found = {name: _rounds(name, rounds) for name in ("kept", "new")}
    (out / "start.json").write_text(json.dumps(found, indent=1))
    rows = [(text, *(_median(found[name], step) for name in found)) for step, text in STEPS.items()]
    lines = [
        "# Start",
        "",
        f"Medians of {rounds} processes, seconds of wall time. Kept: the encoder's calibration is on disk, as after a "
        "restart. New: an encoder that was never seen.",
        "",
        "| step | kept | new |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rounds(calibration: str, rounds: int) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "bench.cost.first_prompt", calibration]
    found = []
    for _ in tqdm(range(rounds + 1), desc=f"calibration {calibration}", unit="process"):
        done = subprocess.run(command, cwd=setup_host.ROOT, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found[1:]


def _median(found: list[dict[str, float]], step: str) -> str:
    return f"{statistics.median(seconds[step] for seconds in found):.2f}"


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1] == "kept")))
