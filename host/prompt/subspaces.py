"""Build concept subspaces with the text encoders of a CLIP."""

from __future__ import annotations

import torch

from ...safree import SafreeError
from ...safree.linear_algebra import span
from ...safree.subspace import COMMON_RANK, ConceptSubspace, EncoderSubspace
from ..data import kinds
from ..text.embeddings import Embeddings, embeddings_of
from ..text.encoders import Encoder, encoders
from ..text.words import Word
from . import by_language, calibration, named

LONGEST_PHRASE = 60  # tokens


def build_subspace(
    clip,
    name: str,
    phrases: tuple[str, ...],
    strength: float = 1.0,
    retain: tuple[str, ...] = (),
    defaults: dict[str, dict[str, float]] | None = None,
    of_kinds: bool = False,
) -> ConceptSubspace:
    """Encode `phrases` with every text encoder of `clip`; SafreeError for an unusable one.

    defaults: by mode, the threshold and strength that the phrases were tuned with.
    retain: phrases that detection leaves alone, though they share words or meaning with the concept.
    of_kinds: the phrases name kinds of things, however many they are; see ConceptSet.kinds.
    """
    spaces, stores = {}, [(encoder, embeddings_of(encoder)) for encoder in encoders(clip)]
    by_language.check_phrases(stores, phrases)
    for encoder, store in stores:
        concepts = _embed(encoder, store, phrases)
        common = _common(encoder, store)
        spaces[encoder.key] = EncoderSubspace(
            concepts, common, store.probes[0], _embed(encoder, store, retain) if retain else concepts[:0]
        )
    more = {"defaults": defaults or {}, "retained": tuple(retain), "kin": kinds.members(tuple(phrases), of_kinds)}
    built = ConceptSubspace(name, tuple(phrases), spaces, strength, **more)
    for encoder, store in stores:
        calibration.contrast(encoder, store, built)  # here, where its errors name the phrases
        store.save()
    return built


def build_names(
    clip, name: str, names: tuple[str, ...], strength: float = 1.0, retain: tuple[str, ...] = ()
) -> ConceptSubspace:
    """A concept of names, which are found by their spelling: none is encoded, however many there are.

    retain: phrases in which a name is left alone
    """
    spaces = {}
    for encoder in encoders(clip):
        probe = embeddings_of(encoder).probes[0]
        nothing = probe.new_zeros(0, len(probe))
        spaces[encoder.key] = EncoderSubspace(nothing, nothing, probe, nothing)
    named.name_list(names)  # here, where it takes its time
    return ConceptSubspace(name, (), spaces, strength, retained=retain, names=names)


def _embed(encoder: Encoder, store: Embeddings, phrases: tuple[str, ...]) -> torch.Tensor:
    """Pooled embeddings [K, D] of phrases."""
    return store.embed(encoder, [encoder.row(_phrase_words(encoder, phrase)) for phrase in phrases])


def _phrase_words(encoder: Encoder, phrase: str) -> list[Word]:
    words = calibration.words_of(encoder, phrase)
    if not words:
        raise SafreeError(f"concept phrase {phrase!r} holds no word that encoder {encoder.key!r} knows. Reword it.")
    length = sum(len(word.tokens) for word in words)
    if length > LONGEST_PHRASE:
        raise SafreeError(
            f"concept phrase {phrase[:60]!r}... has {length} tokens, more than {LONGEST_PHRASE}. Split it."
        )
    return words


def _common(encoder: Encoder, store: Embeddings) -> torch.Tensor:
    """[c, D] what every everyday thing brings: 'there is one more thing'. For conditioning whose words are unknown."""
    everyday = calibration.calibration(encoder, store).everyday.embeddings
    return span(everyday - store.probes[0], rank=COMMON_RANK)
