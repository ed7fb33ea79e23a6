"""A prompt in plain words: what is written to be missed, replaced by what it can be read as."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from ...safree import plan, readings
from ...safree.folding import fold
from ...safree.lexicon import Lexicon
from ..data import known_words
from ..text import alignment
from ..text.words import Word

Range = tuple[int, int]  # (first, end) of words
KEPT = 32  # word lists of concepts in memory


@dataclasses.dataclass(frozen=True)
class Written:
    """Words of a prompt that can be read otherwise. words: (first, end). text: as it stands. plains: its readings."""

    words: Range
    text: str
    plains: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PlainPrompt:
    """words: those of the prompt in plain words. origins: for each the words (first, end) of the prompt it stands for.

    readings: numbers of those that stand for words written otherwise, each with how it stands there
    """

    words: list[Word]
    origins: list[Range]
    readings: dict[int, Written]


def written(text: str, words: Sequence[Word], phrases: tuple[str, ...]) -> list[Written]:
    """What of a prompt can be read otherwise, as one encoder reads its `text`: in order, not overlapping.

    phrases: of the concepts
    """
    if not words:
        return []
    whole = alignment.without_weights(text)
    found = readings.find(whole, lexicon(phrases), known_words.look_alikes())
    if whole != text:  # '(na:1.0)ked' is one word
        found = readings.with_names(whole, lexicon(phrases), found)
    text = whole
    spans = alignment.align(text, words) if found else []
    out: list[Written] = []
    for reading in found:
        inside = [i for i, span in enumerate(spans) if span and span[0] < reading.end and reading.start < span[1]]
        if inside and (not out or inside[0] >= out[-1].words[1]):
            out.append(Written((inside[0], inside[-1] + 1), text[reading.start : reading.end], reading.plains))
    return out


def rewritten(words: Sequence[Word], found: list[tuple[Written, list[Word]]]) -> PlainPrompt:
    """The prompt with each part of `found` replaced by the words that it is read as."""
    out, origins, numbers, at = [], [], {}, 0
    for part, plain in found:
        first, end = part.words
        out += words[at:first]
        origins += [(i, i + 1) for i in range(at, first)]
        numbers.update(dict.fromkeys(range(len(out), len(out) + len(plain)), part))
        out += plain
        origins += [part.words] * len(plain)
        at = end
    out += words[at:]
    return PlainPrompt(out, [*origins, *((i, i + 1) for i in range(at, len(words)))], numbers)


def as_one(words: Sequence[Word]) -> Word:
    """Words as a single one, which is judged as a whole."""
    tokens, pieces, places = (tuple(x for w in words for x in getattr(w, f)) for f in ("tokens", "pieces", "places"))
    return Word(" ".join(word.text for word in words), tokens, pieces, places)


@functools.lru_cache(maxsize=KEPT)
def lexicon(phrases: tuple[str, ...]) -> Lexicon:
    """The words that concepts are named with, but those that everybody uses and no phrase consists of."""
    usual, wanted = known_words.usual(), {}
    for phrase in phrases:
        pieces = [piece for piece in plan.pieces(phrase) if not plan.is_mark(piece)]
        wanted |= dict.fromkeys(word for word in pieces if len(pieces) == 1 or word not in usual)
    forms = {form for word in wanted for form in known_words.inflections(word)}
    real = known_words.RealWords(frozenset(forms))
    wanted |= dict.fromkeys(sorted(forms - usual))
    return Lexicon(wanted, real, known_words.everyday(), _folded, frozenset(phrases))


def _folded(word: str) -> str:
    return fold(word, known_words.look_alikes()).text
