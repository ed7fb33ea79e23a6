"""Modes `paper` and `reference`: flag single tokens by distance, replace each by its projection."""

from __future__ import annotations

import torch

from ..safree import SafreeError, detection, projection, validation
from ..safree.subspace import span
from . import families
from .encoders import EMBEDDING, Encoder, Word
from .report import Finding, note


def steer(clip, found, tokens, base, subspaces, settings):
    """Modes `paper` and `reference`: flag single tokens by distance, replace each by its projection."""
    keys = tuple(encoder.key for encoder in found)
    if keys not in families.SLICES:
        raise SafreeError(
            f"mode {settings.mode!r} is defined for {', '.join('+'.join(k) for k in families.SLICES)}; this CLIP has "
            f"{'+'.join(keys)}. Choose mode 'adaptive'."
        )
    limit = settings.threshold or detection.ALPHA
    findings, edits, original, steered = [], [], [], []
    for encoder in found:
        chunks, offset = tokens[encoder.key], 0
        for c, chunk in enumerate(chunks):
            first, end = encoder.bounds(chunk)
            if end > first:
                singles = [Word(_piece(encoder, chunk[i][0]), (chunk[i][0],), ((c, i),)) for i in range(first, end)]
                variants = [encoder.neutralise(chunks, [word])[c] for word in singles]
                masked = encoder.pooled(clip, [encoder.chunk_row(variant) for variant in variants])
                row = encoder.chunk_row(chunk)
                states = encoder.states(clip, [row])
                p = encoder.pool(states, [row])[0]
                inputs = span(masked)
                result = states[0, first:end].clone()
                noted = [Finding(encoder.key, word.text) for word in singles]
                for subspace in subspaces:
                    basis = subspace[encoder.key].basis
                    ratios = detection.distance_ratio(p, masked, basis)
                    for finding, ratio in zip(noted, ratios.tolist(), strict=True):
                        note(finding, subspace, ratio, limit)
                    hit = ratios > limit
                    away = projection.steer(result[hit], basis, inputs, settings.mode)
                    strength = settings.strength * subspace.strength
                    result[hit] = away if strength == 1 else torch.lerp(result[hit], away, strength)
                findings += noted
                original.append(states[0, first:end])
                steered.append(result)
                rows = [i for i, finding in enumerate(noted) if finding.strength]
                edits += [(offset + first + i, families.SLICES[keys][encoder.key], result[i]) for i in rows]
            offset += len(chunk)
    if not edits:
        return findings, None, 0.0
    filtered = [[tensor.clone(), dict(options)] for tensor, options in base]
    for tensor, _ in filtered:
        for position, columns, value in edits:
            tensor[:, position, columns] = value.to(tensor)
    return findings, filtered, validation.difference(torch.cat(original), torch.cat(steered))


def _piece(encoder: Encoder, token) -> str:
    if torch.is_tensor(token):
        return EMBEDDING
    return encoder.tokenizer.inv_vocab.get(int(token), "?").replace("</w>", "")
