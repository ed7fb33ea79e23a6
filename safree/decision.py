"""Which units of a prompt are flagged: the fewest without which the rest passes as harmless prompts do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from .calibration import WINDOW_WEIGHT, score

ROUNDS = 5  # of masking; each is one call of the encoder, and one flagged word can hide another
SUSPECTS = 8  # units of a window that are masked one by one in a round
SURE = 1.0  # how far a unit's own leaning must lie above the limit, to be flagged without a look at the text around it

SCREEN = 0.5  # how much further a window may lean than the text that it is a part of, and still count as seen with that

EVERYDAY = -0.5  # leaning below which a compound is an everyday one

Lean = Callable[[list[tuple[int, frozenset[int]]]], list[list[float]]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A concept: how far each unit alone leans into it, and the limit for a unit together with its window."""

    alone: list[float]
    limit: float

    def within(self, compounds: dict[int, float]) -> Rule:
        """With units as they lean inside everyday compounds: a word counts half as itself, half as 'chicken breast'."""
        everyday = {n: leaning for n, leaning in compounds.items() if leaning < EVERYDAY}
        alone = [(own + everyday[n]) / 2 if n in everyday else own for n, own in enumerate(self.alone)]
        return dataclasses.replace(self, alone=alone)

    def sum(self, unit: int, window: float) -> float:
        return self.alone[unit] + WINDOW_WEIGHT * window


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


def decide(
    rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], lean: Lean, harmless: Sequence[bool]
) -> Iterator[Verdict]:
    """A verdict for each unit and concept.

    leanings: [windows][concepts] of the whole windows. lean: the same for windows with some units masked, in one call.
    harmless: units that are no triggers.

    A unit is over the limit by its own leaning plus that of its window. While a window holds one, the unit whose mask
    takes most of the leaning away is flagged, and the rest is looked at again without it.
    """
    flagged: dict[int, dict[int, float]] = {}  # unit -> concept -> the sum that its window was over the limit with
    now = [list(values) for values in leanings]
    for turn in range(ROUNDS + 1):
        over = list(_over(rules, views, now, flagged, harmless))
        sure = [(w, k, n) for w, k, n in over if turn == ROUNDS or rules[k].alone[n] > rules[k].limit + SURE]
        for w, k, n in sure:
            flagged.setdefault(n, {})[k] = rules[k].sum(n, now[w][k])
        if not over or turn == ROUNDS:
            break
        if sure:
            windows = [w for w, view in enumerate(views) if {n for *_, n in sure} & set(view.units)]
            for w, values in zip(windows, lean([(w, _hidden(views[w], flagged)) for w in windows]), strict=True):
                now[w] = values
        else:
            _flag_one_each(rules, views, now, flagged, harmless, over, lean)
    for n in range(len(harmless)):
        for k, rule in enumerate(rules):
            window = max((now[w][k] for w, view in enumerate(views) if n in view.units), default=-1.0)
            own = flagged.get(n, {}).get(k)
            total = own if own is not None else min(rule.sum(n, window), rule.limit)  # flagged under another concept
            yield Verdict(n, k, score(total), score(rule.limit), own is not None)


def suspects(
    rules: Sequence[Rule], views: Sequence[View], leanings: list[list[float]], harmless: Sequence[bool]
) -> list[int]:
    """The units that are over a limit in a whole window, in order."""
    return sorted({n for *_, n in _over(rules, views, leanings, {}, harmless)})


def unclear(
    rules: Sequence[Rule], views: Sequence[View], around: list[list[float]], harmless: Sequence[bool]
) -> list[int]:
    """The windows with a unit that could be over a limit, by the leaning [windows][concepts] of a longer text around.

    A longer text leans less than the part of it that carries a concept, so SCREEN is left for what it hides.
    """
    margin = [[value + SCREEN for value in values] for values in around]
    return sorted({w for w, *_ in _over(rules, views, margin, {}, harmless)})


def _over(rules, views, now, flagged, harmless) -> list[tuple[int, int, int]]:
    """(window, concept, unit) of each unit that is over a limit and not flagged."""
    return [
        (w, k, n)
        for w, view in enumerate(views)
        for k, rule in enumerate(rules)
        for n in view.units
        if n not in flagged and not harmless[n] and rule.sum(n, now[w][k]) > rule.limit
    ]


def _hidden(view: View, flagged) -> frozenset[int]:
    return frozenset(n for n in view.units if n in flagged)


def _flag_one_each(rules, views, now, flagged, harmless, over, lean: Lean) -> None:
    """In each window with a unit over a limit flag one: the one that leans, and takes most with it when masked."""
    concepts: dict[int, set[int]] = {}
    for w, k, _ in over:
        concepts.setdefault(w, set()).add(k)
    trials: list[tuple[int, int]] = []
    for w, wanted in concepts.items():
        open_units = [n for n in views[w].units if n not in flagged and not harmless[n]]
        leaders = sorted(open_units, key=lambda n: -max(rules[k].alone[n] - rules[k].limit for k in wanted))
        trials += [(w, n) for n in leaders[:SUSPECTS]]
    masked = lean([(w, _hidden(views[w], flagged) | {n}) for w, n in trials])
    best: dict[int, tuple[float, int, int, list[float]]] = {}
    for (w, n), values in zip(trials, masked, strict=True):
        for k in concepts[w]:
            gain = rules[k].alone[n] + WINDOW_WEIGHT * (now[w][k] - values[k])
            best[w] = max(best.get(w, (gain, n, k, values)), (gain, n, k, values), key=lambda entry: entry[0])
    for w, (_, n, k, values) in best.items():
        highest = max(rules[k].sum(m, now[w][k]) for v, j, m in over if v == w and j == k)
        flagged.setdefault(n, {})[k] = highest
        now[w] = values
    fresh = {n for _, n, *_ in best.values()}
    others = [w for w, view in enumerate(views) if fresh & set(view.units) - {best[w][1] if w in best else -1}]
    if others:  # windows that hold a unit which was flagged in another one
        for w, values in zip(others, lean([(w, _hidden(views[w], flagged)) for w in others]), strict=True):
            now[w] = values
