"""Find the words of a prompt that lean into concepts: as it stands and in plain words, each part in its language."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import torch

from ...safree import decision, plan
from ..data import languages
from ..text import families
from ..text.embeddings import embeddings_of
from ..text.encoders import Encoder
from ..text.words import Word
from . import by_language, calibration, named, plain_words
from .findings import Finding, note
from .judged_prompt import JudgedPrompt, plan_of

FAINT = 0.5  # of the heaviest word's weight

Place = tuple[int, int]  # words [first, end)


@dataclasses.dataclass(frozen=True)
class Detected:
    """What was found in one encoder's reading of a prompt.

    findings: each with the words [first, end) that it is about. unread: codes of the languages that were not checked
    """

    findings: list[tuple[Finding, Place]]
    unread: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Detector:
    """One encoder, and the concepts that are looked for with it.

    encoders: how many are asked about the prompt; the limits are corrected for all
    lists: concepts that are names of a list
    """

    encoder: Encoder
    subspaces: Sequence
    encoders: int
    lists: Sequence = ()

    @classmethod
    def of(cls, encoder: Encoder, subspaces: Sequence, encoders: int) -> Detector:
        """For subspaces of both kinds."""
        phrased, lists = ([one for one in subspaces if bool(one.names) == named] for named in (False, True))
        return cls(encoder, phrased, encoders, lists)

    def detect(self, words: list[Word], text: str, chunks, base) -> Detected:
        """The words of a prompt that lean into a concept: `text` is the prompt, `chunks` the host's tokens of it.

        It is judged as it stands, and in plain words where some of it can be read so; the worse counts. Each part of
        it is judged in its language; of one that the encoder does not read only what is English is. base: the host's
        own CONDITIONING of it.
        """
        findings = [Finding(self.encoder.key, word.text) for word in words]
        readings, unread = {}, set()  # first word -> what is flagged as it can be read
        if self.subspaces:
            readings, unread = self._judge_phrases(words, text, chunks, base, findings)
        if self.lists:
            names = named.note_names(self.encoder, text, words, self.lists, findings)
            readings |= {n: one for n, one in names.items() if n not in readings or one.words > readings[n].words}
        return Detected(plain_words.merged(findings, readings), frozenset(unread))

    def _judge_phrases(self, words: list[Word], text: str, chunks, base, findings) -> tuple[dict, set[str]]:
        """Note what leans into concepts with phrases; (flagged readings by first word, languages that are not read)."""
        phrases = tuple(phrase for subspace in self.subspaces for phrase in subspace.phrases)
        written = plain_words.written(text, words, phrases)
        surely = [one for one in written if not one.guess]
        wholes, faint = _wholes(self.encoder, chunks, base), _faint(words, chunks)
        readings: dict[int, plain_words.Written] = {}
        store, unread = embeddings_of(self.encoder), by_language.unknown(text)
        for part in by_language.parts(words, self.encoder.room):
            read = by_language.reads(self.encoder, store, part.language)
            unread |= set() if read else {part.language}
            otherwise = written if part.language == by_language.ENGLISH else surely  # 'knie' is no misspelt 'knife'
            numbers = list(part.numbers) if read else by_language.in_english(words, part, otherwise, phrases)
            known = languages.everyday(part.language if read else by_language.ENGLISH)
            if known.code != by_language.ENGLISH:
                otherwise = plain_words.together(otherwise, self._stems(words, numbers, known))
            whole = wholes if len(numbers) == len(words) else None
            readings |= self._judge_part(words, numbers, known, findings, otherwise, whole)
            loud = [i for i in numbers if i not in faint]
            if len(loud) < len(numbers):  # 'a (water:0) pistol' is no water pistol
                self._judge_part(words, loud, known, findings)
        return readings, unread

    def _stems(self, words: list[Word], numbers: list[int], known) -> list[plain_words.Written]:
        """Words of concepts with something attached to them, but for those inside an everyday phrase."""
        units, _ = plan_of([words[i] for i in numbers], self.encoder, self.subspaces, known)
        harmless = {numbers[i] for unit in units if unit.harmless for i in unit.words}
        named = (calibration.concept_phrases(subspace.phrases, known.code) for subspace in self.subspaces)
        phrases = (*itertools.chain(*named), *(phrase for subspace in self.subspaces for phrase in subspace.phrases))
        return plain_words.stems(words, [i for i in numbers if i not in harmless], phrases, known.attached)

    def _judge_part(
        self, words, numbers: list[int], known, findings: list[Finding], written=(), wholes=None
    ) -> dict[int, plain_words.Written]:
        """Note what leans into a concept among the words `numbers`; what is flagged as it can be read, by first word.

        wholes: the pooled embeddings [chunks, D] of the prompt, if they are known already
        """
        own, readings = [words[i] for i in numbers], {}
        for group in self._alike(own, known):
            prompt = JudgedPrompt.of(self.encoder, own, group, known)
            plain = plain_words.within(prompt, written, numbers) if written else None
            reworded = prompt.reworded(plain, group) if plain else None  # encodes what both need first
            self._judge(prompt, group, findings, [(i,) for i in numbers], wholes)
            if reworded:
                flagged = self._judge(reworded, group, findings, plain.origins)
                readings |= {plain.origins[i][0]: plain.readings[i] for i in flagged if i in plain.readings}
        return readings

    def _alike(self, words: list[Word], known) -> list[list]:
        """Subspaces in groups that make the same units: what one names or leaves alone is none of others."""
        groups: dict[frozenset, list] = {}
        for subspace in self.subspaces:
            units, _ = plan_of(words, self.encoder, [subspace], known)
            groups.setdefault(frozenset(units), []).append(subspace)
        return list(groups.values())

    def _judge(
        self, prompt: JudgedPrompt, subspaces, findings: list[Finding], origins: Sequence[Sequence[int]], wholes=None
    ) -> list[int]:
        """Note in `findings` what leans into `subspaces`; the numbers of the words of `prompt` that are flagged.

        origins: for each word of `prompt` the numbers of its findings
        """
        if not prompt.units:
            return []
        tests, flagged = len(prompt.units) * len(self.subspaces) * self.encoders, []
        alone = prompt.lean_alone([unit.places[0] for unit in prompt.units])
        own = rules(prompt, subspaces, alone, tests)
        views, harmless = prompt.views(), [unit.harmless for unit in prompt.units]
        leanings = _look(prompt, own, views, harmless, wholes)
        idle = decision.beside_suspects(own, views, leanings, harmless)
        lean = functools.partial(_lean_without, prompt, idle)
        for w, values in zip(idle, lean([(w, frozenset()) for w in idle]) if idle else (), strict=True):
            leanings[w] = list(map(min, leanings[w], values))
        own = within_compounds(prompt, own, decision.suspects(own, views, leanings, harmless))
        for verdict in decision.decide(own, views, leanings, lean, harmless):
            numbers = sorted(prompt.units[verdict.unit].words)
            for i in itertools.chain(*(origins[number] for number in numbers)):
                note(findings[i], subspaces[verdict.concept], verdict.score, verdict.limit, verdict.flagged)
            flagged += numbers if verdict.flagged else []
        return flagged


def _lean_without(prompt: JudgedPrompt, idle: dict[int, frozenset[int]], wanted) -> list[list[float]]:
    """prompt.lean_windows, with the `idle` units of each window masked as well."""
    return prompt.lean_windows([(w, masked | idle.get(w, frozenset())) for w, masked in wanted])


def rules(prompt: JudgedPrompt, subspaces, alone: list[list[float]], tests: int) -> list[decision.Rule]:
    """A rule for each subspace. alone: [units][subspaces] leanings; tests: units that are judged, by all encoders."""
    return [
        decision.Rule(
            [values[k] for values in alone], contrast.limit(tests, subspace.threshold), prompt.shifts(contrast)
        )
        for k, (contrast, subspace) in enumerate(zip(prompt.contrasts, subspaces, strict=True))
    ]


def _wholes(encoder: Encoder, chunks, base) -> torch.Tensor | None:
    """Pooled embeddings [chunks, D] of a prompt, if the host's own encoding of it holds them: a CLIP's end states.

    None where it does not: with weights or scheduled LoRAs, and for other encoders.
    """
    slot = families.slots(encoder.clip.cond_stage_model).get(encoder.key)
    weighted = any(token[1] != 1.0 for chunk in chunks for token in chunk)
    if slot is None or encoder.kind.pooling != "end" or weighted or len(base) > 1:
        return None
    states, width = base[0][0], embeddings_of(encoder).probes.shape[1]
    starts = list(itertools.accumulate((len(chunk) for chunk in chunks), initial=0))
    before = states.shape[1] - starts[-1] if slot.last else 0
    if before < 0 or before + starts[-1] > states.shape[1]:
        return None  # the host has cut it
    ends = [before + start + encoder.bounds(chunk)[1] for start, chunk in zip(starts, chunks, strict=False)]
    pooled = states[0, ends, slot.column : slot.column + width].float().cpu()
    return pooled if torch.isfinite(pooled).all() else None  # then encoding says what is wrong


def _faint(words: list[Word], chunks) -> frozenset[int]:
    """Numbers of the words whose weight in the host's `chunks` of tokens is less than FAINT of the heaviest one's."""
    weights = [max(abs(chunks[chunk][at][1]) for chunk, at in word.places) for word in words]
    return frozenset(i for i, weight in enumerate(weights) if weight < FAINT * max(weights))


def _look(prompt: JudgedPrompt, rules, views, harmless, wholes) -> list[list[float]]:
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


def within_compounds(prompt: JudgedPrompt, rules: list[decision.Rule], suspects: list[int]) -> list[decision.Rule]:
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
