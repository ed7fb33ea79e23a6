"""Mode `adaptive`: the words that lean into a concept are found, then the prompt is encoded again without them."""

from __future__ import annotations

from collections.abc import Sequence

from ..safree import decision, plan
from . import calibrations, conditioning, vocabulary
from .embeddings import embeddings_of
from .encoders import Encoder
from .encoding import encode_pooled
from .report import Finding, note
from .words import EMBEDDING, Spelling, Word


def steer(clip, found, tokens, base, subspaces, settings):
    """Detection in every encoder, then the prompt again without the flagged words (context re-encoding)."""
    findings, flagged, spellings = [], [], {}
    for encoder in found:
        words = encoder.words(tokens[encoder.key])
        noted = _detect(clip, encoder, words, subspaces, len(found))
        findings += noted
        spellings[encoder.key] = Spelling(words)
        flagged += [(encoder.key, i, finding.strength) for i, finding in enumerate(noted) if finding.strength]
    levels = sorted({strength for *_, strength in flagged}, reverse=True)
    if not levels:
        return findings, None, 0.0

    def without(least: float):
        """The prompt without the words that any encoder flagged with strength `least` or more."""
        cleaned = dict(tokens)
        for encoder in found:
            spelling = spellings[encoder.key]
            places = [spelling.find(spellings[key], i) for key, i, strength in flagged if strength >= least]
            cleaned[encoder.key] = encoder.neutralise(tokens[encoder.key], set().union(*places))
        return clip.encode_from_tokens_scheduled(cleaned)

    weighted = [
        (settings.strength * (level - below), without(level))
        for level, below in zip(levels, [*levels[1:], 0.0], strict=True)
    ]
    total = settings.strength * levels[0]
    filtered = conditioning.blend([*weighted, (1 - total, base)])
    if total > 1:  # past the cleaned prompt: at its norms, or other objects of the prompt get lost
        filtered = conditioning.with_norms_of(filtered, weighted[-1][1])
    return findings, filtered, 1.0


def _detect(clip, encoder: Encoder, words: list[Word], subspaces, encoders: int) -> list[Finding]:
    """One finding for each word of an encoder's prompt: plan what to look at, score it, decide."""
    findings = [Finding(encoder.key, word.text) for word in words]
    units, windows = _plan(words, encoder, subspaces)
    if not units:
        return findings
    store = embeddings_of(clip, encoder)
    contrasts = [calibrations.contrast(clip, encoder, store, subspace) for subspace in subspaces]
    # the text of a unit as a prompt of its own, kept; then each window whole
    alone = store.embed(clip, encoder, [encoder.row([words[i] for i in unit.places[0]]) for unit in units])
    whole = encode_pooled(clip, encoder, [encoder.row(words[window.start : window.stop]) for window in windows])
    tests = len(units) * len(subspaces) * encoders
    rules = [
        decision.Rule(contrast.lean(alone).tolist(), contrast.limit(tests, subspace.threshold))
        for contrast, subspace in zip(contrasts, subspaces, strict=True)
    ]
    views = [
        decision.View(
            tuple(n for n, unit in enumerate(units) if any(window.start <= p[0] and p[-1] < window.stop for p in unit.places))
        )
        for window in windows
    ]

    def lean(rows: list[tuple[int, frozenset[int]]]) -> list[list[float]]:
        """For each (window, masked units) how far the window leans into each concept."""
        encoded = encode_pooled(clip, encoder, [_masked(encoder, words, windows[w], units, m) for w, m in rows])
        return [list(values) for values in zip(*(contrast.lean(encoded).tolist() for contrast in contrasts), strict=True)]

    leanings = [list(values) for values in zip(*(contrast.lean(whole).tolist() for contrast in contrasts), strict=True)]
    for verdict in decision.decide(rules, views, leanings, lean, [unit.harmless for unit in units]):
        for i in units[verdict.unit].words:
            note(findings[i], subspaces[verdict.concept], verdict.score, verdict.limit, verdict.flagged)
    return findings


def _plan(words: list[Word], encoder: Encoder, subspaces) -> tuple[list[plan.Unit], list[range]]:
    """What of a prompt is judged, and together with what text around it."""
    known = vocabulary.load()
    phrases = [phrase for subspace in subspaces for phrase in subspace.phrases]
    retained = [phrase for subspace in subspaces for phrase in subspace.retained]
    compounds = known.compounds.with_phrases(retained) if retained else known.compounds
    units = plan.units(_texts(words), known.joining, compounds, plan.Matcher(phrases))
    return units, plan.windows([len(word.tokens) for word in words], encoder.room)


def _texts(words: Sequence[Word]) -> list[str]:
    """Words in lower case; a textual-inversion embedding is known by its numbers."""
    return [w.text.lower() if w.text != EMBEDDING else f"{EMBEDDING}{[float(v.sum()) for v in w.tokens]}" for w in words]


def _masked(encoder: Encoder, words, window: range, units, masked: frozenset[int]):
    hidden = set().union(*(units[n].words for n in masked)) if masked else set()
    inside = {i - window.start for i in hidden if i in window}
    return encoder.row(words[window.start : window.stop], inside)
