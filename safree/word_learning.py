"""Which kind a few phrases name, and which words are of it: word learning as Bayesian inference.

Three guns may stand for guns, for weapons or for things. The size principle of Xu and Tenenbaum (Psychological Review
114, 2007) says which: phrases drawn from a kind h have probability 1/|h| each, so the smallest kind that holds them is
much the most likely, the more so the more there are. A concept may be of several kinds, so the hypotheses are the cuts
of a tree of meanings: of every kind that holds phrases the whole is meant, or what is meant lies further down.

    P(whole h)  = e^-c |h|^-n             n phrases in h; c: the cost of naming a kind
    P(either h) = P(whole h) + product over the children of h of P(either child)

The sum over all cuts is had from below, the probability of each kind from above, as in context tree weighting (Willems
et al., IEEE Transactions on Information Theory 41, 1995).
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence

from .kinds import LEAST, Tree, forms
from .plan import pieces

COST = 12.0  # of naming a kind, in nats; between 10 and 14 the figures hardly change
ROUNDS = 4  # of telling the meanings of phrases by each other
HALF = 0.5  # phrases, by their meanings, that name a kind at least
BORNE_OUT = 3  # a word that ends one in so many phrases is named by them, whatever stands before it
OUTSIDE = frozenset(("of", "in", "on", "at", "with", "and", "to", "from", "by", "for", "over", "behind"))


def members(tree: Tree, phrases: Iterable[str]) -> dict[str, float]:
    """Words of `tree` and how likely a concept of `phrases` means each, from LEAST to 1; no phrase is among them."""
    phrases = tuple(dict.fromkeys(phrases))
    found: dict[str, float] = {}
    for meanings, probability in _Cuts.of(tree, _given(tree, phrases)).meant():
        for word, share in (entry for number in meanings for entry in tree.words[number]):
            found[word] = found.get(word, 0.0) + share * probability
    own = {form for phrase in phrases for form in forms(phrase)}
    return {word: min(value, 1.0) for word, value in found.items() if value > LEAST and word not in own}


@dataclasses.dataclass(frozen=True)
class _Given:
    """A phrase that the tree knows: the shares of its meanings, and of the kinds that these belong to.

    names: whether it names a kind by itself. 'loaded gun' bears out that guns are meant, if something else says so;
    'wrecked car' alone does not mean cars
    """

    names: bool
    meanings: Sequence[tuple[int, float]]
    kinds: collections.Counter

    @classmethod
    def of(cls, tree: Tree, names: bool, meanings: Sequence[tuple[int, float]]) -> _Given:
        kinds: collections.Counter = collections.Counter()
        for number, share in meanings:
            kinds.update(dict.fromkeys(tree.kinds_of(number), share))
        return cls(names, meanings, kinds)


def _given(tree: Tree, phrases: Sequence[str]) -> list[_Given]:
    found = [_Given.of(tree, True, meanings) for phrase in phrases if (meanings := tree.find(phrase))]
    heads = collections.Counter(_head(phrase) for phrase in phrases if not tree.find(phrase))
    for head, times in heads.items():
        if meanings := tree.find(head):
            found += [_Given.of(tree, times >= BORNE_OUT, meanings)] * times
    return found


def _head(phrase: str) -> str:
    """The word that says what a phrase is about.

    >>> _head("black cat on a sofa")
    'cat'
    """
    words = list(pieces(phrase))
    end = next((n for n, word in enumerate(words) if n and word in OUTSIDE), len(words))
    return words[end - 1] if words else ""


@dataclasses.dataclass(frozen=True)
class _Cuts:
    """The cuts of the tree.

    phrases, names: how many phrases each kind holds, and how many that name it. inside: kinds below that hold phrases
    """

    tree: Tree
    phrases: collections.Counter
    names: collections.Counter
    inside: dict[int, set[int]]

    @classmethod
    def of(cls, tree: Tree, given: Sequence[_Given]) -> _Cuts:
        phrases, names, inside = collections.Counter(), collections.Counter(), collections.defaultdict(set)
        for one in _disambiguated(tree, given):
            for number, weight in one.meanings:
                below = None
                for kind in tree.kinds_of(number):
                    phrases[kind] += weight
                    names[kind] += weight * one.names
                    inside[kind] |= set() if below is None else {below}
                    below = kind
        return cls(tree, phrases, names, inside)

    def meant(self) -> list[tuple[range, float]]:
        """(meanings, probability) of each kind that is meant as a whole, and of each phrase that stands for itself."""
        whole, either = {}, {}  # logarithms
        for kind in sorted(self.phrases, reverse=True):  # what is below a kind stands behind it
            children = self.inside[kind]
            own = max(self.phrases[kind] - sum(self.phrases[child] for child in children), 0.0)
            apart = sum(either[child] for child in children) - COST * own
            as_one = -COST - self.phrases[kind] * math.log(self.tree.size(kind))
            whole[kind] = as_one if self.names[kind] >= HALF else -math.inf
            either[kind] = _log_sum(whole[kind], apart) if self.tree.size(kind) > 1 else apart
        reached, found = {kind: 1.0 for kind in self.phrases if self.tree.above[kind] not in self.phrases}, []
        for kind in sorted(self.phrases):
            as_one = reached[kind] * math.exp(whole[kind] - either[kind]) if self.tree.size(kind) > 1 else 0.0
            rest = reached[kind] - as_one
            named = self.names[kind] - sum(self.names[child] for child in self.inside[kind])
            found += [
                (range(kind, self.tree.ends[kind]), as_one),
                (range(kind, kind + 1), rest * min(max(named, 0), 1)),
            ]
            reached |= dict.fromkeys(self.inside[kind], rest)
        return found


def _disambiguated(tree: Tree, given: Sequence[_Given]) -> list[_Given]:
    """Phrases with their meanings by what the other phrases are: 'fly' beside 'beetle' is an insect."""
    now = list(given)
    for _ in range(ROUNDS):
        total = sum((one.kinds for one in now), collections.Counter())
        now = [
            _Given.of(tree, one.names, _by_others(tree, one.meanings, total - own.kinds))
            for one, own in zip(given, now, strict=True)
        ]
    return now


def _by_others(tree: Tree, meanings, others: collections.Counter) -> list[tuple[int, float]]:
    def alike(kind: int) -> float:
        return math.exp(-COST / (1 + others[kind])) / tree.size(kind)

    weights = [(n, share * max(map(alike, tree.kinds_of(n)), default=0.0)) for n, share in meanings]
    every = sum(weight for _, weight in weights)
    return [(n, weight / every) for n, weight in weights if weight]


def _log_sum(one: float, other: float) -> float:
    """log(e^one + e^other)."""
    most = max(one, other)
    return most + math.log(math.exp(one - most) + math.exp(other - most))
