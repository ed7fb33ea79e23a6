"""Which steps of a run see the filtered and which the original prompt: conds with ranges in sigmas."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable

import torch

from ...safree import SafreeError, check_choice
from ...safree.validation import filtered_steps
from ..conditioning import marks
from ..conditioning.entries import RANGE
from ..conditioning.marks import Mark, intact, is_zero, read, role
from .checks import sigma_range
from .schedule import Part

UNITS = ("share", "steps")
ON_PROBLEMS = ("error", "warn", "again")
NEGATIVES = ("subtracting", "guarded", "cleaned")
ABOVE = 1e-3  # of a step's sigma interval: samplers recompute sigmas with rounding errors
PERCENT_KEYS = ("start_percent", "end_percent", *RANGE)


@dataclasses.dataclass(frozen=True, eq=False)
class Switch:
    """How t' becomes a number of steps, and what happens where the guard cannot hold. Settings: no run changes them.

    unit: 'share' of the schedule's steps, or 'steps' (t' counted in steps, as the paper does at any schedule length)
    fixed: filtered steps chosen by the user, None for the self-validated ones
    on_problem: 'error' or 'warn', where the guard cannot hold for all that is sampled; 'again' is 'error', but has a
        latent guard's second look sample once more
    node: whose name errors carry, where the node layer cannot add it
    negatives: 'subtracting' (a negative prompt may say anything, in its own words, while each step draws away from it)
        or 'guarded' (it has to be guarded or zero, and is filtered as a positive one is), or 'cleaned' (a guarded one
        is filtered as a positive one is, a plain one is measured as with 'subtracting')
    schedule: sigmas [m + 1] of the whole schedule, where a run samples a part of it; None for the run's own
    """

    unit: str = "share"
    fixed: int | None = None
    on_problem: str = "error"
    node: str = ""
    negatives: str = "subtracting"
    schedule: torch.Tensor | None = None

    def __post_init__(self):
        check_choice("unit", self.unit, UNITS)
        check_choice("on_problem", self.on_problem, ON_PROBLEMS)
        check_choice("negatives", self.negatives, NEGATIVES)

    def steps(self, mark: Mark, part: Part) -> int:
        """How many of the steps of `part` are filtered for a prompt with this mark."""
        if self.fixed is not None:
            wanted = filtered_steps(self.fixed, part.whole)
        elif self.unit == "share" or mark.share >= 1:
            # a flagged prompt is filtered for a step at least, as in a stock sampler, however few steps there are
            wanted = filtered_steps(0, part.whole, mark.share) or min(round(mark.steps), 1, part.whole)
        else:
            wanted = filtered_steps(round(mark.steps), part.whole)
        return filtered_steps(wanted - part.first, part.count)


def split(conds: list[dict], sigmas: torch.Tensor, sampling, steps: Callable[[Mark], int]) -> list[dict]:
    """`conds` of one run with every guarded one as a filtered and an original part that meet at a sigma.

    steps: how many steps are filtered for a mark. Areas, masks, control, hooks and timestep ranges that other nodes put
    on the conds hold for both parts. Raises SafreeError when the original part is needed but lost.
    """
    twins = {read(cond).pair: cond for cond in conds if role(cond) == "original"}
    paired = {read(cond).pair for cond in conds if role(cond) == "filtered"}
    out = []
    for cond in conds:
        if role(cond) == "original" and read(cond).pair in paired:
            continue  # placed beside its filtered twin
        if role(cond) == "filtered":
            twin = twins.get(read(cond).pair)
            out += _parts(cond, twin, sigmas, sampling, steps(read(cond)))
        else:
            out.append(cond)
    return out


def _parts(cond: dict, twin: dict | None, sigmas: torch.Tensor, sampling, count: int) -> list[dict]:
    """A filtered cond for the first `count` steps of a run, and its original for the others."""
    out, meet = [], _boundary(sigmas, count)
    if count > 0:
        out.append(_ranged(cond, sampling, end_at_least=meet))
    if count < len(sigmas) - 1:
        below = float(torch.nextafter(torch.tensor(meet), torch.tensor(0.0)))
        original = _original(cond, read(cond)) if twin is None else twin
        out.append(_ranged(original, sampling, start_at_most=below))
    return out


def _original(cond: dict, mark: Mark) -> dict:
    """The original prompt's cond with all that other nodes put on its filtered twin."""
    if is_zero(cond.get("cross_attn"), cond):
        return cond
    if not intact(cond.get("cross_attn"), cond):
        raise SafreeError(
            "the guarded conditioning was edited after SafreeConditioning (averaged or concatenated), so the original "
            "prompt for the unfiltered steps is lost. Edit the text instead, or leave filtered_steps at -1."
        )
    tensor, pooled, *others = mark.original  # of an earlier version without them
    original = {**cond, **(others[0] if others else {}), "cross_attn": tensor, "uuid": uuid.uuid4()}
    if pooled is not None:
        original["pooled_output"] = pooled
    return marks.write(tensor, original, dataclasses.replace(mark, role="original", original=None))


def _ranged(cond: dict, sampling, start_at_most: float = float("inf"), end_at_least: float = 0.0) -> dict:
    """`cond` with its timestep range in sigmas, no longer in percent, cut to the given bounds."""
    start, end = sigma_range(cond, sampling)
    bare = {key: value for key, value in cond.items() if key not in PERCENT_KEYS}
    return {**bare, "timestep_start": min(start, start_at_most), "timestep_end": max(end, end_at_least)}


def _boundary(sigmas: torch.Tensor, count: int) -> float:
    """A float32 sigma just above sigmas[count]: the first `count` steps are at or above it, the others below."""
    if count == 0:
        return float("inf")
    if count >= len(sigmas) - 1:
        return 0.0
    here, before = float(sigmas[count]), float(sigmas[count - 1])
    return float(torch.tensor(here + ABOVE * (before - here), dtype=torch.float32))


def in_own_words(conds: list[dict], sampling) -> list[tuple[dict, dict | None]]:
    """Negative `conds`, each guarded prompt in its own words for the whole run: (cond, its cleaned form or None).

    What stands in a negative prompt is drawn away from, so its words do good there for as long as that holds.
    """
    own = {read(cond).pair: _own_words(cond) for cond in conds if role(cond) == "filtered"}
    known = {pair for pair, words in own.items() if words is not None}
    out = []
    for cond in conds:
        pair = read(cond).pair if role(cond) in ("filtered", "original") else None
        if pair not in known:
            out.append((cond, None))
        elif role(cond) == "filtered":  # its original, where it stands beside it, says the same
            out.append((_ranged(own[pair], sampling), _ranged(cond, sampling)))
    return out


def _own_words(cond: dict) -> dict | None:
    """A filtered cond's original; None where others were concatenated to it, whose own words are not known."""
    mark = read(cond)
    return _original(cond, mark) if mark.original and cond["cross_attn"].shape[1] == mark.tokens else None
