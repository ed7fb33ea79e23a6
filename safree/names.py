"""Lists of names, found in a prompt by how they are spelled: in time linear in the prompt, however many there are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Iterable, Iterator, Mapping

from .folding import Folded, fold
from .readings import unleet
from .terms import HANGUL, UNSPACED

TOKEN = re.compile(r"[^\W_][\w@$€]*(?:['’][^\W_]+)*|,")
BETWEEN = re.compile(r"[\s.\-_·/+\"“”]{0,3}")  # the words of a name
LONG = 8  # letters of a name, without spaces, that is still surely itself with one letter wrong
WORD = 4  # letters of a word in which one may be wrong
SHORTEST = 3  # letters of a name that is one for sure
APART = 6  # fewest letters of a name that is written letter by letter
MOST_EDITS = 2  # words with a wrong letter
COMMA, BREAK, END = ",", "\n", ""  # tokens; END marks a whole name in the tree


@dataclasses.dataclass(frozen=True)
class Named:
    """text[start:end] of a prompt is, or may be, `name`.

    common: the name consists of everyday words, so that only what stands around it tells. edits: words with one letter
    wrong
    """

    start: int
    end: int
    name: str
    common: bool = False
    edits: int = 0

    @property
    def is_certain(self) -> bool:
        """Whether the spelling alone says that the name is meant."""
        long = sum(char.isalnum() for char in self.name) >= LONG
        return not self.common and (self.edits == 0 or (self.edits == 1 and long))


@dataclasses.dataclass(frozen=True)
class _Token:
    text: str
    start: int  # in the folded text
    end: int


class NameList:
    """Names as people write them: 'Greg Rutkowski', or 'Rutkowski, Greg'.

    common: words that are in use as something else. real: words that are no misspelling of a name
    look_alikes: for a character the letter that it looks like
    """

    def __init__(
        self, names: Iterable[str], common: Container[str], real: Container[str], look_alikes: Mapping[str, str]
    ):
        self._common, self._real, self._look_alikes = common, real, look_alikes
        self._tree: dict = {}
        self._spelled: dict[str, list[str]] = {}  # a word of a name, or what is left without one letter -> the words
        self._joined: dict[str, str] = {}  # names without spaces, for those of scripts without any, and letters apart
        self._unspaced: dict[str, str] = {}
        for name in names:
            self._add(name)
        self._sizes = sorted({len(word) for word in self._joined}, reverse=True)
        self._unspaced_sizes = sorted({len(word) for word in self._unspaced}, reverse=True)

    def _add(self, name: str) -> None:
        folded = fold(name, self._look_alikes).text
        if UNSPACED.search(folded) or HANGUL.search(folded):
            self._unspaced.setdefault("".join(folded.split()), name)
            return
        last, comma, first = folded.partition(COMMA)
        words = _words(f"{first} {last}" if comma else folded)
        if not words:
            return
        common = self._is_common(words)
        for path in _orders(words, common):
            self._plant(path, name, common)
        joined = "".join(words)
        if not common and len(joined) >= APART:
            self._joined.setdefault(joined, name)
            if len(words) > 1 and joined not in self._common:
                self._plant((joined,), name, common)

    def _is_common(self, words: tuple[str, ...]) -> bool:
        return sum(map(len, words)) < SHORTEST or all(len(word) < 2 or word in self._common for word in words)

    def _plant(self, path: tuple[str, ...], name: str, common: bool) -> None:
        node = self._tree
        for word in path:
            if not common and word not in node:
                self._note_spellings(word)
            node = node.setdefault(word, {})
        node.setdefault(END, (name, common))

    def _note_spellings(self, word: str) -> None:
        """Note by what a word of a name is known when one of its letters is missing, or another one's."""
        if len(word) >= WORD and word not in self._spelled.get(word, ()):
            for short in (word, *_without_one(word)):
                self._spelled.setdefault(short, []).append(word)

    def find(self, text: str) -> list[Named]:
        """The names in a prompt, from left to right, none overlapping; the longest at each place.

        >>> [found] = NameList(["Ada Quillfeather"], set(), set(), {}).find("by Quillfeather, Ada's pupil")
        >>> found.start, found.end, found.name
        (3, 22, 'Ada Quillfeather')
        """
        folded = fold(text, self._look_alikes)
        found = [*self._in_words(folded), *self._letters_apart(folded), *self._without_spaces(folded)]
        kept: list[Named] = []
        for one in sorted(found, key=lambda named: (named.start, -named.end)):
            if not kept or one.start >= kept[-1].end:
                kept.append(one)
        return kept

    def _in_words(self, folded: Folded) -> Iterator[Named]:
        tokens, at = _tokens(folded.text), 0
        readings = [self._readings(token.text) for token in tokens]
        while at < len(tokens):
            best = self._longest(readings, at)
            end, (name, common), edits = best or (at + 1, ("", False), 0)
            if best and not (common and edits):  # 'oranges' are no name
                yield Named(*folded.span(tokens[at].start, tokens[end - 1].end), name, common, edits)
            at = end

    def _longest(self, readings: list[list[tuple[str, int]]], at: int) -> tuple[int, tuple[str, bool], int] | None:
        """(end, (name, common), edits) of the longest name that begins at a token; of several the best spelled."""
        states, best = [(self._tree, 0)], None
        for end in range(at, len(readings)):
            states = [
                (node[word], edits + wrong)
                for node, edits in states
                for word, wrong in readings[end]
                if word in node and edits + wrong <= MOST_EDITS
            ]
            if not states:
                break
            whole = [(edits, node[END]) for node, edits in states if END in node]
            if whole:
                edits, entry = min(whole)
                best = (end + 1, entry, edits)
        return best

    def _readings(self, token: str) -> list[tuple[str, int]]:
        """The words that a token may be, each with the number of wrong letters."""
        word = token.removesuffix("'s").removesuffix("’s").replace("'", "").replace("’", "")
        plain = [word, *(unleet(word) if not word.isalpha() else ())]
        found = {**dict.fromkeys(plain, 0), **({word[:-1]: 1} if word.endswith("s") else {})}
        if len(word) < WORD or word in self._common or word in self._real:
            return list(found.items())
        close = (other for one in plain for other in self._near(one))
        return list((dict.fromkeys(close, 1) | found).items())

    def _near(self, word: str) -> set[str]:
        """The words of names that a word is one letter away from."""
        known = (self._spelled.get(short, ()) for short in (word, *_without_one(word)))
        return {other for words in known for other in words if _one_edit(word, other)}

    def _letters_apart(self, folded: Folded) -> Iterator[Named]:
        """Names of which every letter stands by itself: 'a d a q u i l l'."""
        run: list[_Token] = []
        for token in [*_tokens(folded.text), _Token(BREAK, 0, 0)]:
            if len(token.text) == 1 and token.text.isalnum():
                run.append(token)
                continue
            letters = "".join(one.text for one in run)
            for start, end, name in _inside(letters, self._joined, self._sizes) if len(run) >= APART else ():
                yield Named(*folded.span(run[start].start, run[end - 1].end), name)
            run = []

    def _without_spaces(self, folded: Folded) -> Iterator[Named]:
        if self._unspaced:
            for start, end, name in _inside(folded.text, self._unspaced, self._unspaced_sizes):
                yield Named(*folded.span(start, end), name)


