"""What a concept catches, told when it is built: its phrases left out in turn, and everyday words near the limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from .calibration import WINDOW_WEIGHT, Calibration, Contrast
from .plan import Matcher

SHOWN = 8  # everyday words on each side of the limit
FEWEST = 3  # phrases below which a concept says next to nothing about its kind
TOO_MANY = 0.03  # share of harmless prompts; above it a concept is everyday language itself


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far a concept reaches in one text encoder.

    catches: everyday words, and others of the same kind, that are flagged as prompts of their own, those that lean most
    first; phrases are not among them. below: the words that come next
    judged, missed: phrases that were judged by a rule fitted without them, and those of them that it does not find
    harmless: share of the everyday prompts of which it would take words
    """

    catches: tuple[str, ...]
    below: tuple[str, ...]
    judged: tuple[str, ...]
    missed: tuple[str, ...]
    harmless: float


def reach(
    calibration: Calibration, contrast: Contrast, phrases: Sequence[str], kin: Mapping[str, float] | None = None
) -> Reach:
    """The reach of the concept of `phrases`; `contrast` is what Calibration.contrast makes of them.

    kin: words that a dictionary holds for the same kind, and how far each leans into the concept
    """
    leanings, limit = contrast.lean_everyday(), contrast.limit(1)
    matcher = Matcher(phrases)
    texts = {" ".join(text): float(leanings[row]) for text, row in calibration.phrases if not matcher.find(text)}
    words = {word: _as_prompt(value) + _shift(contrast, word) for word, value in {**(kin or {}), **texts}.items()}
    ranked = sorted(words, key=lambda word: -words[word])
    catches = [word for word in ranked if words[word] > limit]
    below = ranked[len(catches) :][:SHOWN]
    judged = tuple(phrases) if len(phrases) >= FEWEST else ()
    missed = _missed(contrast, phrases) if judged else ()
    shifts = torch.zeros(len(leanings))
    for text, row in calibration.phrases if contrast.kin else ():
        shifts[row] = _shift(contrast, " ".join(text))
    harmless = _share_of_harmless(calibration, contrast, leanings, leanings + shifts, matcher)
    return Reach(tuple(catches[:SHOWN]), tuple(below), judged, missed, harmless)


def _as_prompt(leaning):
    """The sum of leanings of a word that is a whole prompt: it is its own surroundings."""
    return leaning * (1 + WINDOW_WEIGHT)


def _shift(contrast: Contrast, word: str) -> float:
    return contrast.kin.shift(word) if contrast.kin else 0.0


def _missed(contrast: Contrast, phrases: Sequence[str]) -> tuple[str, ...]:
    """The phrases that the rule fitted without them does not flag, or that the encoder does not know."""
    sums = _as_prompt(contrast.lean_phrases()).tolist()
    found = {phrase for phrase, value in zip(contrast.phrases, sums, strict=True) if value > contrast.limit(1)}
    return tuple(phrase for phrase in phrases if phrase not in found)


def _share_of_harmless(
    calibration: Calibration, contrast: Contrast, around: torch.Tensor, alone: torch.Tensor, matcher: Matcher
) -> float:
    """The share of windows of harmless prompts that name a phrase, or hold a word over the limit.

    around, alone: [n] leanings of the everyday texts, and these with what a dictionary adds
    """
    flagged = 0
    for window in calibration.windows:
        own = alone[list(window.units)]
        over = len(own) and own.max() + WINDOW_WEIGHT * around[window.row] > contrast.limit(len(own))
        flagged += bool(over) or bool(matcher.find(window.words))
    return flagged / max(len(calibration.windows), 1)


def warnings(name: str, phrases: Sequence[str], retained: Sequence[str], found: Reach) -> list[str]:
    """What a user should know before relying on a concept, one sentence each."""
    said = []
    if len(phrases) < FEWEST:
        said.append(
            f"'{name}' has {len(phrases)} phrases, which say little about the kind that is meant. Write 5 to 20."
        )
    both = sorted({" ".join(p.lower().split()) for p in phrases} & {" ".join(r.lower().split()) for r in retained})
    if both:
        said.append(f"Phrases to retain are phrases of the concept, too: {', '.join(both)}. Take them out of one list.")
    if found.harmless > TOO_MANY:
        said.append(
            f"'{name}' is a part of everyday language: it would take words out of {found.harmless:.0%} of harmless "
            "prompts. Choose narrower phrases."
        )
    return said


def text(name: str, found: Reach) -> str:
    """The reach as two or three sentences for people."""
    lines = []
    if found.judged:
        count = len(found.judged) - len(found.missed)
        more = ", ..." if len(found.missed) > SHOWN else ""
        missed = f" (not: {', '.join(found.missed[:SHOWN])}{more})" if found.missed else ""
        lines.append(f"Phrases of '{name}' found if left out: {count} of {len(found.judged)}{missed}.")
    lines.append(f"Also catches: {', '.join(found.catches) or 'no everyday word'}.")
    lines.append(f"Just below: {', '.join(found.below)}. Of harmless prompts {found.harmless:.1%} lose words.")
    return "\n".join(lines)
