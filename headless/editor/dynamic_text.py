"""Texts with comments and choices, as the editor resolves them when it sends a workflow. Standard library alone."""

from __future__ import annotations

import random
import re

_COMMENT = re.compile(r"/\*[\s\S]*?\*/|//.*")
_ESCAPED = re.compile(r"\\([{}|])")


def resolved(text: str, choose=random.choice) -> str:
    r"""`text` without its comments, and with one of the words of each choice.

    choose: takes a list of texts and gives one of them

    >>> resolved("a {red|blue} {big {cat|dog}|bird} // which?", choose=lambda words: words[0])
    'a red big cat '
    >>> resolved(r"\{no choice\}")
    '{no choice}'
    """
    words, _ = _read(_COMMENT.sub("", text), 0, choose, inside=False)
    return _ESCAPED.sub(r"\1", words[0])


def has_choices(text: str) -> bool:
    """Whether `resolved` may give one text or another."""
    asked: list[list[str]] = []
    resolved(text, lambda words: asked.append(words) or words[0])
    return any(len(words) > 1 for words in asked)


def _read(text: str, at: int, choose, inside: bool) -> tuple[list[str], int]:
    """(the words of a choice, where it ends) from `at` on; outside of a choice, the whole text as the only word."""
    words = [""]
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            words[-1] += text[at - 1 : at + 1]
            at += 1
        elif char == "{":
            inner, at = _read(text, at, choose, inside=True)
            words[-1] += choose(inner)
        elif inside and char == "}":
            break
        elif inside and char == "|":
            words.append("")
        else:
            words[-1] += char
    return words, at
