"""A prompt in plain words: what is written to be missed, replaced by what it can be read as."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from ...safree import plan, readings
from ...safree.folding import fold
from ...safree.languages import Attached
from ...safree.lexicon import Lexicon
from ..data import known_words, vocabulary
from ..text import alignment
from ..text.words import Word
from .by_language import words_of
from .findings import Finding

Range = tuple[int, int]  # (first, end) of words
KEPT = 32  # word lists of concepts in memory


@dataclasses.dataclass(frozen=True)
class Written:
    """Words of a prompt that can be read otherwise. words: (first, end). text: as it stands. plains: its readings.

    guess: see readings.Reading
    """

    words: Range
    text: str
    plains: tuple[str, ...]
    guess: bool = False


@dataclasses.dataclass(frozen=True)
class PlainPrompt:
    """words: those of the prompt in plain words. origins: for each the words of the prompt that it stands for.

    readings: numbers of those that stand for words written otherwise, each with how it stands there
    """

    words: list[Word]
    origins: list[Sequence[int]]
    readings: dict[int, Written]


def written(text: str, words: Sequence[Word], phrases: tuple[str, ...]) -> list[Written]:
    """What of a prompt can be read otherwise, as one encoder reads its `text`: in order, not overlapping.

    phrases: of the concepts
    """
    if not words:
        return []
    whole = alignment.without_weights(text)
    found = readings.find(whole, lexicon(phrases), known_words.look_alikes())
    if whole != text:  # '(na:1.0)ked' is one word
        found = readings.with_names(whole, lexicon(phrases), found)
    text = whole
    spans = alignment.align(text, words) if found else []
    out: list[Written] = []
    for reading in found:
        inside = [i for i, span in enumerate(spans) if span and span[0] < reading.end and reading.start < span[1]]
        if inside and (not out or inside[0] >= out[-1].words[1]):
            stands = text[reading.start : reading.end]
            out.append(Written((inside[0], inside[-1] + 1), stands, reading.plains, reading.guess))
    return out


def stems(words: Sequence[Word], numbers: Sequence[int], phrases: tuple[str, ...], attached: Attached) -> list[Written]:
    """Of the words `numbers` those that are a word of `phrases`, written with something attached or in another case.

    An encoder that tells cases apart may not know 'Бомба' for 'бомба'.
    """
    wanted = {pieces[0]: phrase for phrase in phrases if len(pieces := plan.pieces(phrase)) == 1}
    found = {i: attached.stem(words[i].text.lower(), wanted.__contains__) for i in numbers}
    plain = {i: wanted[stem] for i, stem in found.items() if stem in wanted}
    return [Written((i, i + 1), words[i].text, (text,)) for i, text in plain.items() if text != words[i].text]


def together(found: Sequence[Written], more: Sequence[Written]) -> list[Written]:
    """Both in order; of two that overlap the one in `found`."""
    taken = {i for one in found for i in range(*one.words)}
    return sorted([*found, *(one for one in more if one.words[0] not in taken)], key=lambda one: one.words)


def rewritten(words: Sequence[Word], found: list[tuple[Written, list[Word]]]) -> PlainPrompt:
    """The prompt with each part of `found` replaced by the words that it is read as."""
    out, origins, numbers, at = [], [], {}, 0
    for part, plain in found:
        first, end = part.words
        out += words[at:first]
        origins += [(i, i + 1) for i in range(at, first)]
        numbers.update(dict.fromkeys(range(len(out), len(out) + len(plain)), part))
        out += plain
        origins += [part.words] * len(plain)
        at = end
    out += words[at:]
    return PlainPrompt(out, [*origins, *((i, i + 1) for i in range(at, len(words)))], numbers)


def within(prompt, found: list[Written], numbers: Sequence[int]) -> PlainPrompt | None:
    """A part of a prompt, the words `numbers` of it, in plain words; None where they are plain. Of several readings the
    one that leans furthest into a concept. prompt: that part, a JudgedPrompt. Origins count in the whole prompt.
    """
    at = {number: i for i, number in enumerate(numbers)}
    chosen = []
    for part in found:
        first, end = part.words
        if not all(number in at for number in range(first, end)):
            continue
        part = dataclasses.replace(part, words=(at[first], at[first] + end - first))
        if options := _options(prompt, part):
            best = 0 if len(options) == 1 else prompt.worst([words for _, words in options])
            chosen.append((dataclasses.replace(part, plains=(options[best][0],)), options[best][1]))
    if not chosen:
        return None
    out = rewritten(prompt.words, chosen)
    return dataclasses.replace(out, origins=[tuple(numbers[first:end]) for first, end in out.origins])


def _options(prompt, part: Written) -> list[tuple[str, list[Word]]]:
    """What a part of a prompt may be read as, and the words of that, where the encoder does not read it so anyway."""
    found = []
    for plain in part.plains:
        words = words_of(prompt.encoder, plain)
        same = [word.text for word in words] == [word.text for word in prompt.words[slice(*part.words)]]
        if words and not same:
            found.append((plain, words))
    return found


def merged(findings: list[Finding], readings: dict[int, Written]) -> list[tuple[Finding, Range]]:
    """Findings with the words (first, end) that each is about: the words of a flagged reading are one."""
    out, at = [], 0
    while at < len(findings):
        part, finding, end = readings.get(at), findings[at], at + 1
        if part:
            finding = dataclasses.replace(finding, text=part.text, read_as=part.plains[0])
            end = at + part.words[1] - part.words[0]
        out.append((finding, (at, end)))
        at = end
    return out


@functools.lru_cache(maxsize=KEPT)
def lexicon(phrases: tuple[str, ...]) -> Lexicon:
    """The words that concepts are named with; those that everybody uses and no phrase consists of are usual ones."""
    usual, joining, wanted, beside = known_words.usual(), vocabulary.load().joining, {}, {}
    for phrase in phrases:
        pieces = [piece for piece in plan.pieces(phrase) if not plan.is_mark(piece)]
        wanted |= dict.fromkeys(word for word in pieces if len(pieces) == 1 or word not in usual)
        beside |= dict.fromkeys(word for word in pieces if word in usual and word not in joining)
    forms = {form for word in wanted for form in known_words.inflections(word)}
    real = known_words.RealWords(frozenset(forms))
    wanted |= dict.fromkeys(sorted(forms - usual))
    beside = [word for word in beside if word not in wanted]
    return Lexicon(wanted, real, known_words.everyday(), _folded, frozenset(phrases), beside)


def _folded(word: str) -> str:
    return fold(word, known_words.look_alikes()).text
