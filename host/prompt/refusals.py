"""Combinations that are refused, not cleaned: a concept beside what its set names in `refuse_with`."""

from __future__ import annotations

from ...safree import Refusal
from ..data import concept_sets, term_lists
from .guarded import Guarded


def checked(guarded: Guarded) -> Guarded:
    """`guarded` itself; Refusal where its text also speaks of what a flagged concept is refused with.

    Terms alone change nothing. The message names no word of the text.
    """
    concepts = dict.fromkeys(finding.concept for finding in guarded.flagged)
    for concept in concepts:
        for other in concept_sets.refused_with(concept):
            if other in concepts or term_lists.load(other).finds(guarded.text):
                raise Refusal(
                    f"this prompt asks for '{concept}' together with '{other}'. The two are never drawn together, so "
                    "nothing is drawn. Write a prompt without one of them."
                )
    return guarded