def _words(folded: str) -> tuple[str, ...]:
    tokens = (token.text.replace("'", "").replace("’", "") for token in _tokens(folded))
    return tuple(word for word in tokens if word not in (COMMA, BREAK))


def _tokens(folded: str) -> list[_Token]:
    """Words and commas, with a BREAK where more stands between them than between the words of a name."""
    found: list[_Token] = []
    for match in TOKEN.finditer(folded):
        between = folded[found[-1].end : match.start()] if found else ""
        if not BETWEEN.fullmatch(between):
            found.append(_Token(BREAK, match.start(), match.start()))
        start = match.start()
        for part in re.split("(_)", match[0]):  # 'ada_quill' is two words
            if part and part != "_":
                found.append(_Token(part, start, start + len(part)))
            start += len(part)
    return found


def _orders(words: tuple[str, ...], common: bool) -> Iterator[tuple[str, ...]]:
    """The orders in which a name is written; initials apart and together."""
    initials = sum(1 for _ in _leading_initials(words))
    forms = [words, *([("".join(words[:initials]), *words[initials:])] if initials > 1 else [])]
    for form in forms:
        yield form
        if len(form) > 1:
            yield (form[-1], COMMA, *form[:-1])
            if not common:  # 'Rose Brown' is not found in 'brown rose'
                yield (form[-1], *form[:-1])


def _leading_initials(words: tuple[str, ...]) -> Iterator[str]:
    for word in words[:-1]:
        if len(word) > 1:
            return
        yield word


def _inside(text: str, names: Mapping[str, str], sizes: list[int]) -> Iterator[tuple[int, int, str]]:
    """(start, end, name) of names, given without spaces, in a row of letters."""
    at = 0
    while at < len(text):
        size = next((size for size in sizes if at + size <= len(text) and text[at : at + size] in names), 0)
        if size:
            yield at, at + size, names[text[at : at + size]]
        at += max(size, 1)


def _without_one(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i in range(len(word))]


def _one_edit(word: str, other: str) -> bool:
    """Whether two different words become one by one letter more, less or another, or by two that change places."""
    if word == other or abs(len(word) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    rest, others = word[start:], other[start:]
    swapped = len(rest) > 1 and rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return swapped or rest[1:] == others or rest == others[1:] or rest[1:] == others[1:]
