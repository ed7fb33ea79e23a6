"""Calibrate a text encoder of a CLIP on the shipped everyday vocabulary, and contrast concepts with it."""

from __future__ import annotations

import hashlib
import logging

import torch

from ..safree import plan
from ..safree.calibration import Calibration, Contrast, HarmlessWindow
from ..safree.discriminant import Everyday
from ..safree.subspace import ConceptSubspace
from . import vocabulary
from .embeddings import Embeddings
from .encoders import Encoder, tokenize
from .words import Word

CPU_WORK = 3e13  # multiplications that calibrating may take on a CPU, where a T5-XXL needs 2e14 for all the vocabulary
TOKENS = 24_000  # of the whole vocabulary, about
FEWEST = 0.1  # of the vocabulary, however large the encoder
CONTRASTS = 64  # that are kept for one encoder


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
    table = encoder.model.transformer.get_input_embeddings().weight.numel()
    work = 2.0 * TOKENS * (sum(p.numel() for p in encoder.model.transformer.parameters()) - table)
    if work <= CPU_WORK:
        return 1.0
    logging.info(
        "SAFREE: text encoder %r runs on the CPU, so it is calibrated on a part of the vocabulary.", encoder.key
    )
    return max(CPU_WORK / work, FEWEST)


def _calibrate(clip, encoder: Encoder, store: Embeddings, phrases, prompts, known) -> Calibration:
    phrase_words = [words_of(clip, encoder, phrase) for phrase in phrases]
    windows, units = [], {}  # units: text -> its words, numbered in order
    for prompt in prompts:
        words = words_of(clip, encoder, prompt)
        texts = [word.text.lower() for word in words]
        for part in plan.windows([len(word.tokens) for word in words], encoder.room):
            found = plan.units(texts[part.start : part.stop], known.joining, known.compounds, plan.Matcher(()))
            places = [[words[part.start + i] for i in unit.places[0]] for unit in found if not unit.harmless]
            texts_of = [unit.text for unit in found if not unit.harmless]
            for text, place in zip(texts_of, places, strict=True):
                units.setdefault(text, place)
            windows.append((words[part.start : part.stop], texts[part.start : part.stop], texts_of))
    phrase_words = [words for words in phrase_words if words]
    rows = [encoder.row(words) for words in [*phrase_words, *(words for words, *_ in windows), *units.values()]]
    found = store.embed(clip, encoder, rows)
    texts, alone = found[: len(phrase_words) + len(windows)], found[len(phrase_words) + len(windows) :]
    distinct, numbers = _distinct(texts)
    number_of = dict(zip(units, range(len(units)), strict=True))
    keys = {embedding.numpy().tobytes(): row for row, embedding in enumerate(distinct)}
    return Calibration(
        Everyday(distinct),
        tuple(
            (tuple(word.text.lower() for word in words), row)
            for words, row in zip(phrase_words, numbers[: len(phrase_words)], strict=True)
        ),
        tuple(
            HarmlessWindow(tuple(texts), row, tuple(number_of[text] for text in texts_of))
            for (_, texts, texts_of), row in zip(windows, numbers[len(phrase_words) :], strict=True)
        ),
        alone,
        torch.tensor([keys.get(embedding.numpy().tobytes(), -1) for embedding in alone], dtype=torch.long),
    )


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
