"""The kinds of things that English has words for, as data: vocabulary/kinds.json."""

from __future__ import annotations

import functools
import json

from ...safree import SafreeError, kinds, word_learning
from ...safree.calibration import BROAD
from . import vocabulary

PATH = vocabulary.FOLDER / "kinds.json"
FEWEST = 3  # phrases that tell a kind
DIGITS = 3  # of a probability


@functools.cache
def tree() -> kinds.Tree:
    """All kinds; read when a concept of a few phrases is met first. SafreeError for a damaged file."""
    try:
        return kinds.Tree.of(json.loads(PATH.read_text(encoding="utf-8"))["meanings"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SafreeError(f"vocabulary {PATH.name} cannot be read: {error!r}. Install the pack again.") from error


def is_person(word: str) -> bool:
    """Whether a word in lower case can name a person, by the dictionary or as a word for people."""
    return word in vocabulary.load().names or tree().share_of(word, "person") > 0


@functools.lru_cache(maxsize=64)
def _members(phrases: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found = word_learning.members(tree(), phrases)
    return tuple((word, round(value, DIGITS)) for word, value in found.items())


def members(phrases: tuple[str, ...], however_many: bool = False) -> dict[str, float]:
    """Words of the kinds that `phrases` name, with probabilities; none where phrases are too few, or too many.

    however_many: also of BROAD phrases and more, which are a subject rather than kinds of things, but for some
    """
    return dict(_members(phrases)) if len(phrases) >= FEWEST and (however_many or len(phrases) < BROAD) else {}


def kin(words: dict[str, float]) -> kinds.Kin | None:
    """What the dictionary says beside what an encoder does, of a concept that means `words`; None for nothing."""
    return kinds.Kin(tree(), words) if words else None
