"""`bench overhead`: what the guard costs, stage by stage, in paired runs that alternate with unguarded ones."""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from tqdm import tqdm

from ..run.selection import choose
from ..world.detector import ASSETS
from ..world.prompts import World
from ..world.studio import Sampling, Studio
from . import gate
from .calls import Calls, forget_words, own_calibrations
from .encoders import CONCEPTS, NEVER

BENIGN = "a wolf near a robot on a yellow background with a red rocket and one corn next to the turtle"
FLAGGED = "a wolf near a gun on a yellow background with a red rocket and one corn next to the turtle"
LATENT_STEPS = 20  # ComfyUI's default: a look at the result costs as much whatever the number
LINKS = ("a", "near a", "on a", "and a")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much a run covers. rounds: of encoding; sampling, whose differences are a few per cent, has three times as
    many. words of a prompt, phrases of a concept, batches and pixels of a picture are what is swept.
    """

    rounds: int
    steps: int
    words: tuple[int, ...]
    concepts: tuple[int, ...]
    batches: tuple[int, ...]
    pixels: tuple[int, ...]


SHORT = Size(3, 4, (5, 20, 75), (1, 15), (1, 2), (128, 192))
FULL = Size(9, 8, (5, 20, 75, 150, 300), (1, 5, 15, 50), (1, 2, 4, 8), (128, 192, 256, 512))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Medians over paired rounds. seconds: CPU time of this process, which other processes disturb least."""

    stage: str
    variant: str
    seconds: float
    wall: float
    ratio: float  # to the stage's first variant in the same round
    encoded: tuple[int, int, int] = (0, 0, 0)  # rows, calls and tokens, padding included, of the text encoder

    def row(self) -> str:
        encoded = " / ".join(map(str, self.encoded)) if any(self.encoded) else "none"
        return (
            f"| {self.stage} | {self.variant} | {self.seconds:.3f} | {self.wall:.3f} | {self.ratio:.3f} | {encoded} |"
        )


def paired(stage: str, variants: dict[str, Callable[[], object]], rounds: int, calls: Calls) -> list[Cost]:
    """Run all variants in turn, `rounds` times after one warm-up, in rotating order; the first is the yardstick."""
    names = list(variants)
    encoded: dict[str, tuple[int, int, int]] = {}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    wall: dict[str, list[float]] = {name: [] for name in names}
    for n in range(rounds + 1):
        for name in (*names[n % len(names) :], *names[: n % len(names)]):
            with calls.counted() as counts:
                start, start_cpu = time.perf_counter(), time.process_time()
                variants[name]()
                used, used_cpu = time.perf_counter() - start, time.process_time() - start_cpu
            encoded[name] = tuple(map(sum, zip(*counts.values(), strict=True))) or (0, 0, 0)
            if n:
                cpu[name].append(used_cpu)
                wall[name].append(used)
    yardstick = cpu[names[0]]
    return [
        Cost(
            stage,
            name,
            statistics.median(cpu[name]),
            statistics.median(wall[name]),
            statistics.median(a / b for a, b in zip(cpu[name], yardstick, strict=True)),
            encoded[name],
        )
        for name in names
    ]


