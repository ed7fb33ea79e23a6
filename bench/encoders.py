"""`bench encoders`: what guarding a prompt costs in encoder rows, calls, tokens and time, on encoders of full size.

Guarded and unguarded encodes alternate. Weights are random, so it says nothing about what is flagged: prompts that
must pass are guarded with a threshold that nothing reaches.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from dev import inprocess

from . import full_size

WORDS = (5, 20, 75, 300)
FLAGGED_WORDS = 20
CONCEPTS = ("weapons", "nudity", "gore", "drugs", "hate_symbols")
NEVER = 0.999  # threshold that no word reaches
FEWEST_ROUNDS = 3  # however long they take
RESIDENCES = ("resident", "streamed")


@dataclasses.dataclass(frozen=True)
class Run:
    """rounds: of each measurement, fewer (3 at least) once they have taken `seconds`; layers: 0 for all."""

    device: str = "cpu"
    dtype: str | None = None
    rounds: int = 5
    seconds: float = 20.0
    layers: int = 0
    words: tuple[int, ...] = WORDS
    residences: tuple[str, ...] = ("resident",)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Medians of alternating rounds. seconds: wall time; ratio: guarded to unguarded in the same round.

    beyond: by encoder, the (rows, calls, tokens with padding) that guarding adds to the prompt's own encoding
    peak: bytes allocated on the GPU at most, weights included; 0 on the CPU
    """

    model: str
    residence: str
    prompt: str
    words: str  # 'kept' from an earlier prompt, or 'new' to the encoder
    concepts: int
    rounds: int
    unguarded: float
    guarded: float
    ratio: float
    beyond: dict[str, tuple[int, int, int]]
    flagged: int
    peak: int

    def row(self) -> str:
        beyond = "; ".join(f"{key} {rows} / {calls} / {tokens}" for key, (rows, calls, tokens) in self.beyond.items())
        return (
            f"| {self.model} | {self.residence} | {self.prompt} | {self.words} | {self.concepts} | "
            f"{self.unguarded:.4f} | {self.guarded:.4f} | {self.ratio:.2f} | {beyond} | {self.flagged} | "
            f"{self.peak / 2**30:.2f} | {self.rounds} |"
        )


@dataclasses.dataclass(frozen=True)
class Once:
    """What is paid once. by encoder as in Cost, all of it."""

    model: str
    step: str
    seconds: float
    calls: dict[str, tuple[int, int, int]]

    def row(self) -> str:
        calls = "; ".join(f"{key} {rows} / {calls} / {tokens}" for key, (rows, calls, tokens) in self.calls.items())
        return f"| {self.model} | {self.step} | {self.seconds:.3f} | {calls or 'none'} |"


class Calls:
    """Counts what goes through the encoders of a CLIP."""

    def __init__(self, clip):
        from comfy.sd1_clip import SDClipModel

        self._seen: collections.Counter = collections.Counter()
        for name, model in clip.cond_stage_model.named_children():
            if isinstance(model, SDClipModel):
                model.register_forward_pre_hook(partial(self._note, name.removeprefix("clip_")))

    def _note(self, key: str, _model, inputs: tuple) -> None:
        tokens = inputs[0]
        self._seen.update({(key, 0): len(tokens), (key, 1): 1, (key, 2): sum(map(len, tokens))})

    @contextlib.contextmanager
    def counted(self) -> Iterator[dict[str, tuple[int, int, int]]]:
        """Yields a dict that holds, at the end, (rows, calls, tokens) by encoder."""
        before, out = self._seen.copy(), {}
        yield out
        keys = dict.fromkeys(key for key, _ in self._seen)
        found = {key: tuple(self._seen[key, n] - before[key, n] for n in range(3)) for key in keys}
        out.update({key: counts for key, counts in found.items() if counts[1]})


