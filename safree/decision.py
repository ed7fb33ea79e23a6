"""Which units of a prompt are flagged: the fewest without which the rest passes as harmless prompts do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .calibration import WINDOW_WEIGHT, score

ROUNDS = 5  # of masking; each is one call of the encoder, and one flagged word can hide another
SUSPECTS = 8  # units of a window that are masked one by one in a round
SURE = 1.0  # how far a unit's own leaning must lie above the limit, to be flagged without a look at the text around it

SCREEN = 0.5  # how much further a window may lean than the text that it is a part of, and still count as seen with that

EVERYDAY = -0.5  # leaning below which a compound is an everyday one

Lean = Callable[[list[tuple[int, frozenset[int]]]], list[list[float]]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A concept: how far each unit alone leans into it, and the limit for a unit together with its window.

    shifts: what a dictionary adds for each unit; empty for nothing
    """

    alone: list[float]
    limit: float
    shifts: Sequence[float] = ()

    def within(self, compounds: dict[int, float]) -> Rule:
        """With units as they lean inside everyday compounds: a word counts half as itself, half as 'chicken breast'."""
        everyday = {n: leaning for n, leaning in compounds.items() if leaning < EVERYDAY}
        alone = [(own + everyday[n]) / 2 if n in everyday else own for n, own in enumerate(self.alone)]
        return dataclasses.replace(self, alone=alone)

    def is_sure(self, unit: int) -> bool:
        """Whether a unit leans so far by itself that no look at the text around it is needed."""
        return self.alone[unit] > self.limit + SURE

    def sum(self, unit: int, window: float) -> float:
        return self.by_itself(unit) + WINDOW_WEIGHT * window

    def by_itself(self, unit: int) -> float:
        return self.alone[unit] + (self.shifts[unit] if self.shifts else 0.0)


