"""Build concept subspaces with the text encoders of a CLIP."""

from __future__ import annotations

import dataclasses

import torch

from ..safree import SafreeError, detection
from ..safree.subspace import COMMON_RANK, ConceptSubspace, EncoderSubspace, span
from . import everyday
from .encoders import Encoder, Row, Word, encoders

PROBE = "a photo"
LONGEST_PHRASE = 60  # tokens


def build_subspace(clip, name: str, phrases: tuple[str, ...], strength: float = 1.0) -> ConceptSubspace:
    """Encode `phrases` and the everyday words with every text encoder of `clip`; SafreeError for an unusable one."""
    spaces = {}
    for encoder in encoders(clip):
        concepts = [encoder.row(_phrase_words(clip, encoder, phrase)) for phrase in phrases]
        *pooled, probe = encoder.pooled(clip, [*concepts, probe_row(clip, encoder)])
        spaces[encoder.key] = _calibrate(clip, encoder, torch.stack(pooled), probe)
    return ConceptSubspace(name, tuple(phrases), spaces, strength)


def _phrase_words(clip, encoder: Encoder, phrase: str) -> list[Word]:
    words = encoder.words(clip.tokenize(phrase)[encoder.key])
    if not words:
        raise SafreeError(f"concept phrase {phrase!r} holds no word that encoder {encoder.key!r} knows. Reword it.")
    length = sum(len(word.tokens) for word in words)
    if length > LONGEST_PHRASE:
        raise SafreeError(
            f"concept phrase {phrase[:60]!r}... has {length} tokens, more than {LONGEST_PHRASE}. Split it."
        )
    return words


def probe_row(clip, encoder: Encoder) -> Row:
    return encoder.row(_phrase_words(clip, encoder, PROBE))


def _calibrate(clip, encoder: Encoder, concepts: torch.Tensor, probe: torch.Tensor) -> EncoderSubspace:
    """The subspace with what everyday words do to the pooled embedding: their common part and their alignment."""
    everyday_words = [_phrase_words(clip, encoder, phrase) for phrase in everyday.PHRASES]
    rows = [encoder.row(words) for words in everyday_words]
    masked = [encoder.row(words, set(range(1, len(words)))) for words in everyday_words]  # all but the article
    p, p_masked = encoder.pooled(clip, rows + masked).chunk(2)
    effect = p - p_masked
    known = effect.norm(dim=-1) > 1e-3 * p.norm(dim=-1)  # a small vocabulary may not know every word
    space = EncoderSubspace(concepts, span(effect[known], rank=COMMON_RANK), probe, (0.0, 0.0))
    pairs = zip(p[known], p_masked[known], strict=True)
    scores = torch.cat([detection.alignment(one, other[None], space) for one, other in pairs]).abs()
    return dataclasses.replace(space, null=(scores.mean().item(), scores.std().item()))
