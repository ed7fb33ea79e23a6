"""Calibrate a text encoder of a CLIP on the shipped everyday vocabulary, and contrast concepts with it."""

from __future__ import annotations

import hashlib
import logging

import torch

from ...safree import plan
from ...safree.calibration import Calibration, Contrast, HarmlessWindow
from ...safree.discriminant import Everyday
from ...safree.subspace import ConceptSubspace
from ..data import vocabulary
from ..text.embeddings import Embeddings
from ..text.encoders import Encoder, tokenize
from ..text.words import Word

CPU_WORK = 3e13  # multiplications that calibrating may take on a CPU, where a T5-XXL needs 2e14 for all the vocabulary
TOKENS = 40_000  # of the whole vocabulary, about
FEWEST = 0.1  # of the vocabulary, however large the encoder
CONTRASTS = 64  # that are kept for one encoder
NOTHING = plan.Matcher(())


def words_of(clip, encoder: Encoder, text: str) -> list[Word]:
    """The words of `text` as `encoder` reads them inside a prompt."""
    return encoder.words(tokenize(clip, encoder.kind.before + text)[encoder.key])


def calibration(clip, encoder: Encoder, store: Embeddings) -> Calibration:
    """The calibration of an encoder, made when it is needed first; SafreeError where it tells no phrases apart."""
    if store.calibration is None:
        known = vocabulary.load()
        step = max(round(1 / _share(clip, encoder)), 1)
        store.calibration = _calibrate(clip, encoder, store, known.phrases[::step], known.prompts[::step], known)
        store.save()
    return store.calibration


def _share(clip, encoder: Encoder) -> float:
    """The share of the vocabulary that is encoded: all of it, but for large encoders on a CPU."""
    if clip.patcher.load_device.type != "cpu":
        return 1.0
    table = encoder.table.numel()
    work = 2.0 * TOKENS * (sum(p.numel() for p in encoder.model.transformer.parameters()) - table)
    if work <= CPU_WORK:
        return 1.0
    logging.info(
        "SAFREE: text encoder %r runs on the CPU, so it is calibrated on a part of the vocabulary.", encoder.key
    )
    return max(CPU_WORK / work, FEWEST)


def _calibrate(clip, encoder: Encoder, store: Embeddings, phrases, prompts, known) -> Calibration:
    texts = [words for phrase in phrases if (words := words_of(clip, encoder, phrase))]
    parts, units = [], {}  # windows of harmless prompts with the units in them; a unit's text -> its words
    for prompt in prompts:
        words = words_of(clip, encoder, prompt)
        for window in plan.windows([len(word.tokens) for word in words], encoder.room):
            part = words[window.start : window.stop]
            judged = [u for u in plan.units(lower(part), known.joining, known.compounds, NOTHING) if not u.harmless]
            units.update({unit.text: [part[i] for i in unit.places[0]] for unit in judged if unit.text not in units})
            parts.append((part, [unit.text for unit in judged]))
    count = len(texts)
    texts += units.values()  # the words of harmless prompts are everyday language, too
    rows = [encoder.row(words) for words in [*texts, *(part for part, _ in parts)]]
    distinct, numbers = _distinct(store.embed(clip, encoder, rows))
    row_of = dict(zip(units, numbers[len(texts) - len(units) :], strict=False))
    return Calibration(
        Everyday(distinct, max(numbers[:count]) + 1),
        tuple((lower(words), row) for words, row in zip(texts, numbers, strict=False)),
        tuple(
            HarmlessWindow(lower(part), row, tuple(row_of[unit] for unit in judged))
            for (part, judged), row in zip(parts, numbers[len(texts) :], strict=True)
        ),
    )


def lower(words: list[Word]) -> tuple[str, ...]:
    return tuple(word.text.lower() for word in words)


def _distinct(embeddings: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The different rows of `embeddings` [n, D] in order, and for each row its number among them."""
    known: dict[bytes, int] = {}
    numbers = [known.setdefault(embedding.numpy().tobytes(), len(known)) for embedding in embeddings]
    first = {number: i for i, number in reversed(list(enumerate(numbers)))}
    return embeddings[[first[number] for number in range(len(known))]], numbers


def contrast(clip, encoder: Encoder, store: Embeddings, subspace: ConceptSubspace) -> Contrast:
    """A concept against everyday language in this encoder, kept for as long as the encoder's embeddings are."""
    space = subspace[encoder.key]
    hashed = hashlib.blake2b(repr((subspace.phrases, subspace.retained)).encode(), digest_size=16)
    hashed.update(space.concepts.numpy().tobytes())
    name = hashed.digest()
    if name not in store.contrasts:
        calibrated = calibration(clip, encoder, store)
        store.contrasts[name] = calibrated.contrast(space.concepts, subspace.phrases, space.retain, subspace.retained)
        while len(store.contrasts) > CONTRASTS:
            store.contrasts.popitem(last=False)
    return store.contrasts[name]
