"""One encoder's prompt as it is judged: its units and windows, and how far texts of it lean into each concept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch

from ...safree import decision, plan
from ...safree.calibration import Contrast
from ..data import languages
from ..text.embeddings import Embeddings, embeddings_of
from ..text.encoders import Encoder
from ..text.encoding import encode_pooled
from ..text.words import EMBEDDING, Word
from . import calibration, plain_words


@dataclasses.dataclass(frozen=True)
class JudgedPrompt:
    """One encoder's prompt: its units and windows, and how far texts of it lean into each concept."""

    encoder: Encoder
    words: list[Word]
    units: list[plan.Unit]
    windows: list[range]
    store: Embeddings
    contrasts: list[Contrast]
    known: languages.EverydayLanguage
    kept: bool = False  # whether the embeddings of whole windows are kept

    @classmethod
    def of(cls, encoder: Encoder, words: list[Word], subspaces, known: languages.EverydayLanguage) -> JudgedPrompt:
        units, windows = plan_of(words, encoder, subspaces, known)
        store = embeddings_of(encoder)
        judged = subspaces if units else ()
        contrasts = [calibration.contrast(encoder, store, subspace, known.code) for subspace in judged]
        return cls(encoder, words, units, windows, store, contrasts, known)

    def reworded(self, plain: plain_words.PlainPrompt, subspaces) -> JudgedPrompt:
        """This prompt in plain words, looked at where these stand; what both need first is encoded in one call."""
        units, windows = plan_of(plain.words, self.encoder, subspaces, self.known)
        windows = [window for window in windows if plain.readings.keys() & set(window)]
        out = dataclasses.replace(self, words=plain.words, units=units, windows=windows, kept=True)
        if not self.units and units:
            out = dataclasses.replace(JudgedPrompt.of(self.encoder, plain.words, subspaces, self.known), kept=True)
        places = [(prompt, unit.places[0]) for prompt in (self, out) for unit in prompt.units]
        rows = [self.encoder.row([prompt.words[i] for i in place]) for prompt, place in places]
        self.store.embed(self.encoder, [*rows, *(out._row(window, frozenset()) for window in out.windows)])
        return out

    def worst(self, texts: list[list[Word]]) -> int:
        """Number of the text that leans furthest into a concept."""
        embeddings = self.store.embed(self.encoder, [self.encoder.row(words) for words in texts])
        leanings = [max(values) for values in self.lean(embeddings)]
        return leanings.index(max(leanings))

    @property
    def texts(self) -> list[str]:
        return lowered(self.words)

    def views(self) -> list[decision.View]:
        """Which units stand in which window."""
        return [decision.View(tuple(self._units_in(window))) for window in self.windows]

    def _units_in(self, window: range) -> Iterator[int]:
        for number, unit in enumerate(self.units):
            if any(place[0] in window and place[-1] in window for place in unit.places):
                yield number

    def lean_alone(self, places: list[tuple[int, ...]]) -> list[list[float]]:
        """[places][concepts] of words as prompts of their own; what is encoded is kept."""
        rows = [self.encoder.row([self.words[i] for i in place]) for place in places]
        return self.lean(self.store.embed(self.encoder, rows))

    def shifts(self, contrast: Contrast) -> list[float]:
        """[units] what a dictionary adds to how far each unit leans into a concept; empty for nothing."""
        if contrast.kin is None:
            return []
        texts = self.texts
        return [max(contrast.kin.shift_within(texts, place) for place in unit.places) for unit in self.units]

    def lean_windows(self, wanted: list[tuple[int, frozenset[int]]]) -> list[list[float]]:
        """[wanted][concepts] of windows, each with some units masked."""
        rows = [self._row(self.windows[w], masked) for w, masked in wanted]
        if self.kept and not any(masked for _, masked in wanted):
            return self.lean(self.store.embed(self.encoder, rows))
        return self.lean(encode_pooled(self.encoder, rows))

    def lean_chunks(self, wholes: torch.Tensor) -> list[list[float]]:
        """[windows][concepts] of the chunks that each window stands in, pooled [chunks, D]; of several the higher."""
        chunks, out = torch.tensor(self.lean(wholes)), []
        for window in self.windows:
            inside = {chunk for i in window for chunk, _ in self.words[i].places}
            out.append(chunks[sorted(inside)].amax(dim=0).tolist())
        return out

    def lean(self, embeddings: torch.Tensor) -> list[list[float]]:
        """[n][concepts] of pooled embeddings [n, D]."""
        return torch.stack([contrast.lean(embeddings) for contrast in self.contrasts], dim=1).tolist()

    def _row(self, window: range, masked: frozenset[int]):
        hidden = {i for n in masked for i in self.units[n].words}
        inside = {i - window.start for i in hidden if i in window}
        return self.encoder.row(self.words[window.start : window.stop], inside)


def plan_of(words: list[Word], encoder: Encoder, subspaces, known) -> tuple[list[plan.Unit], list[range]]:
    """What of a prompt is judged, and together with what text around it."""
    phrases = [
        phrase
        for subspace in subspaces
        for phrase in (*subspace.phrases, *calibration.concept_phrases(subspace.phrases, known.code))
    ]
    retained = tuple(phrase for subspace in subspaces for phrase in subspace.retained)
    units = known.units(lowered(words), plan.Matcher(phrases), retained)
    return units, plan.windows([len(word.tokens) for word in words], encoder.room)


def lowered(words: Sequence[Word]) -> list[str]:
    """Words in lower case; a textual-inversion embedding is known by its numbers."""
    return [
        w.text.lower() if w.text != EMBEDDING else f"{EMBEDDING}{[float(v.sum()) for v in w.tokens]}" for w in words
    ]
