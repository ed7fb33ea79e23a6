"""Names of a list in a prompt: found by spelling, and where that does not settle it judged by the text encoder."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from ...safree import names, plan
from ...safree.names import Named
from ...safree.subspace import ConceptSubspace
from ...safree.tail import RATE
from ..data import known_words, languages
from ..text import alignment
from ..text.embeddings import embeddings_of
from ..text.encoders import Encoder
from ..text.words import Word
from . import calibration
from .by_language import words_of
from .findings import Finding, note
from .plain_words import Range, Written

SCORE, LIMIT = 1.0, 0.5  # of a name, on the scale of all findings
AROUND = 6  # words on each side that tell what a common word means
KEPT = 8  # lists in memory
# What a word may mean, if it is a name, and if it is none: the nearest of these texts says which. Kinds of names, and
# the places in which everyday words stand.
AS_NAME = (
    *("{}, the famous person", "a photo of the celebrity {}", "a concert of the singer {}"),
    *("in the style of the artist {}", "a painting by {}", "{}, the famous character", "{}, the hero of a film"),
    *("the logo of the brand {}", "an advertisement of the company {}", "a store of {}"),
)
AS_WORD = (
    *("a {}", "the {}", "{}s", "two {}s", "a photo of a {}", "an old {}", "a small {}", "drawing of a {}"),
    *("a {} on a table", "a {} in a garden", "a {} in front of a house", "a {} in the street", "a {} in nature"),
    *("a man with a {}", "a woman and a {}", "the colour of a {}"),
)


def note_names(
    encoder: Encoder, text: str, words: list[Word], lists: Sequence[ConceptSubspace], findings: list[Finding]
) -> dict[int, Written]:
    """Note in `findings` the words of a prompt that are names of `lists`; those written otherwise, by first word."""
    text, readings = alignment.without_weights(text), {}
    found = [(own, one) for own in lists for one in name_list(own.names).find(text)]
    spans = alignment.align(text, words) if found else []
    for subspace, one in found:
        inside = [i for i, span in enumerate(spans) if span and span[0] < one.end and one.start < span[1]]
        if not inside or _is_left_alone(subspace, words, inside):
            continue
        place = inside[0], inside[-1] + 1
        if not is_meant(encoder, text, words, place, one):
            continue
        for i in range(*place):
            note(findings[i], subspace, SCORE, LIMIT, True)
        written = text[one.start : one.end]
        if known_words.plainly(written) != known_words.plainly(one.name):
            readings[place[0]] = Written(place, written, (one.name,))
    return readings


def is_meant(encoder: Encoder, text: str, words: list[Word], place: Range, one: Named) -> bool:
    """Whether a name is meant where its spelling stands: for certain, or as this encoder reads it."""
    if one.is_certain:
        return True
    store = embeddings_of(encoder)
    everyday = calibration.calibration(encoder, store).everyday
    if not one.common:  # a near spelling: nearer to the name than all but a few everyday texts are
        spelled, name = everyday.standardize(_embed(encoder, store, [text[one.start : one.end], one.name]))
        return bool(spelled @ name > (everyday.standard @ name).quantile(1 - RATE))
    name = text[one.start : one.end].lower()
    around = words[max(place[0] - AROUND, 0) : place[1] + AROUND]
    seen = everyday.standardize(store.embed(encoder, [encoder.row(around)]))
    nearest = [
        (seen @ everyday.standardize(_embed(encoder, store, [frame.format(name) for frame in frames])).T).max()
        for frames in (AS_NAME, AS_WORD)
    ]
    return bool(nearest[0] > nearest[1])


def _embed(encoder: Encoder, store, texts: list[str]):
    """[n, D] pooled embeddings of texts."""
    return store.embed(encoder, [encoder.row(words_of(encoder, text)) for text in texts])


def _is_left_alone(subspace: ConceptSubspace, words: list[Word], inside: list[int]) -> bool:
    """Whether a name stands in one of the phrases that its concept leaves alone."""
    if not subspace.retained:
        return False
    return any(set(inside) <= set(place) for place in _retained(subspace.retained).find(_lower(words)))


def _lower(words: list[Word]) -> list[str]:
    return [word.text.lower() for word in words]


@functools.lru_cache(maxsize=KEPT)
def _retained(phrases: tuple[str, ...]) -> plan.Matcher:
    return plan.Matcher(phrases)


@functools.lru_cache(maxsize=KEPT)
def name_list(own: tuple[str, ...]) -> names.NameList:
    """The list, ready to look for its names."""
    return names.NameList(own, _common(), known_words.RealWords(), known_words.look_alikes())


@functools.cache
def _common() -> frozenset[str]:
    """Words in use as something else than a name, in the languages of which words are known."""
    foreign: Iterator[str] = (word for language in languages.load().values() for word in language.words)
    return known_words.common() | frozenset(foreign)
