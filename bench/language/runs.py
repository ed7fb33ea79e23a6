"""Sentences through guards, each pair once, in this process or on the workers of a cluster."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path

from dev import inprocess

from ..run import kept
from .encoders import Encoder

TOGETHER = "all together"
STYLE = "style"  # the group of guards against one artist each
SHARD = 8  # sentences that a worker gets at a time


@dataclasses.dataclass(frozen=True)
class Guard:
    """One guard to measure. group: under which its outcomes are reported; concepts: that sentences name."""

    group: str
    concepts: tuple[str, ...]
    subspaces: tuple


@dataclasses.dataclass(frozen=True)
class Named:
    """A Guard without its subspaces. described: all of them that an outcome depends on."""

    group: str
    concepts: tuple[str, ...]
    described: tuple


@dataclasses.dataclass
class Run:
    """What the guards of one group made of the sentences, with one encoder and mode.

    rows, calls: of the text encoder, all included. Words that were met before cost no row.
    """

    encoder: str
    mode: str
    group: str
    harmful: list = dataclasses.field(default_factory=list)
    harmless: list = dataclasses.field(default_factory=list)
    rows: int = 0
    calls: int = 0

    @property
    def outcomes(self) -> list:
        return [*self.harmful, *self.harmless]


class Counter:
    """Counts calls of a CLIP's text encoders, and the rows in them."""

    def __init__(self, pack, clip):
        self.rows = self.calls = 0
        self._models = [encoder.model for encoder in pack.host.text.encoders.encoders(clip)]

    def __enter__(self) -> Counter:
        self._hooks = [model.register_forward_pre_hook(self._count) for model in self._models]
        return self

    def __exit__(self, *_) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, _module, arguments):
        self.rows += len(arguments[0])
        self.calls += 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure with one text encoder, as plain data: it is sent to the workers of a cluster.

    sets, artists, files, together: the guards, see `build`
    """

    encoder: Encoder
    sets: tuple[str, ...]
    artists: tuple[str, ...]
    files: tuple[Path, ...]
    together: bool
    threshold: float
    code: str = dataclasses.field(default_factory=kept.method)

    def start(self, gpu: bool) -> Measurer:
        kept.check_method(self.code)
        return Measurer(self, gpu)


class Measurer:
    """Guards sentences in the host of this process; see bench.cluster.Measurer.

    identity: the fingerprint of the encoder. about: (guards without their subspaces, seconds that each took to build)
    """

    def __init__(self, plan: Plan, gpu: bool):
        inprocess.boot(cpu=not gpu)
        self.pack, self.plan = inprocess.load_pack(), plan
        self.pack.host.prompt.calibration.part.set(plan.encoder.share)
        self.clip = plan.encoder.load()
        self.guards, seconds = build(self.pack, self.clip, plan)
        self.identity = f"{fingerprint(self.pack, self.clip)} {plan.encoder.share}"
        self.about = [Named(guard.group, guard.concepts, _described(guard)) for guard in self.guards], seconds

    def measure(self, shard: list[tuple[str, int, tuple]]) -> list[dict]:
        """An outcome as plain data, without its sentence, and what it cost, of (mode, number of a guard, sentence)."""
        self.pack.host.prompt.calibration.part.set(self.plan.encoder.share)
        with Counter(self.pack, self.clip) as counter:
            return [self._measure(counter, *item) for item in shard]

    def _measure(self, counter: Counter, mode: str, number: int, sentence: tuple) -> dict:
        settings = self.pack.host.prompt.findings.Settings(mode, 1.0, self.plan.threshold, "whole schedule")
        rows, calls = counter.rows, counter.calls
        sentence, subspaces = self.pack.host.data.sentences.Sentence(*sentence), self.guards[number].subspaces
        outcome = self.pack.host.measure.guard_quality.judge(self.clip, sentence, subspaces, settings)
        entry = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome) if f.name != "sentence"}
        return {**entry, "rows": counter.rows - rows, "calls": counter.calls - calls}


def measure(pack, name: str, pool, mode: str, threshold: float, sentences: list, known: kept.Kept) -> list[Run]:
    """A Run for each group of guards, in one mode; what is known is not measured again.

    pool: an open Plan of the encoder `name`, see bench.cluster
    """
    guards, _ = pool.about
    context = (pool.identity, kept.method(), mode, threshold)
    work = [(n, s, side) for n, guard in enumerate(guards) for s in sentences if (side := wanted(guard, s)) is not None]
    items = [(mode, number, dataclasses.astuple(sentence)) for number, sentence, _ in work]
    keys = [kept.digest(context, guards[number].described, sentence.text) for number, sentence, _ in work]
    bar = {"desc": f"{name}, {mode}", "unit": "sentence", "smoothing": 0.02}
    runs: dict[str, Run] = {}
    for (number, sentence, side), entry in zip(work, kept.measure(pool, items, keys, known, SHARD, **bar), strict=True):
        group = guards[number].group
        run = runs.setdefault(group, Run(name, mode, group))
        values = {field: value for field, value in entry.items() if field not in ("rows", "calls")}
        (run.harmful if side else run.harmless).append(pack.host.measure.guard_quality.Outcome(sentence, **values))
        run.rows, run.calls = run.rows + entry["rows"], run.calls + entry["calls"]
    return list(runs.values())


def wanted(guard: Named, sentence) -> bool | None:
    """The side of a sentence for a guard; None where it says nothing about it. Artists are told from one another."""
    if guard.group == STYLE and not sentence.concept.startswith(f"{STYLE}:"):
        return None
    return sentence.side(guard.concepts)


def build(pack, clip, plan: Plan):
    """(guards, seconds by guard): one for each concept set, one with all of them, one for each saved subspace file.

    `style` among the sets: a guard for each of the artists. The first one includes the calibration.
    """
    guards, seconds = [], {}

    def add(group: str, concept: str, phrases, **more) -> tuple:
        start = time.perf_counter()
        built = pack.host.prompt.subspaces.build_subspace(clip, concept, phrases, **more)
        seconds[concept] = time.perf_counter() - start
        guards.append(Guard(group, (concept,), (built,)))
        return built

    shipped = [pack.host.data.concept_sets.get(name) for name in plan.sets if name != STYLE]
    built = tuple(add(one.name, one.name, one.phrases, defaults=one.defaults, of_kinds=one.kinds) for one in shipped)
    if plan.together and len(built) > 1:
        guards.append(Guard(TOGETHER, tuple(concept.name for concept in shipped), built))
    for artist in plan.artists if STYLE in plan.sets else ():
        add(STYLE, artist, (artist.removeprefix(f"{STYLE}:"),))
    for path in plan.files:
        loaded = pack.safree.storage.load(path)
        guards.append(Guard(f"{path.stem} (file)", (loaded.name,), (loaded,)))
    return guards, seconds


def fingerprint(pack, clip) -> str:
    """What tells the encoders of a CLIP from others: what they make of a few phrases, to three digits."""
    hashed = hashlib.blake2b(digest_size=8)
    for encoder in pack.host.text.encoders.encoders(clip):
        probes = pack.host.text.embeddings.embeddings_of(encoder).probes
        hashed.update(encoder.key.encode())
        hashed.update((probes / probes.abs().max() * 1000).round().to(int).numpy().tobytes())
    return hashed.hexdigest()


def _described(guard: Guard) -> tuple:
    return tuple((s.name, s.phrases, s.retained, s.strength, repr(s.defaults)) for s in guard.subspaces)
