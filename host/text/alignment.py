"""Where the words that an encoder reads stand in the text of a prompt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from comfy import sd1_clip

from ...safree.folding import plain
from .words import EMBEDDING, PART, Place, Spelling, Word

UNKNOWN = (EMBEDDING, PART, "<unk>", "[UNK]")  # words whose text says nothing of what stands in the prompt
AHEAD = 64  # letters that may be passed over, for a word that its encoder does not know or a weight such as ':1.2'

Span = tuple[int, int]


def without_weights(text: str) -> str:
    """A prompt without the brackets and weights that ComfyUI's tokenizers take out."""
    if "(" not in text:
        return text
    segments = sd1_clip.token_weights(sd1_clip.escape_important(text), 1.0)
    return sd1_clip.unescape_important("".join(segment for segment, _ in segments))


def align(text: str, words: Sequence[Word]) -> list[Span | None]:
    """(start, end) in `text` of each word; None for one that does not stand there. Linear in the text.

    Compared are plain letters. What lies between two words that are found belongs to unknown ones between them: to each
    its own where there are as many words as parts between spaces.
    """
    letters, origins = [], []
    for at, char in enumerate(text):
        if not char.isspace():
            folded = plain(char)
            letters.append(folded)
            origins += [at] * len(folded)
    whole, at, waiting, spans = "".join(letters), 0, [], []
    for word in words:
        parts = _letters(word)
        found = _find(whole, parts, at)
        spans.append((origins[found[0]], origins[found[1] - 1] + 1) if found else None)
        if not parts:
            waiting.append(len(spans) - 1)
        elif found:
            _fill(spans, waiting, _parts(text, origins[at : found[0]]))
            waiting, at = [], found[1]
    _fill(spans, waiting, _parts(text, origins[at : at + AHEAD]))
    return spans


def _parts(text: str, places: list[int]) -> list[Span]:
    """(start, end) of each part of the letters at `places` of `text`, in order, that stands between spaces."""
    out: list[Span] = []
    for at in places:
        if out and not any(map(str.isspace, text[out[-1][1] : at])):
            out[-1] = (out[-1][0], at + 1)
        else:
            out.append((at, at + 1))
    return out


def _fill(spans: list[Span | None], waiting: list[int], parts: list[Span]) -> None:
    """Unknown words in a row get the parts between the words around them, one each, or all of them each."""
    whole = [(parts[0][0], parts[-1][1])] * len(waiting) if parts else []
    for i, span in zip(waiting, parts if len(parts) == len(waiting) else whole, strict=bool(parts)):
        spans[i] = span


def _letters(word: Word) -> list[str]:
    """The plain letters of a word, cut where the encoder did not know some."""
    if word.text in UNKNOWN:
        return []
    return [letters for part in word.text.split(PART) if (letters := _plain(part))]


def _plain(text: str) -> str:
    return "".join(plain(char) for char in text if not char.isspace())


def _find(text: str, parts: list[str], at: int) -> Span | None:
    """(start, end) in `text` of `parts`, one behind the other, soon after `at`; None where one is missing."""
    start = None
    for part in parts:
        found = text.find(part, at, at + len(part) + AHEAD if at else None)
        if found < 0:
            return None
        start, at = (found if start is None else start), found + len(part)
    return None if start is None else (start, at)


@dataclasses.dataclass(frozen=True)
class Reader:
    """A prompt as one encoder reads it: its text, None where that is not known, and its words."""

    text: str | None
    words: list[Word]

    @functools.cached_property
    def spelling(self) -> Spelling:
        return Spelling(self.words)

    @functools.cached_property
    def spans(self) -> list[Span | None]:
        return align(without_weights(self.text), self.words)

    def find(self, other: Reader, first: int, stop: int) -> set[Place]:
        """Places here of the words `first` to before `stop` of another encoder's prompt."""
        if self.text is None or self.text != other.text or self.spelling.text == other.spelling.text:
            return self.spelling.find(other.spelling, first, stop)
        wanted = [span for span in other.spans[first:stop] if span]
        if not wanted:
            return self.spelling.find(other.spelling, first, stop)
        start, end = min(span[0] for span in wanted), max(span[1] for span in wanted)
        inside = [i for i, span in enumerate(self.spans) if span and span[0] < end and start < span[1]]
        return {place for i in inside for place in self.words[i].places}
