"""Calibrate a text encoder of a CLIP on the shipped everyday vocabulary, and contrast concepts with it."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import hashlib
import logging
from collections.abc import Iterator

import torch

from ...safree import SafreeError, plan
from ...safree.calibration import FLOOR, OTHER_FLOOR, Calibration, Contrast, HarmlessWindow, floor_of
from ...safree.discriminant import Everyday
from ...safree.languages import ENGLISH
from ...safree.subspace import ConceptSubspace
from ..data import concept_sets, kinds, languages
from ..text.embeddings import Embeddings
from ..text.encoders import Encoder
from ..text.encoding import size
from ..text.words import Word
from . import by_language
from .by_language import words_of

CPU_WORK = 3e13  # multiplications that calibrating may take on a CPU, where a T5-XXL needs 2e14 for all the vocabulary
TOKENS = 40_000  # of the whole vocabulary, about
FEWEST = 0.1  # of the vocabulary, however large the encoder
CONTRASTS = 64  # that are kept for one encoder
NOTHING = plan.Matcher(())
# Share of the vocabulary that is encoded, whatever the encoder costs; set by a benchmark.
part: contextvars.ContextVar[float | None] = contextvars.ContextVar("part", default=None)


def calibration(
    encoder: Encoder, store: Embeddings, language: str = ENGLISH, beside: frozenset[str] = frozenset()
) -> Calibration:
    """The calibration of an encoder, made when it is needed first; SafreeError where it tells no phrases apart.

    language: of the prompts; their harmless scores are its own. beside: further languages of the concept's phrases.
    Each is contrasted with everyday language of all, so that no language is a concept by itself.
    """
    codes, step = (language, *sorted({ENGLISH, *beside} - {language})), max(round(1 / _share(encoder)), 1)
    if (codes, step) not in store.calibrations:
        store.calibrations[codes, step] = _calibrate(encoder, store, codes, step)
        store.save()
    return store.calibrations[codes, step]


def _share(encoder: Encoder) -> float:
    """The share of the vocabulary that is encoded: all of it, but for large encoders on a CPU."""
    if part.get() is not None:
        return part.get()
    if encoder.clip.patcher.load_device.type != "cpu":
        return 1.0
    work = 2.0 * TOKENS * size(encoder)
    if work <= CPU_WORK:
        return 1.0
    logging.info(
        "SAFREE: text encoder %r runs on the CPU, so it is calibrated on a part of the vocabulary.", encoder.key
    )
    return max(CPU_WORK / work, FEWEST)


def _calibrate(encoder: Encoder, store: Embeddings, codes: tuple[str, ...], step: int) -> Calibration:
    phrases, parts, units = [], [], {}  # windows of harmless prompts with the units in them; a unit's text -> its words
    for code in codes:
        known = languages.everyday(code)
        own = (by_language.segmented(words_of(encoder, phrase)) for phrase in known.phrases[::step])
        phrases += [words for words in own if words]
        found = list(_harmless(encoder, known, step))
        for _, part, judged in found:
            units.update({unit.text: [part[i] for i in unit.places[0]] for unit in judged if unit.text not in units})
        parts += found
    texts = [*phrases, *units.values()]  # the words of harmless prompts are everyday language, too
    rows = [encoder.row(words) for words in [*texts, *(part for _, part, _ in parts)]]
    distinct, numbers = _distinct(store.embed(encoder, rows))
    row_of = dict(zip(units, numbers[len(phrases) :], strict=False))
    return Calibration(
        Everyday(distinct, max(numbers[: len(phrases)]) + 1),
        tuple((lower(words), row) for words, row in zip(texts, numbers, strict=False)),
        tuple(
            HarmlessWindow(lower(part), row, tuple(row_of[unit.text] for unit in judged))
            for (code, part, judged), row in zip(parts, numbers[len(texts) :], strict=True)
            if code == codes[0]
        ),
    )


def _harmless(
    encoder: Encoder, known: languages.EverydayLanguage, step: int
) -> Iterator[tuple[str, list[Word], list[plan.Unit]]]:
    """(language, words, units) of each window of the harmless prompts of a language."""
    for prompt in known.prompts[::step]:
        words = by_language.segmented(words_of(encoder, prompt))
        for window in plan.windows([len(word.tokens) for word in words], encoder.room):
            part = words[window.start : window.stop]
            yield known.code, part, [unit for unit in known.units(lower(part), NOTHING) if not unit.harmless]


def lower(words: list[Word]) -> tuple[str, ...]:
    return tuple(word.text.lower() for word in words)


def _distinct(embeddings: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The different rows of `embeddings` [n, D] in order, and for each row its number among them."""
    known: dict[bytes, int] = {}
    numbers = [known.setdefault(embedding.numpy().tobytes(), len(known)) for embedding in embeddings]
    first = {number: i for i, number in reversed(list(enumerate(numbers)))}
    return embeddings[[first[number] for number in range(len(known))]], numbers


@functools.lru_cache(maxsize=CONTRASTS)
def concept_phrases(phrases: tuple[str, ...], language: str) -> tuple[str, ...]:
    """The phrases in `language` of the concept sets that a concept's `phrases` hold, whole or for the most part."""
    own, found = frozenset(phrases), []
    for name, texts in languages.load()[language].sets.items() if language != ENGLISH else ():
        shipped = concept_sets.get(name).phrases
        if 2 * len(own.intersection(shipped)) > len(shipped):
            found += texts
    return tuple(dict.fromkeys(found))


def contrast(encoder: Encoder, store: Embeddings, subspace: ConceptSubspace, language: str = ENGLISH) -> Contrast:
    """A concept against everyday language in this encoder, kept for as long as the encoder's embeddings are.

    language: of the prompt that is judged. Phrases of the concept sets in that language count beside the concept's own.
    """
    if not subspace.phrases:
        raise SafreeError(
            f"'{subspace.name}' is a list of names: they are found in prompts of SafreeConditioning alone. Connect a "
            "ConceptSubspace with phrases here."
        )
    space, more = subspace[encoder.key], concept_phrases(subspace.phrases, language)
    told = (subspace.phrases, subspace.retained, language, subspace.kin, _share(encoder))
    hashed = hashlib.blake2b(repr(told).encode(), digest_size=16)
    hashed.update(space.concepts.numpy().tobytes())
    name = hashed.digest()
    if name not in store.contrasts:
        beside = frozenset(code for code in by_language.of_phrases(subspace.phrases) if code in languages.load())
        calibrated = calibration(encoder, store, language, beside)
        concepts = space.concepts
        if more:
            rows = [encoder.row(by_language.segmented(words_of(encoder, phrase), more)) for phrase in more]
            concepts = torch.cat([concepts, store.embed(encoder, rows)])
        phrases = (*subspace.phrases, *more)
        kin = kinds.kin(subspace.kin) if language == ENGLISH else None
        found = calibrated.contrast(concepts, phrases, space.retain, subspace.retained, kin)
        floor = floor_of(FLOOR if language == ENGLISH else OTHER_FLOOR, _share(encoder))
        store.contrasts[name] = dataclasses.replace(found, floor=floor)
        while len(store.contrasts) > CONTRASTS:
            store.contrasts.popitem(last=False)
    return store.contrasts[name]
