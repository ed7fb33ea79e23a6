"""`bench encoders`: what guarding a prompt costs in encoder rows, calls, tokens and time, on encoders of full size.

Guarded and unguarded encodes alternate. Weights are random, so it says nothing about what is flagged: prompts that
must pass are guarded with a threshold that nothing reaches.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from dev import inprocess

from . import full_size
from .calls import Calls, forget_words, own_calibrations, stores
from .encoder_records import Cost, Once, Run, write

FLAGGED_WORDS = 20
CONCEPTS = ("weapons", "nudity", "gore", "drugs", "hate_symbols")
NEVER = 0.999  # threshold that no word reaches
FEWEST_ROUNDS = 3  # however long they take
RESIDENCES = ("resident", "streamed")


class Bench:
    """One CLIP, the pack beside it, and its concepts."""

    def __init__(self, name: str, run: Run):
        self.name, self.run = name, run
        self.host = inprocess.load_pack().host
        self.clip = full_size.build(name, run.dtype, run.layers)
        self.calls = Calls(self.clip)
        self.clock = time.perf_counter if run.device == "cuda" else time.process_time
        self.spaces: tuple = ()

    def prepare(self) -> Iterator[Once]:
        """Calibrate, and build the concepts: what the first prompt waits for."""
        self.encode("a warm-up")
        yield self._once("calibrate", self.calibrate)
        yield self._once("ConceptSubspace, new", lambda: self.build(1))
        yield self._once("ConceptSubspace, five, four of them new", lambda: self.build(5))
        yield self._once("ConceptSubspace, kept in memory", lambda: self.build(1))
        for kept in (self.host.text.embeddings._stores, self.host.text.embeddings._of_clips):
            kept.clear()
        yield self._once("ConceptSubspace, after a restart", lambda: self.build(1))
        self.spaces = self.build(5)

    def calibrate(self) -> None:
        for encoder, store in stores(self.host, self.clip):
            self.host.prompt.calibration.calibration(encoder, store)

    def build(self, count: int) -> tuple:
        sets = [self.host.data.concept_sets.get(name) for name in CONCEPTS[:count]]
        return tuple(self.host.prompt.subspaces.build_subspace(self.clip, s.name, s.phrases) for s in sets)

    def _once(self, step: str, action: Callable) -> Once:
        with self.calls.counted() as calls:
            seconds, _ = self._timed(action)
        return Once(self.name, step, seconds, dict(calls))

    def _timed(self, action: Callable) -> tuple[float, object]:
        """(seconds, what `action` returns)."""
        start = self.clock()
        value = action()
        if self.run.device == "cuda":
            torch.cuda.synchronize()
        return self.clock() - start, value

    def encode(self, text: str) -> list:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def guard(self, text: str, concepts: int, threshold: float) -> dict:
        """The report of SafreeConditioning."""
        settings = self.host.prompt.findings.Settings(threshold=threshold)
        return self.host.prompt.guard.guard_prompt(self.clip, text, self.spaces[:concepts], settings).report()

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
                unguarded.append(self._timed(lambda: self.encode(text))[0])
            if new:
                forget_words(self.host, self.clip)
            with self.calls.counted() as all_calls:
                seconds, report = self._timed(lambda: self.guard(text, concepts, threshold))
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
            report["flagged"],
            torch.cuda.max_memory_allocated() if on_gpu else 0,
        )


def prompts(host, words: tuple[int, ...]) -> dict[str, tuple[str, float]]:
    """By name: prompts of harmless captions and their threshold, and one with a phrase of the first concept."""
    captions = host.data.vocabulary.groups(host.data.vocabulary.FOLDER / "harmless.json")["captions"]
    text = " ".join(captions).split()
    out = {f"{count} words": (" ".join(text[:count]), NEVER) for count in words}
    trigger = host.data.concept_sets.get(CONCEPTS[0]).phrases[0]
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

    with own_calibrations(), torch.inference_mode():
        for name in models:
            reserved = comfy.model_management.EXTRA_RESERVED_VRAM
            try:
                _measure_model(name, settings, note)
            finally:
                comfy.model_management.EXTRA_RESERVED_VRAM = reserved
            gc.collect()
            comfy.model_management.cleanup_models()
            comfy.model_management.soft_empty_cache()