class Bench:
    """One CLIP, the pack beside it, and its concepts."""

    def __init__(self, name: str, run: Run):
        self.name, self.run = name, run
        self.host = inprocess.load_pack().host
        self.clip = full_size.build(name, run.dtype, run.layers)
        self.calls = Calls(self.clip)
        self.spaces: tuple = ()

    def prepare(self) -> list[Once]:
        """Calibrate, and build the concepts: what the first prompt waits for."""
        calibrations, embeddings, build = self.host.calibrations, self.host.embeddings, self.build

        def calibrate():
            for encoder in self.host.encoders.encoders(self.clip):
                calibrations.calibration(self.clip, encoder, embeddings.embeddings_of(self.clip, encoder))

        self.clip.encode_from_tokens_scheduled(self.clip.tokenize("a warm-up"))
        done = [self._once("calibrate", calibrate), self._once("ConceptSubspace, new", lambda: build(1))]
        done.append(self._once("ConceptSubspace, five, four of them new", lambda: build(5)))
        done.append(self._once("ConceptSubspace, kept in memory", lambda: build(1)))
        embeddings._stores.clear()  # as after a restart
        embeddings._of_clips.clear()
        done.append(self._once("ConceptSubspace, after a restart", lambda: build(1)))
        self.spaces = build(5)
        return done

    def build(self, count: int) -> tuple:
        sets = [self.host.concept_sets.get(name) for name in CONCEPTS[:count]]
        return tuple(self.host.subspaces.build_subspace(self.clip, s.name, s.phrases) for s in sets)

    def _once(self, step: str, action: Callable) -> Once:
        with self.calls.counted() as calls:
            start = time.perf_counter()
            action()
            seconds = time.perf_counter() - start
        return Once(self.name, step, seconds, dict(calls))

    def forget_words(self) -> None:
        """As if no word had ever been encoded; calibration and concepts stay."""
        for encoder in self.host.encoders.encoders(self.clip):
            self.host.embeddings.embeddings_of(self.clip, encoder)._kept.clear()

    def encode(self, text: str) -> list:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def guard(self, text: str, concepts: int, threshold: float) -> dict:
        """The report of SafreeConditioning."""
        settings = self.host.report.Settings(threshold=threshold)
        return self.host.guard.guard_prompt(self.clip, text, self.spaces[:concepts], settings)[1]

    def measure(self, residence: str, prompt: str, text: str, new: bool, concepts: int, threshold: float) -> Cost:
        unguarded, guarded, began = [], [], time.perf_counter()
        on_gpu = self.run.device == "cuda"
        self.guard(text, concepts, threshold)  # warm-up, and what is kept afterwards
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        while len(guarded) < self.run.rounds:
            if len(guarded) >= FEWEST_ROUNDS and time.perf_counter() - began > self.run.seconds:
                break
            with self.calls.counted() as own:
                unguarded.append(_timed(lambda: self.encode(text))[0])
            if new:
                self.forget_words()
            with self.calls.counted() as all_calls:
                seconds, report = _timed(lambda: self.guard(text, concepts, threshold))
            guarded.append(seconds)
        beyond = {
            key: tuple(a - b for a, b in zip(counts, own.get(key, (0, 0, 0)), strict=True))
            for key, counts in all_calls.items()
        }
        return Cost(
            *(self.name, residence, prompt, "new" if new else "kept", concepts, len(guarded)),
            *(statistics.median(unguarded), statistics.median(guarded)),
            statistics.median(a / b for a, b in zip(guarded, unguarded, strict=True)),
            beyond,
            len(report["flagged"]),
            torch.cuda.max_memory_allocated() if on_gpu else 0,
        )