class Stages:
    """The stages of a guarded picture, each as pairs of functions to be timed."""

    def __init__(self, studio: Studio, steps: int):
        self.studio, self.steps, self.host = studio, steps, studio.pack.host
        self.phrases = World().concepts()["weapon"].phrases
        self.spaces = (self.subspace(len(self.phrases)),)
        self.empty = studio.encode("")

    def subspace(self, count: int):
        phrases = (self.phrases * (count // len(self.phrases) + 1))[:count]
        return self.host.prompt.subspaces.build_subspace(self.studio.clip, "weapon", phrases)

    def guard(self, text: str, spaces=None, threshold: float = 0.0) -> list:
        settings = self.host.prompt.findings.Settings(threshold=threshold)
        guard_prompt = self.host.prompt.guard.guard_prompt
        return guard_prompt(self.studio.clip, text, spaces or self.spaces, settings).conditioning

    def guard_new(self, *prompt) -> list:
        forget_words(self.host, self.studio.clip)
        return self.guard(*prompt)

    def encoding(self, text: str, spaces=None, threshold: float = 0.0) -> dict[str, Callable]:
        prompt = (text, spaces, threshold)
        self.guard(*prompt)
        return {
            "CLIPTextEncode": lambda: self.studio.encode(text),
            "SafreeConditioning, words new": lambda: self.guard_new(*prompt),
            "SafreeConditioning, words known": lambda: self.guard(*prompt),
        }

    def concepts(self, text: str) -> dict[str, Callable]:
        """With one concept, and with five; the threshold is out of reach, as the test checkpoint knows few of them."""
        sets = [self.host.data.concept_sets.get(name) for name in CONCEPTS]
        spaces = [self.host.prompt.subspaces.build_subspace(self.studio.clip, s.name, s.phrases) for s in sets]
        return {
            "SafreeConditioning, one concept": lambda: self.guard(text, tuple(spaces[:1]), NEVER),
            "SafreeConditioning, five concepts": lambda: self.guard(text, tuple(spaces), NEVER),
        }

    def sampling(self, batch: int = 1, pixels: int = 128) -> dict[str, Callable]:
        sampling, attention = self.host.sampling, self.host.reattention.skip_features
        plain, guarded, model = self.studio.encode(FLAGGED), self.guard(FLAGGED), self.studio.model

        def validated(share: float):
            switch = sampling.switching.Switch("share", round(share * self.steps))
            return sampling.run.self_validating(model, switch)

        def reattended(share: float):
            return attention.patch(validated(share), attention.Settings((0.9, 0.2)))

        makers = {
            "KSampler, unguarded": (lambda: model, plain),
            "KSampler, guarded": (lambda: model, guarded),
            "SelfValidatingSampler": (lambda: validated(1.0), guarded),
            "re-attention, active": (lambda: reattended(1.0), guarded),
            "re-attention, after t'": (lambda: reattended(0.0), guarded),
        }
        latent = {"samples": torch.zeros(batch, 4, pixels // 8, pixels // 8)}

        def sample(make, positive):
            s = self.studio.sampling
            self.studio.nodes.common_ksampler(
                make(), 1, self.steps, s.cfg, s.sampler, s.scheduler, positive, self.empty, latent
            )

        return {name: lambda make=make, cond=cond: sample(make, cond) for name, (make, cond) in makers.items()}

    def gate(self) -> dict[str, Callable]:
        s, positive = self.studio.sampling, self.studio.encode("a wolf")
        blank = {"samples": torch.zeros(1, 4, s.size // 8, s.size // 8)}
        drawing = (1, LATENT_STEPS, s.cfg, s.sampler, s.scheduler, positive, self.empty, blank)
        draw = partial(self.studio.nodes.common_ksampler, self.studio.model, *drawing)
        return gate.variants(self.studio, self.spaces, lambda: draw()[0])

    def latent_guard(self) -> dict[str, Callable]:
        studio, s = self.studio, self.studio.sampling
        learned = studio.pack.safree.presence_storage.load(ASSETS / "presence_weapon.safetensors")
        positive, blank = studio.encode("a wolf"), {"samples": torch.zeros(1, 4, s.size // 8, s.size // 8)}

        def watched(level: float):
            """A model that is watched for what it never shows (`level` high) or always shows (low)."""
            measured = dataclasses.replace(learned, clean=torch.full_like(learned.clean, level))
            return self.host.latent.latent_guard.patch(studio.model, (measured,))

        def sample(model) -> dict:
            settings = (1, LATENT_STEPS, s.cfg, s.sampler, s.scheduler, positive, self.empty, blank)
            return studio.nodes.common_ksampler(model, *settings)[0]

        never, always = watched(1e3), watched(-1e3)
        return {
            "KSampler, unguarded": lambda: sample(studio.model),
            "LatentGuardPatch, nothing shows": lambda: sample(never),
            "LatentGuardPatch, always shows": lambda: sample(always),
            "LatentGuardPatch, nothing shows, result looked at": lambda: self.host.latent.latent_look.look(
                never, (learned,), sample(never)
            ),
        }


def harmless(count: int) -> str:
    """A prompt of `count` words in which the guard flags nothing: things that the test checkpoint knows."""
    phrases = (f"{link} {noun}" for link, noun in zip(itertools.cycle(LINKS), itertools.cycle(World().pool)))
    return " ".join(itertools.islice((word for phrase in phrases for word in phrase.split()), count))


def plan(stages: Stages, size: Size) -> list[tuple[str, Callable[[], dict[str, Callable]]]]:
    """(stage, what makes its variants) of all that is measured."""
    jobs = [
        ("encoding, 20 words, one flagged", partial(stages.encoding, FLAGGED)),
        *((f"sampling, {p} pixels, batch 1", partial(stages.sampling, 1, p)) for p in size.pixels),
        *((f"sampling, 128 pixels, batch {b}", partial(stages.sampling, b)) for b in size.batches if b > 1),
    ]
    counts = {f"{count} phrases": partial(stages.subspace, count) for count in size.concepts}
    jobs.append((f"sampling, latent guard, {LATENT_STEPS} steps", stages.latent_guard))
    jobs.append((f"finished picture of {gate.PIXELS} pixels", stages.gate))
    jobs.append(("subspace", lambda: {"one text": partial(stages.studio.encode, "a gun"), **counts}))
    for count in size.words:
        jobs.append((f"encoding, {count} words, nothing flagged", partial(stages.encoding, harmless(count))))

    jobs.append((f"encoding, {size.words[-1]} words, concepts", partial(stages.concepts, harmless(size.words[-1]))))

    def encoding_with(count: int) -> dict[str, Callable]:
        return stages.encoding(BENIGN, (stages.subspace(count),))

    jobs += [(f"encoding, {count} phrases", partial(encoding_with, count)) for count in size.concepts]
    return jobs


def run(out: Path, full: bool = False, only: tuple[str, ...] = ()) -> list[Cost]:
    """Measure, write overhead.json and report.md to `out`.

    only: parts of the names of stages, for less than all of them
    """
    out.mkdir(parents=True, exist_ok=True)
    size = FULL if full else SHORT
    stages = Stages(Studio(Sampling(), skip_idle_layers=False), size.steps)
    calls, costs = Calls(stages.studio.clip), []
    jobs = choose(plan(stages, size), itemgetter(0), only, "stage")
    with own_calibrations(copied=True):
        for stage, variants in tqdm(jobs, desc="overhead", unit="stage"):
            costs += paired(stage, variants(), size.rounds * (3 if stage.startswith("sampling") else 1), calls)
            write(costs, size, out)
    return costs


def write(costs: list[Cost], size: Size, out: Path) -> None:
    rows = [dataclasses.asdict(cost) for cost in costs]
    environment = {"torch": torch.__version__, "threads": torch.get_num_threads(), "rounds": size.rounds}
    (out / "overhead.json").write_text(json.dumps({"environment": environment, "costs": rows}, indent=1))
    lines = [
        "# Overhead of the guard",
        "",
        f"Medians of {size.rounds} paired rounds, of sampling {3 * size.rounds} with {size.steps} steps, on the CPU, "
        f"{torch.get_num_threads()} threads. Ratio: CPU time to the stage's first variant in the same round. Encoded: "
        "rows / calls / tokens of the text encoder, the prompt's own encoding included.",
        "",
        "| stage | variant | CPU seconds | wall seconds | ratio | encoded |",
        "|---|---|---|---|---|---|",
        *(cost.row() for cost in costs),
    ]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
