"""Modes `paper` and `reference`: flag single tokens by distance, replace each by its projection."""

from __future__ import annotations

import statistics

import torch

from ...safree import SafreeError, detection, projection, validation
from ...safree.linear_algebra import span
from ..text import families
from ..text.encoders import Encoder
from ..text.encoding import encode_states, pool
from ..text.words import EMBEDDING
from .findings import Finding, note
from .guarded import Steered

ROWS = 16  # chunks encoded at once: bounds the memory of long prompts


def steer(clip, found, tokens, base, subspaces, settings) -> Steered:
    """Modes `paper` and `reference`: flag single tokens by distance, replace each by its projection.

    Encoders that reach only the pooled output are left out; the pooled output itself stays as it is.
    """
    slots = families.slots(clip.cond_stage_model)
    steered_encoders = [encoder for encoder in found if encoder.key in slots]
    if not steered_encoders:
        raise SafreeError(
            f"mode {settings.mode!r} knows no layout of the conditioning that {type(clip.cond_stage_model).__name__} "
            f"makes of {'+'.join(encoder.key for encoder in found)}. Choose mode 'adaptive'."
        )
    findings, edits, differences = [], [], []
    for encoder in steered_encoders:
        chunks, slot = tokens[encoder.key], slots[encoder.key]
        offset = base[0][0].shape[1] - sum(map(len, chunks)) if slot.last else 0
        for chunk in chunks:
            first, end = encoder.bounds(chunk)
            if end > first:
                noted, states, result = _steer_chunk(encoder, chunk, subspaces, settings)
                findings += noted
                differences += [validation.difference(states, result)] * len(states)
                columns = slice(slot.column, slot.column + states.shape[-1])
                rows = [i for i, finding in enumerate(noted) if finding.is_flagged]
                edits += [(offset + first + i, columns, result[i]) for i in rows]
            offset += len(chunk)
    if not edits:
        return Steered(findings)
    filtered = [[tensor.clone(), dict(options)] for tensor, options in base]
    for tensor, _ in filtered:
        for position, columns, value in edits:
            tensor[:, position, columns] = value.to(tensor)
    return Steered(findings, filtered, statistics.mean(differences), notes=tuple(_left_out(clip, found, base)))


def _left_out(clip, found: list[Encoder], base) -> list[str]:
    """What these modes do not reach, in words, for the report."""
    if not any(options.get("pooled_output") is not None for _, options in base):
        return []
    only = [encoder.key for encoder in found if encoder.key not in families.slots(clip.cond_stage_model)]
    feeding = f", which is all that encoder {only[0]!r} feeds" if only else ""
    return [f"The pooled output is still that of the whole prompt{feeding}. Mode 'adaptive' cleans it too."]


def _steer_chunk(encoder: Encoder, chunk, subspaces, settings):
    """(findings, states [T, D], steered states [T, D]) of the user's tokens in one chunk of an encoder's prompt."""
    row = encoder.chunk_row(chunk)
    variants = [encoder.neutralise([chunk], [(0, i)])[0] for i in range(row.first, row.end)]
    rows = [encoder.chunk_row(variant) for variant in variants]
    masked = torch.cat([_pooled(encoder, rows[i : i + ROWS]) for i in range(0, len(rows), ROWS)])
    states = encode_states(encoder, [row])
    p, states = pool(encoder.kind.pooling, states, [row])[0], states[0, row.first : row.end]
    inputs, result = span(masked), states.clone()
    findings = [Finding(encoder.key, _piece(encoder, token)) for token in row.tokens[row.first : row.end]]
    for subspace in subspaces:
        basis, limit = subspace[encoder.key].basis, subspace.threshold or detection.ALPHA
        ratios = detection.distance_ratio(p, masked, basis)
        for finding, ratio in zip(findings, ratios.tolist(), strict=True):
            note(finding, subspace, ratio, limit)
        hit = ratios > limit
        away = projection.steer(result[hit], basis, inputs, settings.mode)
        strength = settings.strength * subspace.strength
        result[hit] = away if strength == 1 else torch.lerp(result[hit], away, strength)
    return findings, states, result


def _pooled(encoder: Encoder, rows) -> torch.Tensor:
    """Pooled embeddings [n, D] of chunks, padding read as the host reads it."""
    return pool(encoder.kind.pooling, encode_states(encoder, rows), rows)


def _piece(encoder: Encoder, token) -> str:
    piece = encoder.spell(token)
    return EMBEDDING if piece is None else piece.decode("utf-8", "replace").strip()
