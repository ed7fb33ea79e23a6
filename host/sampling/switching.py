"""Which steps of a run see the filtered and which the original prompt: conds with ranges in sigmas."""

from __future__ import annotations

import dataclasses
import logging
import uuid

import torch

from ...safree import SafreeError, check_choice
from ...safree.validation import filtered_steps
from ..conditioning import marks
from ..conditioning.entries import RANGE
from ..conditioning.marks import Mark, intact, is_zero, read, role
from . import checks
from .schedule import Part, part_of

UNITS = ("share", "steps")
ON_PROBLEMS = ("error", "warn", "again")
NEGATIVES = ("subtracting", "guarded")
MARGIN = 1e-3  # of a step's sigma interval: samplers recompute sigmas with rounding errors
PERCENT_KEYS = ("start_percent", "end_percent", *RANGE)


@dataclasses.dataclass
class Switch:
    """How t' becomes a number of steps, and after a run what was done.

    unit: 'share' of the schedule's steps, or 'steps' (t' counted in steps, as the paper does at any schedule length)
    fixed: filtered steps chosen by the user, None for the self-validated ones
    on_problem: 'error' or 'warn', where the guard cannot hold for all that is sampled; 'again' is 'error', but has a
        latent guard's second look sample once more
    node: whose name errors carry, where the node layer cannot add it
    negatives: 'subtracting' (a negative prompt may say anything, in its own words, while each step draws away from it)
        or 'guarded' (it has to be guarded or zero, and is filtered as a positive one is)
    """

    unit: str = "share"
    fixed: int | None = None
    on_problem: str = "error"
    node: str = ""
    negatives: str = "subtracting"
    schedule: torch.Tensor | None = None  # sigmas of the whole schedule, where a run samples a part of it; else its own
    total: int = 0
    part: Part = dataclasses.field(default_factory=lambda: Part(0, 0))  # of the schedule that a run samples
    filtered: list[int] = dataclasses.field(default_factory=list)
    roles: set = dataclasses.field(default_factory=set)
    problems: list[str] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)  # of the negative prompts

    def __post_init__(self):
        check_choice("unit", self.unit, UNITS)
        check_choice("on_problem", self.on_problem, ON_PROBLEMS)
        check_choice("negatives", self.negatives, NEGATIVES)

    def steps(self, mark: Mark) -> int:
        """How many steps of the run are filtered."""
        shared = self.fixed is None and (self.unit == "share" or mark.share >= 1)
        first, whole = self.part.first, self.part.whole
        if self.fixed is not None:
            wanted = filtered_steps(self.fixed, whole)
        elif shared:
            # a flagged prompt is filtered for a step at least, as in a stock sampler, however few steps there are
            wanted = filtered_steps(0, whole, mark.share) or min(round(mark.steps), 1, whole)
        else:
            wanted = filtered_steps(round(mark.steps), whole)
        return filtered_steps(wanted - first, self.total)

    def start(self, sigmas: torch.Tensor) -> None:
        """Before a run; SafreeError where its sigmas are no part of `schedule`."""
        self.total, self.filtered, self.roles, self.problems, self.said = len(sigmas) - 1, [], set(), [], []
        known = self.total and self.schedule is not None
        self.part = part_of(sigmas, self.schedule) if known else Part(0, self.total)

    @property
    def came_before(self) -> bool:
        """Whether a run began when the filtered steps of its schedule were over."""
        return self.part.first > 0 and bool(self.filtered) and not max(self.filtered)

    def report_problems(self, found: list[str]) -> None:
        """Raise SafreeError for the first problem, or with 'warn' write all to the log and the report."""
        for problem in found:
            if self.on_problem != "warn":
                raise SafreeError(f"guard not active{problem} Or set on_problem to 'warn'.")
            logging.warning("SAFREE: guard not active%s", problem)
            self.problems.append(problem)


def split(conds: list[dict], sigmas: torch.Tensor, sampling, switch: Switch) -> list[dict]:
    """`conds` of one run with every guarded one as a filtered and an original part that meet at a sigma.

    Areas, masks, control, hooks and timestep ranges that other nodes put on them hold for both parts. Raises
    SafreeError when the original part is needed but lost.
    """
    twins = {read(cond).pair: cond for cond in conds if role(cond) == "original"}
    paired = {read(cond).pair for cond in conds if role(cond) == "filtered"}
    out = []
    for cond in conds:
        switch.roles.add(role(cond))
        if role(cond) == "original" and read(cond).pair in paired:
            continue  # placed beside its filtered twin
        if role(cond) != "filtered":
            out.append(cond)
            continue
        mark = read(cond)
        count = switch.steps(mark)
        switch.filtered.append(count)
        meet = _boundary(sigmas, count)
        if count > 0:
            out.append(_ranged(cond, sampling, end_at_least=meet))
        if count < switch.total:
            below = float(torch.nextafter(torch.tensor(meet), torch.tensor(0.0)))
            twin = twins.get(mark.pair) or _original(cond, mark)
            out.append(_ranged(twin, sampling, start_at_most=below))
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
    start, end = checks.sigma_range(cond, sampling)
    bare = {key: value for key, value in cond.items() if key not in PERCENT_KEYS}
    return {**bare, "timestep_start": min(start, start_at_most), "timestep_end": max(end, end_at_least)}


def _boundary(sigmas: torch.Tensor, count: int) -> float:
    """A float32 sigma just above sigmas[count]: the first `count` steps are at or above it, the others below."""
    if count == 0:
        return float("inf")
    if count >= len(sigmas) - 1:
        return 0.0
    here, before = float(sigmas[count]), float(sigmas[count - 1])
    return float(torch.tensor(here + MARGIN * (before - here), dtype=torch.float32))


def in_own_words(conds: list[dict], sampling) -> list[tuple[dict, dict | None]]:
    """Negative `conds`, each guarded prompt in its own words for the whole run: (cond, its cleaned form or None).

    What stands in a negative prompt is drawn away from, so its words do good there for as long as that holds.
    """
    own = {read(cond).pair: _own_words(cond) for cond in conds if role(cond) == "filtered"}
    out = []
    for cond in conds:
        mark = read(cond)
        if mark and mark.role == "filtered" and own[mark.pair]:
            out.append((_ranged(own[mark.pair], sampling), _ranged(cond, sampling)))
        elif not (mark and mark.role == "original" and own.get(mark.pair)):
            out.append((cond, None))
    return out


def _own_words(cond: dict) -> dict | None:
    """A filtered cond's original; None where others were concatenated to it, whose own words are not known."""
    mark = read(cond)
    return _original(cond, mark) if mark.original and cond["cross_attn"].shape[1] == mark.tokens else None
