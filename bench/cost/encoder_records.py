"""What `bench encoders` measured, and its report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

WORDS = (5, 20, 75, 300)


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
    """Medians of alternating rounds. unguarded, guarded: seconds; ratio: guarded to unguarded in the same round.

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
        return (
            f"| {self.model} | {self.residence} | {self.prompt} | {self.words} | {self.concepts} | "
            f"{self.unguarded:.4f} | {self.guarded:.4f} | {self.ratio:.2f} | {_counts(self.beyond)} | {self.flagged} | "
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
        return f"| {self.model} | {self.step} | {self.seconds:.3f} | {_counts(self.calls)} |"


def _counts(calls: dict[str, tuple[int, int, int]]) -> str:
    return "; ".join(f"{key} {' / '.join(map(str, counts))}" for key, counts in calls.items()) or "none"


def write(done: list[Cost | Once], settings: Run, out: Path) -> None:
    device = torch.cuda.get_device_name() if settings.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    environment = {"torch": torch.__version__, "device": device, **dataclasses.asdict(settings)}
    costs = [item for item in done if isinstance(item, Cost)]
    once = [item for item in done if isinstance(item, Once)]
    data = {"costs": [dataclasses.asdict(c) for c in costs], "once": [dataclasses.asdict(o) for o in once]}
    (out / "encoders.json").write_text(json.dumps({"environment": environment, **data}, indent=1))
    clock = "wall time" if settings.device == "cuda" else "CPU time"  # which other processes disturb least
    depth = f"the first {settings.layers} layers only: times say nothing" if settings.layers else "full depth"
    lines = [
        "# Guarding a prompt, on text encoders of full size",
        "",
        f"Random weights, {depth}; {settings.dtype or 'the precision that ComfyUI chooses'}; {device}; torch "
        f"{torch.__version__}. Medians of alternating rounds, {clock} in seconds. Ratio: guarded to unguarded in the "
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
