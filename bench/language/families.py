"""What a shipped set finds of the things that it does not name: a third of its phrases left out, by families of words.

'gun', 'machine gun' and 'gun barrel' are one family: with one of them in the set the others are named, too. A sentence
counts that names a phrase of the set, and none of those that are left in.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from .plain_judge import PlainJudge

PARTS = 3
HEADER = "| encoder | set | found of what a third of the phrases named, left out |"
SHORTEST = 3  # letters of a word that makes a family: 'of' makes none


def families(pieces, phrases: Sequence[str]) -> list[list[str]]:
    """Phrases in groups by the word of each that most phrases hold. pieces: safree.plan.pieces.

    >>> families(str.split, ["machine gun", "gun", "knife", "butter knife", "guns"])
    [['machine gun', 'gun', 'guns'], ['knife', 'butter knife']]
    """
    words = {phrase: [_stem(word) for word in pieces(phrase) if len(word) >= SHORTEST] for phrase in phrases}
    counts = collections.Counter(word for own in words.values() for word in set(own))
    groups: dict[str, list[str]] = {}
    for phrase, own in words.items():
        groups.setdefault(max(own, key=counts.__getitem__, default=phrase), []).append(phrase)
    return list(groups.values())


def _stem(word: str) -> str:
    """
    >>> [_stem(word) for word in ("guns", "stabbed", "stabbing", "knives")]
    ['gun', 'stab', 'stab', 'kni']
    """
    for ending in ("ings", "ing", "ers", "ed", "er", "ves", "fe", "es", "s"):
        stem = word.removesuffix(ending)
        if SHORTEST <= len(stem) < len(word):
            return stem[:-1] if stem[-1] == stem[-2] and ending != "s" else stem
    return word


def parts(groups: list[list[str]]) -> list[list[str]]:
    """The families dealt into PARTS lists of about the same number of phrases, the largest families first."""
    dealt: list[list[str]] = [[] for _ in range(PARTS)]
    for group in sorted(groups, key=len, reverse=True):
        min(dealt, key=len).extend(group)
    return dealt


def measure(pack, clip, name: str, sentences: list):
    """The Share found of the sentences that name a left out phrase of the set and no other, by the set without it."""
    plan, known = pack.safree.plan, pack.host.data.concept_sets.get(name)
    texts = [sentence.text for sentence in sentences if sentence.concept == name]
    judge, found = PlainJudge(pack, clip, list(dict.fromkeys(texts))), []
    for left_out in parts(families(plan.pieces, known.phrases)):
        kept = tuple(phrase for phrase in known.phrases if phrase not in left_out)
        names, others = plan.Matcher(left_out), plan.Matcher(kept)
        own = [text for text in texts if names.find(plan.pieces(text)) and not others.find(plan.pieces(text))]
        built = pack.host.prompt.subspaces.build_subspace(clip, name, kept, of_kinds=known.kinds)
        found += judge.flagged(built, own)
    return pack.safree.measures.share(found)


def table(shares: dict[tuple[str, str], object]) -> list[str]:
    """Lines of Markdown. shares: (encoder, set) -> Share."""
    return [
        HEADER,
        "|---|---|---|",
        *(f"| {encoder} | {name} | {share} |" for (encoder, name), share in shares.items()),
    ]
