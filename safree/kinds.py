"""Kinds of things that a dictionary knows, and what it says of a word beside what a text encoder does.

An encoder that has seldom seen 'derringer' places it anywhere; WordNet knows that it is a gun. Which kind a concept
means is inferred from its phrases (safree.word_learning). That a word is of this kind is evidence, no verdict: its log
odds are added to how far the word leans into the concept, and the text around it counts as before.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

from .plan import pieces

LARGEST = 1000  # meanings in a kind; a larger one is no concept
LEAST = 0.01  # probability of being meant, below which a word is as any other
MEANT = 0.5  # probability above which an everyday word is no example of what is harmless
SUREST = 0.97  # probability that a dictionary can give
KEPT = 1 << 15  # words whose place in the tree is kept
NAT = 0.2  # what one nat of evidence counts, on the scale of leanings
FOREIGN = 0.2  # what it takes from a word that it is known, and of other kinds
ENDINGS = (  # of inflected words, and what stands there in a dictionary
    *(("ies", "y"), ("ves", "f"), ("ves", "fe"), ("s", ""), ("es", ""), ("men", "man")),
    *(("ied", "y"), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e")),
)
IRREGULAR = {"mice": "mouse", "lice": "louse", "geese": "goose", "teeth": "tooth", "feet": "foot", "oxen": "ox"}
SHORTEST = 2  # letters of a word without its ending


@dataclasses.dataclass(frozen=True)
class Tree:
    """Kinds of things, each before what belongs to it.

    words: of each meaning, in lower case, with how much of a word's use has this meaning
    ends: for each meaning the number behind the last one that belongs to it
    meanings: word -> (number of a meaning, share of the word's use)
    """

    words: tuple[tuple[tuple[str, float], ...], ...]
    ends: tuple[int, ...]
    above: tuple[int, ...]
    meanings: dict[str, list[tuple[int, float]]]

    @classmethod
    def of(cls, lines: Sequence[str]) -> Tree:
        """From lines as in vocabulary/kinds.json: a letter for the depth, words, tenths of their use behind them.

        >>> Tree.of(["agun", "brevolver six-gun", "brifle", "afruit date3"]).ends
        (3, 2, 3, 4)
        """
        words, ends, above, open_kinds, meanings = [], [0] * len(lines), [], [], {}
        for number, line in enumerate(lines):
            depth = ord(line[0]) - ord("a")
            while len(open_kinds) > depth:
                ends[open_kinds.pop()] = number
            above.append(open_kinds[-1] if open_kinds else -1)
            open_kinds.append(number)
            own = tuple(_word(text) for text in line[1:].split())
            words.append(own)
            for word, share in own:
                meanings.setdefault(word, []).append((number, share))
        for number in open_kinds:
            ends[number] = len(lines)
        return cls(tuple(words), tuple(ends), tuple(above), meanings)

    def find(self, text: str) -> list[tuple[int, float]]:
        """The meanings of a word or compound, inflected or not; empty for one that is not in the tree."""
        return self.meanings.get(self.base(text), [])

    @functools.cached_property
    def base(self) -> Callable[[str], str]:
        """A word or compound as the tree holds it, or ''. The same words are met again and again."""
        return functools.lru_cache(KEPT)(lambda text: next((form for form in forms(text) if form in self.meanings), ""))

    def kinds_of(self, number: int) -> Iterator[int]:
        """The meaning itself and all kinds that it belongs to, up to LARGEST."""
        while number >= 0 and self.size(number) <= LARGEST:
            yield number
            number = self.above[number]

    def size(self, number: int) -> int:
        return self.ends[number] - number

    def share_of(self, text: str, kind: str) -> float:
        """How much of the use of a word or compound means something of the kind that `kind` names at its widest.

        >>> Tree.of(["agun", "brevolver3", "acogwheel", "brevolver7"]).share_of("revolvers", "gun")
        0.3
        """
        widest = max((number for number, _ in self.find(kind)), key=self.size, default=None)
        if widest is None:
            return 0.0
        return sum(share for number, share in self.find(text) if widest <= number < self.ends[widest])


def _word(text: str) -> tuple[str, float]:
    share = int(text[-1]) / 10 if text[-1].isdigit() else 1.0
    return text.rstrip("0123456789").replace("_", " "), share


def forms(text: str) -> Iterator[str]:
    """How a word could stand in a dictionary, itself first; of a compound the last word is looked at.

    >>> list(forms("tree frogs"))
    ['tree frogs', 'tree frog', 'tree-frogs', 'treefrogs', 'tree-frog', 'treefrog']
    """
    joined = " ".join(pieces(text)).replace(" - ", "-").replace(" ' ", "'")
    before, space, last = joined.rpartition(" ")
    for form in (last, *_bases(last)):
        whole = f"{before}{space}{form}"
        yield whole
    if space:
        for form in (last, *_bases(last)):
            yield f"{before}-{form}".replace(" ", "-")
            yield f"{before}{form}".replace(" ", "")
    if "-" in joined:
        yield from forms(joined.replace("-", " "))


def _bases(word: str) -> Iterator[str]:
    """
    >>> list(_bases("digging"))
    ['digg', 'dig', 'digge']
    """
    if word in IRREGULAR:
        yield IRREGULAR[word]
    for ending, base in ENDINGS:
        stem = word.removesuffix(ending)
        if SHORTEST <= len(stem) < len(word):
            yield stem + base
            if ending in ("ing", "ed") and not base and stem[-1] == stem[-2]:
                yield stem[:-1]


@dataclasses.dataclass(frozen=True)
class Kin:
    """The words that a concept means as likely as `words` says, and what that adds to how far they lean into it.

    weight: of that evidence, in [0, 1]
    """

    tree: Tree
    words: dict[str, float]
    weight: float = 1.0

    def probability(self, text: str) -> float:
        """How likely a word or compound is meant, inflected or not; 0 for one that is not among the words."""
        return self.words.get(self.tree.base(text), 0.0)

    def is_meant(self, text: str) -> bool:
        return self.probability(text) > MEANT

    def shift(self, text: str) -> float:
        """What is added to the leaning of a word: its log odds, against those of a word that is in no dictionary.

        A word of other kinds is somewhat less likely than such a word.
        """
        probability = self.probability(text)
        if probability > LEAST:
            return self.weight * NAT * (_log_odds(min(probability, SUREST)) - _log_odds(LEAST))
        return -self.weight * FOREIGN if self.tree.find(text) else 0.0

    def shift_within(self, words: Sequence[str], place: Sequence[int]) -> float:
        """The shift of the words at `place` in a text; inside a compound of the dictionary it is the compound's."""
        start, end = place[0], place[-1] + 1
        for first, last in ((start - 2, end), (start, end + 2), (start - 1, end), (start, end + 1)):
            compound = " ".join(words[max(first, 0) : last])  # of three words where one is a hyphen
            if first >= 0 and last <= len(words) and self.tree.find(compound):
                return self.shift(compound)
        return self.shift(" ".join(words[start:end]))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
