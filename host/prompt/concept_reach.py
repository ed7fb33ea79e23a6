"""What a concept subspace catches with the text encoders of a CLIP, as plain data and as text."""

from __future__ import annotations

import dataclasses

from ...safree import reach
from ...safree.subspace import ConceptSubspace
from ..text.embeddings import embeddings_of
from ..text.encoders import encoders
from . import calibration


def describe(clip, subspace: ConceptSubspace) -> dict:
    """{'reach': {encoder key: fields of safree.reach.Reach}, 'notes': warnings, 'text': all of it for people}."""
    found, notes, lines = {}, [], []
    for encoder in encoders(clip):
        store = embeddings_of(encoder)
        known = calibration.calibration(encoder, store)
        contrast = calibration.contrast(encoder, store, subspace)
        own = reach.reach(known, contrast, subspace.phrases)
        found[encoder.key] = dataclasses.asdict(own)
        notes += reach.warnings(subspace.name, subspace.phrases, subspace.retained, own)
        lines += [f"Text encoder {encoder.key}:", reach.text(subspace.name, own)]
    notes = list(dict.fromkeys(notes))
    return {"reach": found, "notes": notes, "text": "\n".join([*notes, *lines])}
