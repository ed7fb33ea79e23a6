"""Mode `adaptive`: the words that lean into a concept are found, then the prompt is encoded again without them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch

from ...safree import decision, plan
from ...safree.calibration import Contrast
from ..conditioning import entries
from ..data import languages
from ..report.reports import Finding, note
from ..text import alignment, families
from ..text.embeddings import Embeddings, embeddings_of
from ..text.encoders import Encoder
from ..text.encoding import encode_pooled
from ..text.words import EMBEDDING, Word
from . import by_language, calibration, plain_words

FAINT = 0.5  # of the heaviest word's weight


def steer(clip, found, followers, tokens, texts, base, subspaces, settings):
    """Detection in every encoder of `found`, then the prompt again without the flagged words (context re-encoding).

    texts: the prompt as each encoder gets it, by key. Returns (findings, filtered CONDITIONING or None, beta, codes of
    the languages that no encoder checked).
    """
    findings, flagged, unread = [], [], []
    readers = {}
    phrases = tuple(phrase for subspace in subspaces for phrase in (*subspace.phrases, *subspace.retained))
    for encoder in found:
        words = by_language.segmented(encoder.words(tokens[encoder.key]), phrases)
        wholes = _wholes(clip, encoder, tokens[encoder.key], base)
        faint = _faint(words, tokens[encoder.key])
        noted, codes = _detect(clip, encoder, words, texts[encoder.key], subspaces, len(found), wholes, faint)
        findings += [finding for finding, _ in noted]
        unread.append(codes)
        readers[encoder.key] = alignment.Reader(texts.get(encoder.key), words)
        flagged += [(encoder.key, place, finding.strength) for finding, place in noted if finding.strength]
    readers |= {one.key: alignment.Reader(texts.get(one.key), one.words(tokens[one.key])) for one in followers}
    levels = sorted({strength for *_, strength in flagged}, reverse=True)
    unread = set.intersection(*unread)
    if not levels:
        return findings, None, 0.0, unread

    def without(least: float):
        """The prompt without the words that any encoder flagged with strength `least` or more."""
        cleaned = dict(tokens)
        for encoder in (*found, *followers):
            reader = readers[encoder.key]
            places = [reader.find(readers[key], *place) for key, place, strength in flagged if strength >= least]
            cleaned[encoder.key] = encoder.neutralise(tokens[encoder.key], set().union(*places))
        return clip.encode_from_tokens_scheduled(cleaned)

    weighted = [
        (settings.strength * (level - below), without(level))
        for level, below in zip(levels, [*levels[1:], 0.0], strict=True)
    ]
    total = settings.strength * levels[0]
    filtered = entries.blend([*weighted, (1 - total, base)])
    if total > 1:  # past the cleaned prompt: at its norms, or other objects of the prompt get lost
        filtered = entries.with_norms_of(filtered, weighted[-1][1])
    return findings, filtered, 1.0, unread


def _wholes(clip, encoder: Encoder, chunks, base) -> torch.Tensor | None:
    """Pooled embeddings [chunks, D] of a prompt, if the host's own encoding of it holds them: a CLIP's end states.

    None where it does not: with weights or scheduled LoRAs, and for other encoders.
    """
    slot = families.slots(clip.cond_stage_model).get(encoder.key)
    weighted = any(token[1] != 1.0 for chunk in chunks for token in chunk)
    if slot is None or encoder.kind.pooling != "end" or weighted or len(base) > 1:
        return None
    states, width = base[0][0], embeddings_of(clip, encoder).probes.shape[1]
    starts = list(itertools.accumulate((len(chunk) for chunk in chunks), initial=0))
    before = states.shape[1] - starts[-1] if slot.last else 0
    if before < 0 or before + starts[-1] > states.shape[1]:
        return None  # the host has cut it
    ends = [before + start + encoder.bounds(chunk)[1] for start, chunk in zip(starts, chunks, strict=False)]
    pooled = states[0, ends, slot.column : slot.column + width].float().cpu()
    return pooled if torch.isfinite(pooled).all() else None  # then encoding says what is wrong


def _detect(
    clip, encoder: Encoder, words: list[Word], text: str, subspaces, encoders: int, wholes=None, faint=frozenset()
) -> tuple[list[tuple[Finding, tuple[int, int]]], set[str]]:
    """(findings for the words of an encoder's prompt, each with the words (first, end) that it is about, languages).

    The prompt is judged as it stands, and in plain words where some of it can be read so; the worse counts. Each part
    of it is judged in its language; of one that the encoder does not read only what is English is, and its code is
    returned. wholes: the pooled embeddings [chunks, D] of the prompt, if they are known already. faint: words without
    which it is judged once more, since little of them is drawn: 'a (water:0) pistol' is no water pistol.
    """
    findings = [Finding(encoder.key, word.text) for word in words]
    phrases = tuple(phrase for subspace in subspaces for phrase in subspace.phrases)
    written = plain_words.written(text, words, phrases)
    merged: dict[int, plain_words.Written] = {}  # first word -> what is flagged as it can be read
    store, unread = embeddings_of(clip, encoder), by_language.unknown(text)
    for part in by_language.parts(words, encoder.room):
        read = by_language.reads(clip, encoder, store, part.language)
        unread |= set() if read else {part.language}
        numbers = part.numbers if read else by_language.in_english(words, part, written, phrases)
        known = languages.everyday(part.language if read else by_language.ENGLISH)
        own, wholes = [words[i] for i in numbers], wholes if len(numbers) == len(words) else None
        for group in _alike(own, encoder, subspaces, known):
            prompt, times = _Prompt.of(clip, encoder, own, group, known), len(subspaces) * encoders
            plain = plain_words.within(prompt, written, numbers)
            reworded = prompt.reworded(plain, group) if plain else None
            _judge(prompt, group, times, findings, [(i,) for i in numbers], wholes)
            flagged = _judge(reworded, group, times, findings, plain.origins) if plain else ()
            merged |= {plain.origins[i][0]: plain.readings[i] for i in flagged if i in plain.readings}
        if kept := [i for i in numbers if i not in faint] if faint.intersection(numbers) else []:
            loud = [words[i] for i in kept]
            for group in _alike(loud, encoder, subspaces, known):
                prompt, times = _Prompt.of(clip, encoder, loud, group, known), len(subspaces) * encoders
                _judge(prompt, group, times, findings, [(i,) for i in kept])
    return plain_words.merged(findings, merged), unread


def _faint(words: list[Word], chunks) -> frozenset[int]:
    """Numbers of the words whose weight in the host's `chunks` of tokens is less than FAINT of the heaviest one's."""
    weights = [max(abs(chunks[chunk][at][1]) for chunk, at in word.places) for word in words]
    return frozenset(i for i, weight in enumerate(weights) if weight < FAINT * max(weights))


def _alike(words: list[Word], encoder: Encoder, subspaces, known) -> list[list]:
    """Subspaces in groups that make the same units of a prompt: what one names or leaves alone is none of others."""
    groups: dict[frozenset, list] = {}
    for subspace in subspaces:
        groups.setdefault(frozenset(_plan(words, encoder, [subspace], known)[0]), []).append(subspace)
    return list(groups.values())


def _judge(
    prompt: _Prompt, subspaces, times: int, findings: list[Finding], origins: Sequence[Sequence[int]], wholes=None
) -> list[int]:
    """Note in `findings` what leans into `subspaces`; each unit is tested `times` times in all. The flagged words.

    origins: for each word of `prompt` the numbers of its findings
    """
    if not prompt.units:
        return []
    tests, flagged = len(prompt.units) * times, []
    alone = prompt.lean_alone([unit.places[0] for unit in prompt.units])
    rules = [
        decision.Rule([values[k] for values in alone], contrast.limit(tests, subspace.threshold))
        for k, (contrast, subspace) in enumerate(zip(prompt.contrasts, subspaces, strict=True))
    ]
    views, harmless = prompt.views(), [unit.harmless for unit in prompt.units]
    leanings = _look(prompt, rules, views, harmless, wholes)
    rules = _within_compounds(prompt, rules, decision.suspects(rules, views, leanings, harmless))
    for verdict in decision.decide(rules, views, leanings, prompt.lean_windows, harmless):
        numbers = sorted(prompt.units[verdict.unit].words)
        for i in itertools.chain(*(origins[number] for number in numbers)):
            note(findings[i], subspaces[verdict.concept], verdict.score, verdict.limit, verdict.flagged)
        flagged += numbers if verdict.flagged else []
    return flagged


def _look(prompt: _Prompt, rules, views, harmless, wholes) -> list[list[float]]:
    """[windows][concepts] of the whole windows; what the chunks that the host has encoded leave clear is not encoded.

    Where a prompt is one chunk and one window, the chunk is the window.
    """
    if wholes is None:
        return prompt.lean_windows([(w, frozenset()) for w in range(len(prompt.windows))])
    leanings = prompt.lean_chunks(wholes)
    if len(wholes) == len(prompt.windows) == 1:
        return leanings
    if unclear := decision.unclear(rules, views, leanings, harmless):
        for w, values in zip(unclear, prompt.lean_windows([(w, frozenset()) for w in unclear]), strict=True):
            leanings[w] = values
    return leanings


def _within_compounds(prompt: _Prompt, rules: list[decision.Rule], suspects: list[int]) -> list[decision.Rule]:
    """The rules with suspects seen inside the compounds that they stand in; the worst of them counts."""
    found = {n: plan.compounds(prompt.texts, prompt.known.joining, prompt.units[n]) for n in suspects}
    pairs = [(n, pair) for n, group in found.items() for pair in group]
    if not pairs:
        return rules
    leanings = prompt.lean_alone([pair for _, pair in pairs])
    out = []
    for k, rule in enumerate(rules):
        inside: dict[int, dict[int, float]] = {}  # unit -> word -> least leaning of the compounds of that word
        for (n, pair), values in zip(pairs, leanings, strict=True):
            word = next(i for i in pair if i in prompt.units[n].words)
            inside.setdefault(n, {})[word] = min(inside.get(n, {}).get(word, values[k]), values[k])
        alone = {n: len(prompt.units[n].places) for n in inside}
        whole = {n: max(values.values()) for n, values in inside.items() if len(values) == alone[n]}
        out.append(rule.within(whole))
    return out


@dataclasses.dataclass(frozen=True)
class _Prompt:
    """One encoder's prompt: its units and windows, and how far texts of it lean into each concept."""

    clip: object
    encoder: Encoder
    words: list[Word]
    units: list[plan.Unit]
    windows: list[range]
    store: Embeddings
    contrasts: list[Contrast]
    known: languages.EverydayLanguage
    kept: bool = False  # whether the embeddings of whole windows are kept

    @classmethod
    def of(cls, clip, encoder: Encoder, words: list[Word], subspaces, known: languages.EverydayLanguage) -> _Prompt:
        units, windows = _plan(words, encoder, subspaces, known)
        store = embeddings_of(clip, encoder)
        judged = subspaces if units else ()
        contrasts = [calibration.contrast(clip, encoder, store, subspace, known.code) for subspace in judged]
        return cls(clip, encoder, words, units, windows, store, contrasts, known)

    def reworded(self, plain: plain_words.PlainPrompt, subspaces) -> _Prompt:
        """This prompt in plain words, looked at where these stand; what both need first is encoded in one call."""
        units, windows = _plan(plain.words, self.encoder, subspaces, self.known)
        windows = [window for window in windows if plain.readings.keys() & set(window)]
        out = dataclasses.replace(self, words=plain.words, units=units, windows=windows, kept=True)
        if not self.units and units:
            out = dataclasses.replace(
                _Prompt.of(self.clip, self.encoder, plain.words, subspaces, self.known), kept=True
            )
        places = [(prompt, unit.places[0]) for prompt in (self, out) for unit in prompt.units]
        rows = [self.encoder.row([prompt.words[i] for i in place]) for prompt, place in places]
        self.store.embed(self.clip, self.encoder, [*rows, *(out._row(window, frozenset()) for window in out.windows)])
        return out

    def worst(self, texts: list[list[Word]]) -> int:
        """Number of the text that leans furthest into a concept."""
        embeddings = self.store.embed(self.clip, self.encoder, [self.encoder.row(words) for words in texts])
        leanings = [max(values) for values in self.lean(embeddings)]
        return leanings.index(max(leanings))

    @property
    def texts(self) -> list[str]:
        return _texts(self.words)

    def views(self) -> list[decision.View]:
        """Which units stand in which window."""
        inside = [
            [n for n, unit in enumerate(self.units) if any(p[0] in window and p[-1] in window for p in unit.places)]
            for window in self.windows
        ]
        return [decision.View(tuple(numbers)) for numbers in inside]

    def lean_alone(self, places: list[tuple[int, ...]]) -> list[list[float]]:
        """[places][concepts] of words as prompts of their own; what is encoded is kept."""
        rows = [self.encoder.row([self.words[i] for i in place]) for place in places]
        return self.lean(self.store.embed(self.clip, self.encoder, rows))

    def lean_windows(self, wanted: list[tuple[int, frozenset[int]]]) -> list[list[float]]:
        """[wanted][concepts] of windows, each with some units masked."""
        rows = [self._row(self.windows[w], masked) for w, masked in wanted]
        if self.kept and not any(masked for _, masked in wanted):
            return self.lean(self.store.embed(self.clip, self.encoder, rows))
        return self.lean(encode_pooled(self.clip, self.encoder, rows))

    def lean_chunks(self, wholes: torch.Tensor) -> list[list[float]]:
        """[windows][concepts] of the chunks that each window stands in, pooled [chunks, D]; of several the higher."""
        chunks = self.lean(wholes)
        inside = [{chunk for i in window for chunk, _ in self.words[i].places} for window in self.windows]
        return [[max(values) for values in zip(*(chunks[c] for c in found), strict=True)] for found in inside]

    def lean(self, embeddings: torch.Tensor) -> list[list[float]]:
        """[n][concepts] of pooled embeddings [n, D]."""
        return torch.stack([contrast.lean(embeddings) for contrast in self.contrasts], dim=1).tolist()

    def _row(self, window: range, masked: frozenset[int]):
        hidden = {i for n in masked for i in self.units[n].words}
        inside = {i - window.start for i in hidden if i in window}
        return self.encoder.row(self.words[window.start : window.stop], inside)


def _plan(words: list[Word], encoder: Encoder, subspaces, known) -> tuple[list[plan.Unit], list[range]]:
    """What of a prompt is judged, and together with what text around it."""
    phrases = [
        phrase
        for subspace in subspaces
        for phrase in (*subspace.phrases, *calibration.concept_phrases(subspace.phrases, known.code))
    ]
    compounds = known.compounds_and(tuple(phrase for subspace in subspaces for phrase in subspace.retained))
    units = plan.units(_texts(words), known.joining, compounds, plan.Matcher(phrases), known.negations)
    return units, plan.windows([len(word.tokens) for word in words], encoder.room)


def _texts(words: Sequence[Word]) -> list[str]:
    """Words in lower case; a textual-inversion embedding is known by its numbers."""
    return [
        w.text.lower() if w.text != EMBEDDING else f"{EMBEDDING}{[float(v.sum()) for v in w.tokens]}" for w in words
    ]