def _timed(action: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    value = action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, value


def prompts(host, words: tuple[int, ...]) -> dict[str, tuple[str, float]]:
    """By name: prompts of harmless captions and their threshold, and one with a phrase of the first concept."""
    captions = host.vocabulary.groups(host.vocabulary.FOLDER / "harmless.json")["captions"]
    text = " ".join(captions).split()
    out = {f"{count} words": (" ".join(text[:count]), NEVER) for count in words}
    trigger = host.concept_sets.get(CONCEPTS[0]).phrases[0]
    middle = FLAGGED_WORDS // 2
    flagged = [*text[:middle], trigger, *text[middle : FLAGGED_WORDS - 1]]
    return {**out, f"{FLAGGED_WORDS} words, one of a concept": (" ".join(flagged), 0.0)}


def _measure_model(name: str, run: Run, note: Callable[[Cost | Once], None]) -> None:
    bench = Bench(name, run)
    for once in bench.prepare():
        note(once)
    for residence in run.residences:
        if residence == "streamed":
            full_size.stream(bench.clip)
        for prompt, (text, threshold) in prompts(bench.host, run.words).items():
            for new in (False, True):
                for concepts in (1, len(CONCEPTS)):
                    note(bench.measure(residence, prompt, text, new, concepts, threshold))


@contextlib.contextmanager
def _own_calibrations() -> Iterator[None]:
    """Inside, calibrations are kept in a folder that goes afterwards: random encoders are nobody's."""
    import folder_paths

    kind = inprocess.load_pack().host.folders.CALIBRATION
    before = folder_paths.folder_names_and_paths[kind]
    with tempfile.TemporaryDirectory() as folder:
        folder_paths.folder_names_and_paths[kind] = ([folder], before[1])
        try:
            yield
        finally:
            folder_paths.folder_names_and_paths[kind] = before


def run(out: Path, models: tuple[str, ...], settings: Run) -> None:
    """Measure one model after the other; encoders.json and report.md in `out` are written after each figure."""
    out.mkdir(parents=True, exist_ok=True)
    inprocess.boot(cpu=settings.device == "cpu")
    import comfy.model_management
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    done: list[Cost | Once] = []
    began = time.perf_counter()

    def note(item: Cost | Once) -> None:
        done.append(item)
        print(f"{time.perf_counter() - began:6.1f} s {item.row()}", flush=True)
        write(done, settings, out)

    with _own_calibrations(), torch.inference_mode():
        for name in models:
            reserved = comfy.model_management.EXTRA_RESERVED_VRAM
            try:
                _measure_model(name, settings, note)
            finally:
                comfy.model_management.EXTRA_RESERVED_VRAM = reserved
            gc.collect()
            comfy.model_management.cleanup_models()
            comfy.model_management.soft_empty_cache()


def write(done: list[Cost | Once], settings: Run, out: Path) -> None:
    device = torch.cuda.get_device_name() if settings.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    environment = {"torch": torch.__version__, "device": device, **dataclasses.asdict(settings)}
    costs = [item for item in done if isinstance(item, Cost)]
    once = [item for item in done if isinstance(item, Once)]
    data = {"costs": [dataclasses.asdict(c) for c in costs], "once": [dataclasses.asdict(o) for o in once]}
    (out / "encoders.json").write_text(json.dumps({"environment": environment, **data}, indent=1))
    depth = f"the first {settings.layers} layers only: times say nothing" if settings.layers else "full depth"
    lines = [
        "# Guarding a prompt, on text encoders of full size",
        "",
        f"Random weights, {depth}; {settings.dtype or 'the precision that ComfyUI chooses'}; {device}; torch "
        f"{torch.__version__}. Medians of alternating rounds, wall time in seconds. Ratio: guarded to unguarded in the "
        "same round. Words: kept from an earlier prompt, or new to the encoder, all of them. Added: rows / calls / "
        "tokens with padding beside the prompt's own encoding. GPU memory: the most allocated, with weights, GiB.",
        "",
        "| model | weights | prompt | words | concepts | CLIPTextEncode | SafreeConditioning | ratio | added | flagged "
        "| GPU memory | rounds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(cost.row() for cost in costs),
        "",
        "Paid once, the prompt's encoding aside:",
        "",
        "| model | step | seconds | rows / calls / tokens |",
        "|---|---|---|---|",
        *(item.row() for item in once),
    ]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
