"""Mode `adaptive`: the words that lean into a concept are found, then the prompt is encoded again without them."""

from __future__ import annotations

import dataclasses

from ..conditioning import entries
from ..text import alignment
from . import by_language
from .detection import Detector, Place
from .guarded import Steered


@dataclasses.dataclass(frozen=True)
class Flagged:
    """Words [first, end) of one encoder's reading that are taken out, and how strongly."""

    key: str
    place: Place
    strength: float


def steer(clip, found, followers, tokens, texts, base, subspaces, settings) -> Steered:
    """Detection in every encoder of `found`, then the prompt again without the flagged words (context re-encoding).

    texts: the prompt as each encoder gets it, by key
    """
    phrases = tuple(phrase for subspace in subspaces for phrase in (*subspace.phrases, *subspace.retained))
    findings, flagged, unread, readers = [], [], [], {}
    for encoder in found:
        words = by_language.segmented(encoder.words(tokens[encoder.key]), phrases)
        detector = Detector.of(encoder, subspaces, len(found))
        detected = detector.detect(words, texts[encoder.key], tokens[encoder.key], base)
        readers[encoder.key] = alignment.Reader(texts.get(encoder.key), words)
        findings += [finding for finding, _ in detected.findings]
        flagged += [Flagged(encoder.key, place, one.strength) for one, place in detected.findings if one.is_flagged]
        unread.append(detected.unread)
    unread = frozenset.intersection(*unread)
    if not flagged:
        return Steered(findings, unread=unread)
    readers |= {one.key: alignment.Reader(texts.get(one.key), one.words(tokens[one.key])) for one in followers}

    def without(least: float):
        """The prompt without the words that any encoder flagged with strength `least` or more."""
        cleaned = dict(tokens)
        for encoder in (*found, *followers):
            reader = readers[encoder.key]
            places = [reader.find(readers[one.key], *one.place) for one in flagged if one.strength >= least]
            cleaned[encoder.key] = encoder.neutralise(tokens[encoder.key], set().union(*places))
        return clip.encode_from_tokens_scheduled(cleaned)

    return Steered(findings, _blended(flagged, without, base, settings.strength), 1.0, unread)


def _blended(flagged: list[Flagged], without, base, strength: float) -> list:
    """`base` moved towards the prompt without its flagged words, as far as the strength of each of them says."""
    levels = sorted({one.strength for one in flagged}, reverse=True)
    weighted = [
        (strength * (level - below), without(level)) for level, below in zip(levels, [*levels[1:], 0.0], strict=True)
    ]
    total = strength * levels[0]
    filtered = entries.blend([*weighted, (1 - total, base)])
    if total > 1:  # past the cleaned prompt: at its norms, or other objects of the prompt get lost
        filtered = entries.with_norms_of(filtered, weighted[-1][1])
    return filtered
