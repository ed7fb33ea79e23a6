"""A text encoder calibrated on everyday language: a concept stands out from it, at a stated false-alarm rate."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import torch

from . import SafreeError
from .discriminant import Discriminant, Everyday, fit
from .kinds import Kin
from .nearness import Nearness
from .plan import Matcher, pieces
from .tail import TAIL, Tail

WINDOW_WEIGHT = 1.0  # of the text around a word, beside the word itself
FEWEST = 8  # distinct everyday embeddings that an encoder must tell apart
FLOOR = -0.9  # sum of leanings below which nothing is flagged: nearer to everyday language than to any concept
OTHER_FLOOR = -0.4  # the same in a language of which a third as many everyday phrases are known
THIRD = 0.5  # how much higher each of the two is with a third of the everyday phrases that it was found with
BROAD = 64  # phrases from which a concept names its kind by itself; with fewer the more counts what is near to them
DICTIONARY = 0.5  # least weight of what a dictionary says: no list names all of its kind
NARROW = 8  # phrases up to which a concept is a thing or two, not a subject
# Shape of the tail where only nearness counts. A smaller one says that scores end just above those that were seen; of
# nearness, which has no end that the few harmless words near a concept could show, chance often makes that up.
STEEPEST = -0.1
SHARES = (1.0, 0.5, 0.25, 0.0)  # of nearness that are tried, until the rate can be had with own phrases found
USUAL = 8  # words that a prompt has judged
CEILING = 0.0  # a concept's own phrase in an everyday text; above it the guard would let that pass, whatever the rate
DOUBT = 20  # harmless scores in the tail that tell an end of it as surely as it is doubted: few ones make that up
SAME = 1e-3  # relative distance below which two embeddings are one


def floor_of(usual: float, share: float) -> float:
    """The sum of leanings below which nothing is flagged, where a `share` of the everyday phrases is known.

    usual: with all of them. What harmless words score is known the less well, the fewer there are.

    >>> [round(floor_of(FLOOR, share), 2) for share in (1, 1 / 3, 1 / 10)]
    [-0.9, -0.4, 0.0]
    """
    return min(usual - THIRD * math.log(share, 3), CEILING)


@dataclasses.dataclass(frozen=True)
class HarmlessWindow:
    """A part of a harmless prompt: the rows of its embedding, and of those of its units, among the everyday ones."""

    words: tuple[str, ...]
    row: int
    units: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What one text encoder makes of everyday language.

    everyday: distinct pooled embeddings [n, D] of everyday phrases and words, and of windows of harmless prompts
    phrases: the words of each everyday phrase, and the row of its embedding
    windows: of harmless prompts
    """

    everyday: Everyday
    phrases: tuple[tuple[tuple[str, ...], int], ...]
    windows: tuple[HarmlessWindow, ...]

    def __post_init__(self):
        distinct = len(self.everyday.embeddings)
        if distinct < FEWEST:
            raise SafreeError(
                f"the text encoder tells only {distinct} of {len(self.phrases)} everyday phrases apart, so no concept "
                "can be told from them. Its weights are damaged or missing; load another text encoder."
            )

    def contrast(
        self,
        concepts: torch.Tensor,
        phrases: Sequence[str],
        retain: torch.Tensor,
        retained: Sequence[str] = (),
        kin: Kin | None = None,
    ) -> Contrast:
        """The discriminant of concept embeddings [K, D] of `phrases`, and the tail of what harmless words score.

        Everyday language that holds a concept phrase word for word is left out on that side. Concept phrases that the
        encoder reads as it reads an unrelated everyday phrase (words it does not know) are left out on the other.
        kin: what a dictionary says of the kind that is meant; it counts the less the more is named, and DICTIONARY at
            least.
        Raises SafreeError when no phrase is left.
        """
        matcher = Matcher(phrases)
        named = self._rows_that_name(matcher)
        aside = {window.row for window in self.windows if matcher.find(window.words)}
        weights = torch.ones(len(self.everyday.embeddings))
        weights[list(named | aside)] = 0
        known = self._known(concepts, weights > 0)
        if not known.any():
            raise SafreeError(
                f"the text encoder knows none of the words of {', '.join(phrases[:5])}: it reads them like any unknown "
                "word. Choose other phrases, or another text encoder."
            )
        ordinary = {" ".join(words): row for words, row in self.phrases if row not in named}
        weights[self._inside(phrases, ordinary)] = self._weight_inside(weights, known, phrases)
        found = fit(concepts[known], self.everyday, weights, retain)
        unnamed = max(1 - len(phrases) / BROAD, 0.0)
        near = self._nearness(concepts, known, phrases, retain, ordinary) if unnamed > 0 else None
        kept = tuple(phrase for phrase, is_known in zip(phrases, known.tolist(), strict=True) if is_known)
        left_alone = Matcher(retained)
        kin = dataclasses.replace(kin, weight=max(unnamed, DICTIONARY)) if kin else None
        shifts, meant = self._kin(kin)
        for share in SHARES if near else (0.0,):
            untested = Contrast(found, Tail(0.0, TAIL, 0.1, 0.0), near, share * unnamed, kept, kin)
            null = self._null(untested, aside, left_alone, shifts, meant)
            steepest = STEEPEST / untested.unnamed if untested.unnamed > 0 else -math.inf
            contrast = dataclasses.replace(untested, tail=Tail.of(null, steepest=steepest, doubt=DOUBT))
            if contrast.tail.limit(USUAL) <= CEILING:  # else harmless words are as near as the concept's own
                break
        return contrast

    def _rows_that_name(self, matcher: Matcher) -> set[int]:
        """Rows of everyday phrases that hold a concept phrase, but for the one vector of all unknown words."""
        named = {row for words, row in self.phrases if matcher.find(words)}
        return named - {row for words, row in self.phrases if not matcher.find(words)}

    @staticmethod
    def _inside(phrases: Sequence[str], ordinary: dict[str, int]) -> list[int]:
        """Rows of everyday texts that stand inside `phrases`."""
        parts = [part for phrase in phrases for part in _parts(pieces(phrase))]
        return [ordinary[part] for part in parts if part in ordinary]

    @staticmethod
    def _weight_inside(weights: torch.Tensor, known: torch.Tensor, phrases: Sequence[str]) -> float:
        """What an everyday text inside a phrase counts: as much as that phrase, in all but narrow concepts.

        'run over by a truck' is no reason to suspect trucks; but in a concept of a name or two its words are meant.
        """
        return float((weights > 0).sum()) / int(known.sum()) if len(phrases) > NARROW else 0.0

    def _nearness(
        self, concepts: torch.Tensor, known: torch.Tensor, phrases: Sequence[str], retain: torch.Tensor, ordinary: dict
    ) -> Nearness:
        opposed = torch.cat([self.everyday.standardize(retain), self._opposed(concepts, phrases, ordinary)])
        return Nearness.of(self.everyday, self.everyday.standardize(concepts[known]), opposed, self._units)

    @functools.cached_property
    def _units(self) -> torch.Tensor:
        """Rows of the words of harmless prompts, as often as they occur; of all everyday texts where there are none."""
        rows = [row for window in self.windows for row in window.units]
        return torch.tensor(rows or range(len(self.everyday.embeddings)))

    def _opposed(self, concepts: torch.Tensor, phrases: Sequence[str], ordinary: dict[str, int]) -> torch.Tensor:
        """Directions [m, D] of everyday words inside `phrases` that the other phrases do not bear out.

        'car' of 'car crash, collision, accident' is no accident; 'beer' of 'beer bottle, wine' is a drink.
        """
        standard, directions = self.everyday.standard, self.everyday.standardize(concepts)
        texts, found = [pieces(phrase) for phrase in phrases], []
        inside = {
            part for text in texts for part in text if len(text) > 1 and (part,) not in texts and part in ordinary
        }
        for part in sorted(inside):
            others = [n for n, text in enumerate(texts) if part not in text]
            row = ordinary[part]
            if others and (directions[others] @ standard[row]).max() < self.everyday.crowd[row]:
                found.append(row)
        return standard[found]

    @functools.cached_property
    def unknown(self) -> torch.Tensor:
        """Rows that several different phrases share: how the encoder reads words that it does not know."""
        counted = collections.Counter(row for _, row in set(self.phrases))
        return torch.tensor([row for row, times in counted.items() if times > 2], dtype=torch.long)

    def _known(self, concepts: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
        others = self.everyday.embeddings[usual]
        nearest = torch.cdist(concepts, others).amin(dim=1)
        return nearest > SAME * concepts.norm(dim=-1)

    def _kin(self, kin: Kin | None) -> tuple[torch.Tensor, set[int]]:
        """(what a dictionary adds to each everyday text [n], rows of those that it takes for the concept itself)."""
        shifts, meant = torch.zeros(len(self.everyday.embeddings)), set()
        for words, row in self.phrases if kin else ():
            text = " ".join(words)
            shifts[row] = kin.shift(text)
            meant |= {row} if kin.is_meant(text) else set()
        shifts[self.unknown] = 0.0
        return shifts, meant

    def _null(
        self, found: Contrast, aside: set[int], retained: Matcher, shifts: torch.Tensor, meant: set[int]
    ) -> torch.Tensor:
        """Scores of harmless words in their windows, each text as if the rule had been fitted without it."""
        left_out, values = {*self.unknown.tolist(), *meant}, found.lean_everyday()
        alone = values + shifts
        parts = [
            alone[[n for n in window.units if n not in left_out]] + WINDOW_WEIGHT * values[window.row]
            for window in self.windows
            if window.row not in aside and not retained.find(window.words)
        ]
        return torch.cat(parts) if parts else torch.zeros(0)


def _parts(words: tuple[str, ...]) -> list[str]:
    """The texts inside a phrase, without the whole of it.

    >>> _parts(("bow", "and", "arrow"))
    ['bow', 'bow and', 'and', 'and arrow', 'arrow']
    """
    spans = itertools.combinations(range(len(words) + 1), 2)
    return [" ".join(words[start:end]) for start, end in spans if end - start < len(words)]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A concept against everyday language in one text encoder, with the limits that follow from a false-alarm rate.

    near: what counts beside the discriminant, None for a broad concept
    unnamed: share of what is near, in [0, 1]: 1 where the phrases name next to nothing of their kind, 0 from BROAD on
    phrases: those of the concept that the encoder knows
    kin: what a dictionary says of words, beside how they lean
    floor: sum of leanings of a broad concept below which nothing is flagged
    """

    discriminant: Discriminant
    tail: Tail
    near: Nearness | None = None
    unnamed: float = 0.0
    phrases: tuple[str, ...] = ()
    kin: Kin | None = None
    floor: float = FLOOR

    def lean(self, embeddings: torch.Tensor) -> torch.Tensor:
        """How far each text leans into the concept: embeddings [N, D] -> [N], -1 everyday to 1 the concept."""
        named = self.discriminant.lean(embeddings).clamp(-1, 1)  # the rule swings past its own phrases
        return named if self.near is None else self._blend(named, self.near.lean(embeddings))

    def lean_everyday(self) -> torch.Tensor:
        """[n] the same of the everyday texts, each as if it were not among them."""
        named = self.discriminant.left_out.clamp(-1, 1)
        return named if self.near is None else self._blend(named, self.near.lean_everyday())

    def lean_phrases(self) -> torch.Tensor:
        """[K] the same of the concept's own `phrases`, each as if it were not among them."""
        named = self.discriminant.phrases_left_out.clamp(-1, 1)
        return named if self.near is None else self._blend(named, self.near.lean_phrases())

    def _blend(self, named: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        return (1 - self.unnamed) * named + self.unnamed * near

    def limit(self, tests: int, threshold: float = 0.0) -> float:
        """The sum of leanings above which one of `tests` units is flagged; threshold: a user's own, as a `score`."""
        floor = (1 - self.unnamed) * self.floor - self.unnamed * (1 + WINDOW_WEIGHT)
        return leaning(threshold) if threshold else min(max(self.tail.limit(tests), floor), CEILING)


def score(total: float) -> float:
    """A sum of leanings, of a word alone and of the text around it, both about -1 to 1, as a score in [0, 1].

    >>> score(0.0)
    0.5
    """
    most = 1 + WINDOW_WEIGHT
    return min(max((total + most) / (2 * most), 0.0), 1.0)


def leaning(threshold: float) -> float:
    """The sum of leanings that `score` maps to `threshold`."""
    most = 1 + WINDOW_WEIGHT
    return threshold * 2 * most - most
