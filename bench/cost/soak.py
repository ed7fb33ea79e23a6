"""`bench soak`: many queued prompts with mixed guards, cancellations and interrupts, through the real server's API.

Looks for cross-talk (a report of another prompt), for memory that grows, and for pictures that differ from those of a
fresh server.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import statistics
import time
from pathlib import Path

import psutil
from tqdm import tqdm

from dev.graphs import Run, guarded, node, unguarded
from dev.server import Server
from headless.client import PromptFailed, PromptInterrupted

KINDS = ("unguarded", "guarded", "paper", "re-attention", "strength 0")
FATES = ("run", "run", "run", "interrupt", "cancel")
THINGS = ("cat", "rabbit", "guitar", "house", "rocket", "turtle", "banana", "kite")
WEAPONS = ("pistol", "gun", "knife", "sword", "axe", "dagger")
WAVE = 20  # prompts in the queue at once
WARM = 0.3  # of the run before memory is looked at: caches fill
STEP = 0.02  # seconds of a step, at least: when an interrupt is sent
PAUSE = 0.02  # seconds between two looks at the queue


@dataclasses.dataclass(frozen=True)
class Job:
    """One prompt of the queue; `at` is the step at about which it is interrupted."""

    run: Run
    kind: str
    fate: str
    at: int

    def graph(self) -> dict:
        if self.kind == "unguarded":
            return unguarded(self.run)
        graph = guarded(self.run)
        if self.kind == "paper":
            graph["prompt"]["inputs"]["mode"] = "paper"
        elif self.kind == "strength 0":
            graph["prompt"]["inputs"]["strength"] = 0.0
        elif self.kind == "re-attention":
            scales = {"strength": 1.0, "deep_scale": 0.9, "shallow_scale": 0.2, "radius": 0.0}
            graph["patch"] = node("ReAttentionPatch", model=["loader", 0], **scales)
            graph["sampler"]["inputs"]["model"] = ["patch", 0]
        return graph


@dataclasses.dataclass
class Outcome:
    job: Job
    end: str = "cancel"  # 'run', 'interrupt', 'error' or, when it never began, 'cancel'
    picture: str = ""  # SHA-256 of its file
    reports: int = 0  # that came with it and were compared
    faults: list[str] = dataclasses.field(default_factory=list)


def plan(count: int, steps: int, size: int, seed: int) -> list[Job]:
    """The same jobs for the same numbers."""
    chance = random.Random(seed)
    jobs = []
    for number in range(count):
        things = [chance.choice(THINGS), chance.choice(THINGS + WEAPONS)]
        run = Run(f"a {things[0]} and a {things[1]}", seed=number % 7, steps=steps, size=size)
        fate = chance.choice(FATES)
        jobs.append(Job(run, KINDS[number % len(KINDS)], fate, chance.randint(1, steps)))
    return jobs


class Soak:
    """Sends jobs to a running server and judges what comes back."""

    def __init__(self, server: Server):
        self.client = server.client()

    def wave(self, jobs: list[Job]) -> list[Outcome]:
        """Queue all jobs at once, take some out of the queue again, interrupt some at their step."""
        outcomes = {self.client.queue(job.graph())[0]: Outcome(job) for job in jobs}
        for key, outcome in list(outcomes.items())[1:]:  # the first one runs by now
            if outcome.job.fate == "cancel":
                self.client.post("/queue", {"delete": [key]})
        began: dict[str, float] = {}
        while running := self._running():
            key = running[0]
            due = began.setdefault(key, time.monotonic()) + STEP * (outcomes[key].job.at - 1)
            if outcomes[key].job.fate == "interrupt" and time.monotonic() >= due:
                self.client.post("/interrupt", {"prompt_id": key})
            time.sleep(PAUSE)
        for key, outcome in outcomes.items():
            self._end(key, outcome)
        return list(outcomes.values())

    def _running(self) -> list[str]:
        """Ids of the prompts that run or wait, in the order of the queue."""
        queue = self.client.get_json("/queue")
        return [entry[1] for part in ("queue_running", "queue_pending") for entry in sorted(queue[part])]

    def _end(self, key: str, outcome: Outcome) -> None:
        """Note how a prompt ended; one that the history does not have was cancelled."""
        try:
            outputs = self.client.result(key).outputs
        except PromptFailed as error:
            outcome.end = "error"
            outcome.faults.append(str(error))
        except PromptInterrupted:
            outcome.end = "interrupt" if key in self.client.get_json(f"/history/{key}") else "cancel"
        else:
            outcome.end = "run"
            self._judge(outcome, outputs)

    def _judge(self, outcome: Outcome, outputs: dict) -> None:
        run = outcome.job.run
        tokens = outputs.get("prompt", {}).get("safree_report", [])
        sampling = outputs.get("sampler", {}).get("safree_sampling", [])
        outcome.reports = len(tokens) + len(sampling)
        for report in tokens:
            if report["prompt"] != run.prompt:
                outcome.faults.append(f"the report of {run.prompt!r} is that of {report['prompt']!r}")
        for report in sampling:
            if report["steps"] != run.steps or report["active"] != (outcome.job.kind != "strength 0"):
                outcome.faults.append(f"the sampling report does not fit: {report['verdict']}")
        for picture in outputs["save"]["images"]:
            outcome.picture = hashlib.sha256(self.client.get("/view", **picture)).hexdigest()


def run(
    out: Path, count: int, steps: int = 4, size: int = 128, seed: int = 1, wave: int = WAVE, again: int = 10
) -> dict:
    """Soak a server with `count` jobs, then make `again` of its pictures anew on a fresh one; the result as data."""
    jobs, outcomes, memory = plan(count, steps, size, seed), [], []
    with Server(out / "soaked", "--disable-metadata") as server:
        soak = Soak(server)
        with tqdm(total=count, unit="prompt") as progress:
            for start in range(0, count, wave):
                outcomes += soak.wave(jobs[start : start + wave])
                memory.append((len(outcomes), psutil.Process(server.pid).memory_info().rss))
                progress.update(len(outcomes) - progress.n)
        ran = [outcome for outcome in outcomes if outcome.end == "run"]
        chosen = [Job(o.job.run, o.job.kind, "run", 0) for o in ran[:: max(len(ran) // again, 1)][-again:]]
        same_server = soak.wave(chosen)
    with Server(out / "fresh", "--disable-metadata") as server:
        soak = Soak(server)
        fresh = soak.wave(chosen)
    result = _result(outcomes, memory, same_server, fresh)
    out.mkdir(parents=True, exist_ok=True)
    (out / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "report.md").write_text(_markdown(result))
    return result


def _result(outcomes: list[Outcome], memory: list, same_server: list[Outcome], fresh: list[Outcome]) -> dict:
    first = {(o.job.run, o.job.kind): o.picture for o in reversed(outcomes) if o.picture}
    pictures = [(o.job, first[o.job.run, o.job.kind], o.picture) for o in [*same_server, *fresh]]
    different = [f"{job.kind}: {job.run.prompt}, seed {job.run.seed}" for job, was, now in pictures if was != now]
    repeated: dict[tuple, set] = {}
    for outcome in outcomes:
        if outcome.picture:
            repeated.setdefault((outcome.job.run, outcome.job.kind), set()).add(outcome.picture)
    late = [(count, rss / 1e6) for count, rss in memory if count > WARM * memory[-1][0]]
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope if len(late) > 1 else 0.0
    return {
        "prompts": len(outcomes),
        "ends": {end: sum(o.end == end for o in outcomes) for end in ("run", "interrupt", "cancel", "error")},
        "reports compared": sum(outcome.reports for outcome in outcomes),
        "faults": [fault for outcome in [*outcomes, *same_server, *fresh] for fault in outcome.faults],
        "pictures made again": len(pictures),
        "pictures that differ": different,
        "repeats that differ": sum(len(made) > 1 for made in repeated.values()),
        "memory MB": [round(rss / 1e6, 1) for _, rss in memory],
        "growth MB per 100 prompts": round(100 * slope, 2),
    }


def _markdown(result: dict) -> str:
    ends = ", ".join(f"{count} {end}" for end, count in result["ends"].items())
    lines = [
        "# Soak",
        f"{result['prompts']} prompts ({ends}).",
        f"Faults (failed, or a report of another prompt): {len(result['faults'])}.",
        f"Reports compared: {result['reports compared']}.",
        f"Made again on the same and on a fresh server: {result['pictures made again']} pictures, "
        f"{len(result['pictures that differ'])} differ.",
        f"Memory of the server after each wave: {result['memory MB']} MB, "
        f"{result['growth MB per 100 prompts']} MB more per 100 prompts once warm.",
    ]
    return "\n\n".join([*lines, *result["faults"], *result["pictures that differ"]]) + "\n"
