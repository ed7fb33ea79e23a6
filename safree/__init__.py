"""The SAFREE method (ICLR 2025, arXiv 2410.12761) on plain torch tensors, usable from any pipeline.

Symbols follow the paper: C the concept matrix, P_C its projector, p the pooled prompt embedding, p_\\i the pooled
embedding of the prompt with word i masked, t' the number of filtered steps.
"""

import contextlib
from collections.abc import Callable, Iterable


class SafreeError(ValueError):
    """The guard cannot be applied; the message says what was wrong, the value, and what to do."""


class Refusal(SafreeError):
    """Nothing is drawn or passed on, since an unwanted concept is there; the message names it, and no word."""


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """SafreeError unless `value` is one of `choices`; some hosts pass on any value of a menu, null too.

    >>> check_choice("mode", "papper", ("adaptive", "paper"))
    Traceback (most recent call last):
    safree.SafreeError: mode 'papper' is unknown. Choose one of adaptive, paper.
    """
    if value not in (choices := tuple(choices)):
        raise SafreeError(f"{name} {value!r} is unknown. Choose one of {', '.join(choices)}.")


def check_share(name: str, value: float, most: int = 1) -> None:
    """SafreeError unless `value` lies in [0, most]; NaN, which JSON can carry past a widget's bounds, does not.

    >>> check_share("strength", 1.5)
    Traceback (most recent call last):
    safree.SafreeError: strength is 1.5, outside 0 to 1. Choose a value in between.
    """
    if not 0 <= value <= most:
        raise SafreeError(f"{name} is {value}, outside 0 to {most}. Choose a value in between.")


@contextlib.contextmanager
def naming(node: Callable[[], str]):
    """Put a node's name, if it has one, before the text of a SafreeError; `node` is called for no other error.

    >>> with naming(lambda: "ConceptSubspace"):
    ...     raise SafreeError("no phrases.")
    Traceback (most recent call last):
    safree.SafreeError: ConceptSubspace: no phrases.
    """
    try:
        yield
    except SafreeError as error:
        name = node()
        raise type(error)(f"{name}: {error}" if name else str(error)) from error
