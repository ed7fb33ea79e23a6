"""Build concept subspaces with the text encoders of a CLIP."""

from __future__ import annotations

import dataclasses
import statistics

import torch

from ..safree import SafreeError, detection
from ..safree.linear_algebra import span
from ..safree.subspace import COMMON_RANK, ConceptSubspace, EncoderSubspace
from . import everyday
from .encoders import Encoder, Row, encoders, tokenize
from .words import Word

PROBE = "a photo"
LONGEST_PHRASE = 60  # tokens


def build_subspace(
    clip,
    name: str,
    phrases: tuple[str, ...],
    strength: float = 1.0,
    retain: tuple[str, ...] = (),
    defaults: dict[str, dict[str, float]] | None = None,
) -> ConceptSubspace:
    """Encode `phrases` and the everyday words with every text encoder of `clip`; SafreeError for an unusable one.

    defaults: by mode, the threshold and strength that the phrases were tuned with.
    retain: phrases that alignment detection leaves alone, though they share words or meaning with the concept.
    """
    spaces = {}
    for encoder in encoders(clip):
        concepts = [encoder.row(_phrase_words(clip, encoder, phrase)) for phrase in phrases]
        *pooled, probe = encoder.pooled(clip, [*concepts, probe_row(clip, encoder)])
        spaces[encoder.key] = _calibrate(clip, encoder, torch.stack(pooled), probe, retain)
    return ConceptSubspace(name, tuple(phrases), spaces, strength, defaults=defaults or {})


def _phrase_words(clip, encoder: Encoder, phrase: str) -> list[Word]:
    words = encoder.words(tokenize(clip, encoder.kind.before + phrase)[encoder.key])
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


def _calibrate(clip, encoder: Encoder, concepts, probe, retain: tuple[str, ...]) -> EncoderSubspace:
    """The subspace with what everyday words do to the pooled embedding: their common part and their alignment."""
    p, p_masked = _with_and_without(clip, encoder, everyday.PHRASES, kept=1)  # all but the article is masked
    common = span(p - p_masked, rank=COMMON_RANK)
    if retain:
        kept, kept_masked = _with_and_without(clip, encoder, retain, kept=0)
        common = span(torch.cat([common, torch.nn.functional.normalize(kept - kept_masked, dim=-1)]))
    space = EncoderSubspace(concepts, common, probe, (0.0, 0.0))
    scores = [detection.alignment(a, b[None], space).abs().item() for a, b in zip(p, p_masked, strict=True)]
    if not scores:  # a tokenizer that runs words together tells no everyday word apart
        return space
    return dataclasses.replace(space, null=(statistics.mean(scores), statistics.pstdev(scores)))


def _with_and_without(clip, encoder: Encoder, phrases: tuple[str, ...], kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled embeddings [n, D] of phrases, and of them with all but the first `kept` words masked.

    Phrases whose words the encoder does not know at all (a small vocabulary) are left out.
    """
    words = [_phrase_words(clip, encoder, phrase) for phrase in phrases]
    rows = [encoder.row(w) for w in words] + [encoder.row(w, set(range(kept, len(w)))) for w in words]
    p, p_masked = encoder.pooled(clip, rows).chunk(2)
    known = (p - p_masked).norm(dim=-1) > 1e-3 * p.norm(dim=-1)
    return p[known], p_masked[known]
