"""Sentences through guards, each pair once: outcomes are kept in a file, so that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path

from tqdm import tqdm

from dev import setup_host

TOGETHER = "all together"
STYLE = "style"  # the group of guards against one artist each


@dataclasses.dataclass(frozen=True)
class Guard:
    """One guard to measure. group: under which its outcomes are reported; concepts: that sentences name."""

    group: str
    concepts: tuple[str, ...]
    subspaces: tuple


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
        self._models = [encoder.model for encoder in pack.host.encoders.encoders(clip)]

    def __enter__(self) -> Counter:
        self._hooks = [model.register_forward_pre_hook(self._count) for model in self._models]
        return self

    def __exit__(self, *_) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, _module, arguments):
        self.rows += len(arguments[0])
        self.calls += 1


class Kept:
    """Outcomes on disk, one a line, by a digest of all that they depend on. A line cut short is measured again."""

    def __init__(self, path: Path):
        self.path, self._known = path, {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                self._known[entry.pop("key")] = entry
            except (ValueError, KeyError, AttributeError):
                continue
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n")

    def get(self, key: str) -> dict | None:
        return self._known.get(key)

    def add(self, key: str, entry: dict) -> None:
        self._known[key] = entry
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **entry}, ensure_ascii=False) + "\n")


def measure(pack, name: str, clip, guards: list[Guard], sentences: list, settings, kept: Kept) -> list[Run]:
    """A Run for each group of `guards`, in the mode of `settings`; what `kept` knows is not measured again."""
    context = (fingerprint(pack, clip), method(), settings.mode, settings.threshold)
    work = [(guard, s, side) for guard in guards for s in sentences if (side := wanted(guard, s)) is not None]
    runs: dict[str, Run] = {}
    with Counter(pack, clip) as counter:
        for guard, sentence, side in tqdm(work, desc=f"{name}, {settings.mode}", unit="sentence", smoothing=0.02):
            key = hashlib.blake2b(
                repr((context, _described(guard), sentence.text)).encode(), digest_size=16
            ).hexdigest()
            if (entry := kept.get(key)) is None:
                entry = _judge(pack, clip, sentence, guard, settings, counter)
                kept.add(key, entry)
            run = runs.setdefault(guard.group, Run(name, settings.mode, guard.group))
            values = {field: value for field, value in entry.items() if field not in ("rows", "calls")}
            (run.harmful if side else run.harmless).append(pack.host.catching.Outcome(sentence, **values))
            run.rows, run.calls = run.rows + entry["rows"], run.calls + entry["calls"]
    return list(runs.values())


def _judge(pack, clip, sentence, guard: Guard, settings, counter: Counter) -> dict:
    """An outcome as plain data, without its sentence, and what it cost."""
    rows, calls = counter.rows, counter.calls
    outcome = pack.host.catching.judge(clip, sentence, guard.subspaces, settings)
    entry = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome) if f.name != "sentence"}
    return {**entry, "rows": counter.rows - rows, "calls": counter.calls - calls}


def wanted(guard: Guard, sentence) -> bool | None:
    """The side of a sentence for a guard; None where it says nothing about it. Artists are told from one another."""
    if guard.group == STYLE and not sentence.concept.startswith(f"{STYLE}:"):
        return None
    return sentence.side(guard.concepts)


def build(pack, clip, sets: list[str], sentences: list, files: list[Path], together: bool):
    """(guards, seconds by guard): one for each concept set, one with all of them, one for each saved subspace file.

    `style` among the sets: a guard for each artist that a sentence names. The first one includes the calibration.
    """
    guards, seconds = [], {}

    def add(group: str, concept: str, phrases, defaults=None) -> tuple:
        start = time.perf_counter()
        built = pack.host.subspaces.build_subspace(clip, concept, phrases, defaults=defaults)
        seconds[concept] = time.perf_counter() - start
        guards.append(Guard(group, (concept,), (built,)))
        return built

    shipped = [pack.host.concept_sets.get(name) for name in sets if name != STYLE]
    built = tuple(add(concept.name, concept.name, concept.phrases, concept.defaults) for concept in shipped)
    if together and len(built) > 1:
        guards.append(Guard(TOGETHER, tuple(concept.name for concept in shipped), built))
    artists = dict.fromkeys(s.concept for s in sentences if s.concept.startswith(f"{STYLE}:"))
    for artist in artists if STYLE in sets else ():
        add(STYLE, artist, (artist.removeprefix(f"{STYLE}:"),))
    for path in files:
        loaded = pack.safree.storage.load(path)
        guards.append(Guard(f"{path.stem} (file)", (loaded.name,), (loaded,)))
    return guards, seconds


def fingerprint(pack, clip) -> str:
    """What tells the encoders of a CLIP from others: what they make of a few phrases, to three digits."""
    hashed = hashlib.blake2b(digest_size=8)
    for encoder in pack.host.encoders.encoders(clip):
        probes = pack.host.embeddings.embeddings_of(clip, encoder).probes
        hashed.update(encoder.key.encode())
        hashed.update((probes / probes.abs().max() * 1000).round().to(int).numpy().tobytes())
    return hashed.hexdigest()


def method() -> str:
    """A digest of the code and data that detection consists of."""
    hashed = hashlib.blake2b(digest_size=8)
    for folder, ending in (("safree", "py"), ("host", "py"), ("vocabulary", "json")):
        for path in sorted((setup_host.ROOT / folder).glob(f"*.{ending}")):
            hashed.update(path.read_bytes())
    return hashed.hexdigest()


def _described(guard: Guard) -> tuple:
    return tuple((s.name, s.phrases, s.retained, s.strength, repr(s.defaults)) for s in guard.subspaces)