@dataclasses.dataclass(frozen=True)
class View:
    """The units of one window."""

    units: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A unit under one concept: its score in [0, 1], the limit on the same scale, and whether it is flagged."""

    unit: int
    concept: int
    score: float
    limit: float
    flagged: bool


class Over(NamedTuple):
    """A unit that is over the limit of a concept, together with a window."""

    window: int
    concept: int
    unit: int


class Trial(NamedTuple):
    """A unit masked in a window: how far the rest of the window leans into each concept."""

    window: int
    unit: int
    leanings: list[float]


def decide(
    rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], lean: Lean, harmless: Sequence[bool]
) -> Iterator[Verdict]:
    """A verdict for each unit and concept.

    leanings: [windows][concepts] of the whole windows. lean: the same for windows with some units masked, in one call.
    harmless: units that are no triggers.

    A unit is over the limit by its own leaning plus that of its window. While a window holds one, the unit whose mask
    takes most of the leaning away is flagged, and the rest is looked at again without it.
    """
    search = _Search(rules, views, leanings, harmless)
    for _ in range(ROUNDS):
        over = search.over()
        if not over:
            break
        sure = [found for found in over if rules[found.concept].is_sure(found.unit)]
        if sure:
            search.flag(sure)
            search.look_again(search.windows_with({found.unit for found in sure}), lean)
        else:
            search.flag_heaviest(over, lean)
    else:
        search.flag(search.over())  # what is left after the last round, without a look at what it hides
    yield from search.verdicts()


class _Search:
    """The search for the fewest units without which a prompt passes; see `decide` for the arguments.

    flagged: unit -> concept -> the sum of leanings with which it was over the limit
    leanings: of the windows without the units that are flagged
    """

    def __init__(
        self, rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], harmless: Sequence[bool]
    ):
        self.rules, self.views, self.harmless = rules, views, harmless
        self.leanings = [list(values) for values in leanings]
        self.flagged: dict[int, dict[int, float]] = {}

    def over(self) -> list[Over]:
        """Each unit that is over a limit and not flagged, with the window and the concept."""
        return [
            Over(window, concept, unit)
            for window, view in enumerate(self.views)
            for concept, rule in enumerate(self.rules)
            for unit in self.open_units(view)
            if rule.sum(unit, self.leanings[window][concept]) > rule.limit
        ]

    def open_units(self, view: View) -> list[int]:
        """The units of a window that may still be flagged."""
        return [unit for unit in view.units if unit not in self.flagged and not self.harmless[unit]]

    def flag(self, found: list[Over]) -> None:
        for window, concept, unit in found:
            total = self.rules[concept].sum(unit, self.leanings[window][concept])
            self.flagged.setdefault(unit, {})[concept] = total

    def windows_with(self, units: set[int]) -> list[int]:
        return [window for window, view in enumerate(self.views) if units & set(view.units)]

    def hidden(self, window: int) -> frozenset[int]:
        """The units of a window that are flagged, and so masked."""
        return frozenset(unit for unit in self.views[window].units if unit in self.flagged)

    def look_again(self, windows: list[int], lean: Lean) -> None:
        """Measure windows without their flagged units."""
        if windows:
            measured = lean([(window, self.hidden(window)) for window in windows])
            for window, values in zip(windows, measured, strict=True):
                self.leanings[window] = values

    def flag_heaviest(self, over: list[Over], lean: Lean) -> None:
        """In each window with a unit over a limit flag one: the one that leans, and takes most with it when masked."""
        concepts: dict[int, set[int]] = {}
        for found in over:
            concepts.setdefault(found.window, set()).add(found.concept)
        chosen: dict[int, int] = {}  # window -> the unit that is masked in it from now on
        for window, trials in self._try(concepts, lean).items():
            gains = [(self._gain(trial, concept), concept, trial) for trial in trials for concept in concepts[window]]
            _, concept, best = max(gains, key=lambda entry: entry[0])
            before = self.leanings[window][concept]
            sums = [self.rules[concept].sum(one.unit, before) for one in over if one[:2] == (window, concept)]
            self.flagged.setdefault(best.unit, {})[concept] = max(sums)
            self.leanings[window], chosen[window] = best.leanings, best.unit
        fresh = set(chosen.values())
        elsewhere = [w for w in self.windows_with(fresh) if fresh & set(self.views[w].units) - {chosen.get(w)}]
        self.look_again(elsewhere, lean)  # windows that hold a unit which was flagged in another one

    def _try(self, concepts: dict[int, set[int]], lean: Lean) -> dict[int, list[Trial]]:
        """The SUSPECTS of each window that lean furthest by themselves, each masked in turn, all in one call."""
        wanted = [(window, unit) for window in concepts for unit in self._leaders(window, concepts[window])]
        masked = lean([(window, self.hidden(window) | {unit}) for window, unit in wanted])
        trials: dict[int, list[Trial]] = {}
        for (window, unit), values in zip(wanted, masked, strict=True):
            trials.setdefault(window, []).append(Trial(window, unit, values))
        return trials

    def _leaders(self, window: int, concepts: set[int]) -> list[int]:
        def excess(unit: int) -> float:
            return max(self.rules[concept].by_itself(unit) - self.rules[concept].limit for concept in concepts)

        return sorted(self.open_units(self.views[window]), key=excess, reverse=True)[:SUSPECTS]

    def _gain(self, trial: Trial, concept: int) -> float:
        """How far a unit leans into a concept by itself, and what its mask takes of its window's leaning."""
        taken = self.leanings[trial.window][concept] - trial.leanings[concept]
        return self.rules[concept].by_itself(trial.unit) + WINDOW_WEIGHT * taken

    def verdicts(self) -> Iterator[Verdict]:
        for unit in range(len(self.harmless)):
            windows = self.windows_with({unit})
            for concept, rule in enumerate(self.rules):
                total = self.flagged.get(unit, {}).get(concept)
                flagged = total is not None
                if not flagged:
                    around = max((self.leanings[window][concept] for window in windows), default=-1.0)
                    total = min(rule.sum(unit, around), rule.limit)  # flagged under another concept
                yield Verdict(unit, concept, score(total), score(rule.limit), flagged)


def suspects(
    rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], harmless: Sequence[bool]
) -> list[int]:
    """The units that are over a limit in a whole window, in order."""
    return sorted({found.unit for found in _Search(rules, views, leanings, harmless).over()})


def beside_suspects(
    rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], harmless: Sequence[bool]
) -> dict[int, frozenset[int]]:
    """window -> harmless units in it that lean by themselves, where another unit is over a limit.

    The boy in 'a boy with a water pistol' is no weapon because of the pistol beside him.
    """
    search = _Search(rules, views, leanings, harmless)
    found = {}
    for window in sorted({over.window for over in search.over()}):
        idle = [n for n in views[window].units if harmless[n] and max(rule.alone[n] for rule in rules) > EVERYDAY]
        if idle:
            found[window] = frozenset(idle)
    return found


def unclear(
    rules: Sequence[Rule], views: Sequence[View], around: list[list[float]], harmless: Sequence[bool]
) -> list[int]:
    """The windows with a unit that could be over a limit, by the leaning [windows][concepts] of a longer text around.

    A longer text leans less than the part of it that carries a concept, so SCREEN is left for what it hides.
    """
    margin = [[value + SCREEN for value in values] for values in around]
    return sorted({found.window for found in _Search(rules, views, margin, harmless).over()})
