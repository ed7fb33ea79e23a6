"""Words that are in use, so that none of them is taken for a misspelling of another, and letters that look alike."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import comfy

from ...safree import plan
from . import vocabulary

FOLDER = Path(comfy.__path__[0])
# Vocabularies that ComfyUI brings. CLIP's tell where a word ends, Qwen's where one begins: what is in both is a word.
ENDS, BEGINNINGS = FOLDER / "sd1_tokenizer" / "vocab.json", FOLDER / "text_encoders" / "qwen25_tokenizer" / "vocab.json"
RARE: Path | None = vocabulary.FOLDER / "rare_words.json"
WHOLE = 6  # letters from which a beginning is nearly always a whole word
STEM = 4  # letters of a stem that counts without being an everyday word
ENDINGS = ("s", "es", "d", "ed", "r", "er", "ers", "ing", "ly")  # that English puts behind a word
HISSING = ("s", "x", "z", "ch", "sh")  # a word that ends so has '-es' behind it
SHORT = re.compile(r"[^aeiou]+[aeiou][bdgmnprt]")  # doubles its last letter: 'dot', 'dotting'


class RealWords:
    """A container of words in lower case: those of ComfyUI's vocabularies, and their English inflections.

    An inflection of a word in `concepts` is none, so that a misspelt one is seen as such.
    """

    def __init__(self, concepts: frozenset[str] = frozenset()):
        self._concepts = concepts

    def __contains__(self, word: str) -> bool:
        if word in _words():
            return True
        one = word.removesuffix("s")
        if len(word) >= STEM and one != word and (one in everyday() or one in _words()):
            return one not in self._concepts
        return any(stem not in self._concepts and _is_stem(stem) for stem in _stems(word))


def _is_stem(word: str) -> bool:
    return len(word) >= STEM and (word in everyday() or word in _words())


def _stems(word: str) -> Iterator[str]:
    """
    >>> list(_stems("dotting"))
    ['dott', 'dotte', 'dot']
    """
    for ending in ("ies", "ied", "ier", "iest"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            yield f"{word.removesuffix(ending)}y"
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if len(stem) in (len(word), 0, 1, 2):
            continue
        if (ending[0] != "e" and ending != "ing") or not SHORT.fullmatch(stem):
            yield stem
        if ending in ("ed", "er", "ers", "ing"):
            yield f"{stem}e"
            if stem[-1] == stem[-2]:
                yield stem[:-1]


def inflections(word: str) -> frozenset[str]:
    """The forms of an English word: of 'strangled' also 'strangle', 'strangles', 'strangling'."""
    bases = {word, *(stem for stem in _stems(word) if len(stem) >= STEM)} & {word, *_words()}
    forms = {base + ending for base in bases for ending in ENDINGS}
    forms |= {base[:-1] + ending for base in bases if base.endswith("e") for ending in ENDINGS}
    forms |= {base + base[-1] + ending for base in bases for ending in ENDINGS}
    regular = {_with_s(base) for base in bases if len(base) >= STEM}
    derived = (
        {form for form in _beginning().get(word[:WHOLE], ()) if form.startswith(word)} if len(word) > WHOLE else ()
    )
    return frozenset(bases | regular | (forms & _words()) | set(derived))


@functools.cache
def _beginning() -> dict[str, list[str]]:
    """Words in use by their first letters: of 'assassin' also 'assassinated'."""
    found: dict[str, list[str]] = {}
    for word in _words():
        found.setdefault(word[:WHOLE], []).append(word)
    return found


def _with_s(word: str) -> str:
    """
    >>> [_with_s(word) for word in ("slash", "orgy", "toy")]
    ['slashes', 'orgies', 'toys']
    """
    if word.endswith(HISSING):
        return f"{word}es"
    return f"{word[:-1]}ies" if word[-1] == "y" and word[-2] not in "aeiou" else f"{word}s"


@functools.cache
def _words() -> frozenset[str]:
    ends = {piece.removesuffix("</w>") for piece in _pieces(ENDS) if piece.endswith("</w>")}
    beginnings = {piece[1:].lower() for piece in _pieces(BEGINNINGS) if piece[:1] == "Ġ" and piece.isalpha()}
    rare = " ".join(_rare().values()).split() if RARE else []
    return frozenset((ends & beginnings) | {word for word in beginnings if len(word) >= WHOLE} | set(rare))


def learned() -> list[str]:
    """The pieces of Qwen's vocabulary, in its byte-level writing."""
    return _pieces(BEGINNINGS)


def _rare() -> dict[str, str]:
    data = json.loads(RARE.read_text(encoding="utf-8"))
    return {name: data[name] for name in ("words", "names")}


def _pieces(path: Path) -> list[str]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        logging.warning("SAFREE: %s cannot be read (%s): unusual words may be taken for misspelt ones.", path, error)
        return []


@functools.cache
def everyday() -> frozenset[str]:
    """All single words of the everyday vocabulary, function words and names of people among them; letters but for
    'a' and 'i' are none."""
    known = vocabulary.load()
    texts = [*known.phrases, *known.prompts, *known.names, *known.joining]
    words = {word for text in texts for word in plan.pieces(text)}
    return frozenset(word for word in words if len(word) > 1 or word in "ai" or not word.isascii())


@functools.cache
def in_phrases() -> frozenset[str]:
    """The words of everyday phrases and of names of people; harmless prompts hold some in other languages."""
    known = vocabulary.load()
    return frozenset(word for text in (*known.phrases, *known.names) for word in plan.pieces(text))


@functools.cache
def usual() -> frozenset[str]:
    """Everyday words that stand by themselves: not 'gun', which is there as a part of 'glue gun' alone."""
    known = vocabulary.load()
    alone = [text for text in (*known.phrases, *known.names) if len(plan.pieces(text)) == 1]
    inside = {word for prompt in known.prompts for word in plan.pieces(prompt)}
    return frozenset(text.lower() for text in alone) | inside | known.joining


@functools.cache
def common() -> frozenset[str]:
    """Words in use as something else than a name: those of Qwen's vocabulary in small letters, those that are better
    known as names, and words for people. Everyday phrases and harmless prompts are no source: they name painters."""
    rare = json.loads((vocabulary.FOLDER / "name_words.json").read_text(encoding="utf-8"))["words"].split()
    known = vocabulary.load()
    people = {word for text in known.names for word in plan.pieces(text)}
    return in_small_letters() | frozenset(rare) | frozenset(people) | known.joining


@functools.cache
def in_small_letters() -> frozenset[str]:
    """The words of a vocabulary with two cases that it has in small letters."""
    return frozenset(word for word in _with_case() if word.islower())


def in_a_vocabulary() -> frozenset[str]:
    """The words of ComfyUI's vocabularies, names included, in small letters."""
    ends = {piece.removesuffix("</w>") for piece in _pieces(ENDS) if piece.endswith("</w>")}
    return frozenset({word.lower() for word in _with_case()} | ends)


def _with_case() -> list[str]:
    return [piece[1:] for piece in _pieces(BEGINNINGS) if piece[:1] == "Ġ" and piece[1:].isalpha()]


def plainly(text: str) -> str:
    """The letters of a text, by which two ways to write the same words are compared."""
    return "".join(char for char in text.lower() if char.isalnum())


@functools.cache
def look_alikes() -> dict[str, str]:
    """For letters of other scripts the Latin one that they look like; see vocabulary/look_alikes.json."""
    data = json.loads((vocabulary.FOLDER / "look_alikes.json").read_text(encoding="utf-8"))
    return {char: letter for letter, chars in data["letters"].items() for char in chars}
