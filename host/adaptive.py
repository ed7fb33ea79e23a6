"""Mode `adaptive`: alignment detection, then the prompt encoded again without the flagged words."""

from __future__ import annotations

import itertools

from ..safree import detection
from . import conditioning, everyday
from .encoders import Encoder
from .report import Finding, note
from .words import EMBEDDING, Spelling, Word

ROUNDS = 4  # one flagged word can hide another of the same concept until it is gone
WINDOW, OVERLAP = 16, 4  # words looked at together, and shared by neighbouring windows


def steer(clip, found, tokens, base, subspaces, settings):
    """Alignment detection in every encoder, then the prompt again without the flagged words (context re-encoding)."""
    findings, flagged, spellings = [], [], {}
    for encoder in found:
        words = encoder.words(tokens[encoder.key])
        noted = _align(clip, encoder, words, subspaces)
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


def _align(clip, encoder: Encoder, words: list[Word], subspaces) -> list[Finding]:
    """Score every word of one encoder's prompt, in windows, so that a long text around a word does not hide it."""
    findings = [Finding(encoder.key, word.text) for word in words]
    for part in _windows(words, encoder.room):
        _align_window(clip, encoder, words[part], findings[part], subspaces)
    return findings


def _windows(words: list[Word], room: int):
    """Slices of at most WINDOW words and `room` tokens; a word has at most LONGEST_WORD of them."""
    start = end = 0
    while end < len(words):
        tokens = itertools.accumulate(len(word.tokens) for word in words[start : start + WINDOW])
        end = start + max(sum(1 for size in tokens if size <= room), 1)
        yield slice(start, end)
        start = max(start + 1, end - OVERLAP)


def _align_window(clip, encoder: Encoder, words, findings, subspaces) -> None:
    """Score the words of a short prompt; again without the flagged ones, until no new one is flagged."""
    singles, phrases = _equal_words(words, _idle(subspaces)), _phrases(words, subspaces)
    flagged: set[int] = set()
    for _ in range(ROUNDS):
        borderline, unclear, fresh = set(), set(), set()

        def score(groups, single, flagged=flagged, borderline=borderline, unclear=unclear, fresh=fresh):
            groups = [group for group in groups if not flagged.issuperset(group)]
            for group, subspace, value, (low, limit) in _scores(clip, encoder, words, groups, flagged, subspaces):
                if value > limit:
                    fresh.update(group)
                elif value > low:
                    borderline.update(group)
                if single and low < abs(value) and value <= limit:
                    unclear.add(group)
                if single or value > limit:  # an unflagged pair or phrase says nothing of its words
                    for i in group:
                        note(findings[i], subspace, value, limit)

        score(singles, single=True)
        if not flagged:  # the first round
            for group, subspace, value, limit in _alone(clip, encoder, words, unclear, subspaces):
                fresh.update(group)
                for i in group:
                    note(findings[i], subspace, value, limit)
        score(phrases, single=False)
        score(_pairs(words, borderline - fresh, fresh), single=False)
        if not fresh:
            return
        flagged |= fresh


def _scores(clip, encoder: Encoder, words, groups, flagged, subspaces):
    """(group, subspace, alignment, thresholds) of each group of words masked together, for each subspace."""
    if not groups:
        return
    rows = [encoder.row(words, flagged), *(encoder.row(words, flagged.union(group)) for group in groups)]
    pooled = encoder.pooled(clip, rows)
    for subspace in subspaces:
        space = subspace[encoder.key]
        scores = detection.alignment(pooled[0], pooled[1:], space).tolist()
        limits = detection.thresholds(space, subspace.threshold)
        yield from ((group, subspace, score, limits) for group, score in zip(groups, scores, strict=True))


def _alone(clip, encoder: Encoder, words, groups, subspaces):
    """(group, subspace, alignment, threshold) of the groups that are flagged as a prompt of their own.

    For words that concern a concept somewhat, or move the prompt away from it: so does many a harmless word, but also
    the concept itself in a text that the encoder cannot make sense of, such as one full of punctuation.
    """
    groups = sorted(groups)
    if not groups:
        return
    singles = [[words[group[0]]] for group in groups]
    rows = [*(encoder.row(word) for word in singles), *(encoder.row(word, {0}) for word in singles)]
    whole, masked = encoder.pooled(clip, rows).chunk(2)
    for subspace in subspaces:
        space = subspace[encoder.key]
        limit = detection.thresholds(space, subspace.threshold)[1]
        for group, value in zip(groups, detection.alignment(whole, masked, space).tolist(), strict=True):
            if value > limit:
                yield group, subspace, value, limit


def _idle(subspaces) -> set[str]:
    """Function words, but for those that are a concept phrase themselves; they are not looked at alone."""
    return everyday.FUNCTION_WORDS - {phrase.lower() for subspace in subspaces for phrase in subspace.phrases}


def _equal_words(words: list[Word], idle: set[str]) -> list[tuple[int, ...]]:
    """Numbers of the words that are equal: masked together, so that none hides the others. Without `idle` words."""
    equal: dict[object, list[int]] = {}
    for i, word in enumerate(words):
        if word.text.lower() in idle:
            continue
        key = word.text.lower() if word.text != EMBEDDING else tuple(float(v.sum()) for v in word.tokens)
        equal.setdefault(key, []).append(i)
    return [tuple(group) for group in equal.values()]


def _phrases(words: list[Word], subspaces) -> list[tuple[int, ...]]:
    """Numbers of the words of concept phrases that stand in the prompt as they are: 'bow and arrow' is one thing."""
    found, texts = [], [word.text.lower() for word in words]
    for phrase in {phrase.lower() for subspace in subspaces for phrase in subspace.phrases}:
        wanted = phrase.split()
        for start in range(len(texts) - len(wanted) + 1) if len(wanted) > 1 else ():
            if texts[start : start + len(wanted)] == wanted:
                found.append(tuple(range(start, start + len(wanted))))
    return found


def _pairs(words: list[Word], members: set[int], known: set[int]) -> list[tuple[int, ...]]:
    """Numbers of neighbours, one of them of `members`, none of `known`: 'crossed swords' may lean only as a pair."""
    pairs: dict[tuple, list[int]] = {}
    for i in range(len(words) - 1):
        if members & {i, i + 1} and not known & {i, i + 1}:
            pairs.setdefault((words[i].text.lower(), words[i + 1].text.lower()), []).extend((i, i + 1))
    return [tuple(dict.fromkeys(group)) for group in pairs.values()]
