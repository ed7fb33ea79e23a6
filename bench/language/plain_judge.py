"""Whether sentences are flagged, many of them under one concept at once: each text is encoded once, for all concepts.

As the guard does it, but for words that are written to be missed, other languages and weights: the sentences have none.
"""

from __future__ import annotations

import dataclasses


class PlainJudge:
    """Judges plain English sentences with the text encoders of a CLIP."""

    def __init__(self, pack, clip, texts: list[str]):
        self.prompt = pack.host.prompt
        self.decision, self.known = pack.safree.decision, pack.host.data.languages.everyday()
        self.encoders = pack.host.text.encoders.encoders(clip)
        of = self.prompt.by_language
        self.words = {text: [of.segmented(of.words_of(encoder, text)) for encoder in self.encoders] for text in texts}

    def flagged(self, subspace, texts: list[str]) -> list[bool]:
        """For each text whether a word of it is flagged under the concept, by any encoder."""
        found = [self._by_encoder(number, subspace, texts) for number in range(len(self.encoders))]
        return [any(one) for one in zip(*found, strict=True)]

    def _by_encoder(self, number: int, subspace, texts: list[str]) -> list[bool]:
        encoder, judged = self.encoders[number], self.prompt.judged_prompt.JudgedPrompt
        prompts = [judged.of(encoder, self.words[text][number], [subspace], self.known) for text in texts]
        prompts = [dataclasses.replace(prompt, kept=True) for prompt in prompts]
        rows = [row for prompt in prompts for row in _rows(encoder, prompt)]
        if not rows:
            return [False] * len(texts)
        filled = next(prompt for prompt in prompts if prompt.units)
        leanings = iter(filled.lean(filled.store.embed(encoder, rows)))
        return [self._is_flagged(prompt, subspace, leanings) for prompt in prompts]

    def _is_flagged(self, prompt, subspace, leanings) -> bool:
        """leanings: the next ones are those of the units and windows of `prompt`."""
        if not prompt.units:
            return False
        alone, around = ([next(leanings) for _ in group] for group in (prompt.units, prompt.windows))
        rules = self.prompt.detection.rules(prompt, [subspace], alone, len(prompt.units) * len(self.encoders))
        seen = (prompt.views(), around, [unit.harmless for unit in prompt.units])
        suspects = self.decision.suspects(rules, *seen)
        rules = self.prompt.detection.within_compounds(prompt, rules, suspects) if suspects else rules
        return bool(self.decision.suspects(rules, *seen))


def _rows(encoder, prompt) -> list:
    """What is encoded of a prompt: its units alone, and its windows."""
    if not prompt.units:
        return []
    units = [[prompt.words[i] for i in unit.places[0]] for unit in prompt.units]
    return [encoder.row(words) for words in (*units, *(prompt.words[w.start : w.stop] for w in prompt.windows))]
