"""What a concept subspace catches with the text encoders of a CLIP, as plain data and as text."""

from __future__ import annotations

import dataclasses

from ...safree import kinds, reach
from ...safree.calibration import Contrast
from ...safree.subspace import ConceptSubspace
from ..data import known_words
from ..text.embeddings import Embeddings, embeddings_of
from ..text.encoders import Encoder, encoders
from . import calibration
from .by_language import words_of

MOST = 24  # words of the kind that are looked at


def describe(clip, subspace: ConceptSubspace) -> dict:
    """{'reach': {encoder key: fields of safree.reach.Reach}, 'notes': warnings, 'text': all of it for people}."""
    found, notes, lines = {}, [], []
    for encoder in encoders(clip):
        store = embeddings_of(encoder)
        known = calibration.calibration(encoder, store)
        contrast = calibration.contrast(encoder, store, subspace)
        own = reach.reach(known, contrast, subspace.phrases, _kin(encoder, store, contrast))
        found[encoder.key] = dataclasses.asdict(own)
        notes += reach.warnings(subspace.name, subspace.phrases, subspace.retained, own)
        lines += [f"Text encoder {encoder.key}:", reach.text(subspace.name, own)]
    notes = list(dict.fromkeys(notes))
    return {"reach": found, "notes": notes, "text": "\n".join([*notes, *lines])}


def _kin(encoder: Encoder, store: Embeddings, contrast: Contrast) -> dict[str, float]:
    """Words in use that a dictionary holds for the concept's kind, and how far each leans into it."""
    likely = contrast.kin.words if contrast.kin else {}
    usual, phrases = known_words.RealWords(), {phrase.lower() for phrase in contrast.phrases}
    named = [word for word, value in likely.items() if value > kinds.MEANT and word in usual and word not in phrases]
    found = {word: words for word in named[:MOST] if (words := words_of(encoder, word))}
    leanings = contrast.lean(store.embed(encoder, [encoder.row(words) for words in found.values()])) if found else ()
    return {word: float(value) for word, value in zip(found, leanings, strict=True)}
