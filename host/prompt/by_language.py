"""A prompt by language: which parts of it an encoder reads, and what is known of the language of each."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import torch

from ...safree import SafreeError, languages, plan
from ..data import known_words, vocabulary
from ..data import languages as data
from ..text import words as text_words
from ..text.embeddings import Embeddings
from ..text.encoders import Encoder, tokenize
from ..text.words import Word

NEAR = 5  # English words among which the translation of a word is looked for
READ = 0.5  # share of translations found there, from which an encoder reads a language; by chance one in eight
APART = 0.9  # share of words that must be told from all others
SAME = 0.9  # cosine, of embeddings without their mean, above which two words are one to the encoder
ENGLISH = languages.ENGLISH
HAN = "Han"


@dataclasses.dataclass(frozen=True)
class Part:
    """Words [first, end) of a prompt, all in one language."""

    language: str
    first: int
    end: int

    @property
    def numbers(self) -> range:
        return range(self.first, self.end)


def parts(words: list[Word], room: int) -> list[Part]:
    """The parts of a prompt, by the language of each window; neighbours of one language are one part."""
    texts = [word.text.lower() for word in words]
    found: list[Part] = []
    for window in plan.windows([len(word.tokens) for word in words], room):
        code = languages.recognise(texts[window.start : window.stop], data.profiles())
        first = max(window.start, found[-1].end) if found else 0
        if found and found[-1].language == code:
            found[-1] = Part(code, found[-1].first, window.stop)
        elif first < window.stop:
            found.append(Part(code, first, window.stop))
    return found


def reads(encoder: Encoder, store: Embeddings, code: str) -> bool:
    """Whether an encoder reads a language, measured once: it tells its words apart, and puts translations together."""
    if code == ENGLISH:
        return True
    if code not in store.reads:
        language = data.load().get(code)
        store.reads[code] = bool(language and language.pairs) and _is_read(encoder, store, language)
    return store.reads[code]


def _is_read(encoder: Encoder, store: Embeddings, language: data.Language) -> bool:
    found = []
    for texts in zip(*language.pairs, strict=True):
        rows = [encoder.row(words_of(encoder, text)) for text in texts]
        embeddings = store.embed(encoder, rows)
        found.append(torch.nn.functional.normalize(embeddings - embeddings.mean(dim=0), dim=1))
    english, own = found
    if (own @ own.T).fill_diagonal_(-1).amax(dim=1).lt(SAME).float().mean() < APART:
        return False
    near = (own @ english.T).topk(NEAR, dim=1).indices
    return float((near == torch.arange(len(own))[:, None]).any(dim=1).float().mean()) >= READ


def words_of(encoder: Encoder, text: str) -> list[Word]:
    """The words of `text` as `encoder` reads them inside a prompt."""
    return encoder.words(tokenize(encoder.clip, encoder.kind.before + text)[encoder.key])


def segmented(words: list[Word], phrases: tuple[str, ...] = ()) -> list[Word]:
    """Words with those of scripts without spaces put together: data and concept `phrases` tell what is a word."""
    if not any(text_words.is_unspaced(word.text) for word in words):
        return words
    return text_words.join_unspaced(words, _entries(phrases))


@functools.lru_cache(maxsize=32)
def _entries(phrases: tuple[str, ...]) -> frozenset[str]:
    known = [text for language in data.load().values() for text in (*language.words, *language.phrases)]
    return frozenset(text for text in (*known, *_learned(), *phrases) if text_words.is_unspaced(text))


@functools.cache
def _learned() -> frozenset[str]:
    """Words of Chinese characters that Qwen's tokenizer has learned, so that '绝杀' is told from '杀'.

    None that begins or ends with a function word, or holds a word for people.
    """
    known = [language for language in data.load().values() if HAN in language.scripts]
    idle = frozenset(word for language in known for word in language.function)
    names = frozenset(word for language in known for word in language.names)

    def is_word(text: str) -> bool:
        if len(text) < 2 or any(languages.script(char) != "CJK" for char in text) or {text[0], text[-1]} & idle:
            return False
        spans = itertools.combinations(range(len(text) + 1), 2)
        return not any(text[start:end] in names for start, end in spans if end - start > 1)

    texts = (text_words.byte_level(piece).decode("utf-8", "ignore") for piece in known_words.learned())
    return frozenset(text for text in texts if is_word(text))


def of_phrases(phrases: tuple[str, ...]) -> dict[str, list[str]]:
    """Phrases by language: those in another script each for itself, those in Latin letters together."""
    found: dict[str, list[str]] = {}
    latin = []
    for phrase in phrases:
        code = languages.recognise(plan.pieces(phrase), data.profiles())
        if any(languages.script(char) == languages.LATIN for char in phrase) or code == ENGLISH:
            latin.append(phrase)
        else:
            found.setdefault(code, []).append(phrase)
    if latin:
        words = [word for phrase in latin for word in plan.pieces(phrase)]
        code = languages.recognise(words, data.profiles())
        own = sum(word in _words(code) for word in words)
        # names hold a 'van' or a 'da'; 'car', 'accident' and 'crash' are French words, too
        surely = 2 * own > len(words) and own > sum(word in known_words.everyday() for word in words)
        found.setdefault(code if surely else ENGLISH, []).extend(latin)
    return found


def check_phrases(readers: list[tuple[Encoder, Embeddings]], phrases: tuple[str, ...]) -> None:
    """SafreeError for phrases in a language that no encoder reads: the language itself would be the concept."""
    for code, own in of_phrases(phrases).items():
        if not any(reads(encoder, store, code) for encoder, store in readers):
            keys = ", ".join(encoder.key for encoder, _ in readers)
            raise SafreeError(
                f"the phrase {own[0]!r} is {data.name(code)}, which text encoder {keys} does not read: every prompt in "
                "that language would count as the concept. Write it in English, or use a model that reads the language."
            )


def in_english(words: list[Word], part: Part, written, phrases: tuple[str, ...]) -> list[int]:
    """Numbers of what is English in a part of another language: words that are none of that one, or a concept's.

    written: parts of the prompt that can be read otherwise; they count, too
    """
    own, english = _words(part.language), known_words.everyday() | vocabulary.load().joining
    concepts, real = {word for phrase in phrases for word in plan.pieces(phrase)}, known_words.RealWords()

    def is_english(text: str) -> bool:
        return text in concepts or (text.isascii() and text not in own and (text in english or text in real))

    read = {i for one in written for i in range(*one.words)}
    texts = {i: words[i].text.lower() for i in part.numbers}
    return [i for i, text in texts.items() if i in read or text == text_words.EMBEDDING or is_english(text)]


def _words(code: str) -> frozenset[str]:
    if code in data.load():
        return data.load()[code].words
    return next((profile.function for profile in data.profiles() if profile.code == code), frozenset())


def unknown(text: str) -> set[str]:
    """The language of a prompt of which nothing is known but its name, as a set; letters that an encoder does not know
    do not reach its words."""
    code = languages.recognise(plan.pieces(text), data.profiles())
    return set() if code == ENGLISH or code in data.load() else {code}
