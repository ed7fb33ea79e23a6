"""Numbers of a workflow, and whether they stay where a node is harmless. ComfyUI does not check connected numbers."""

from __future__ import annotations

import re

from .bounds import shown
from .flow import number
from .knowledge import Knowledge
from .workflow import Workflow

LONGEST_SIGMAS = 2_000  # characters; ComfyUI's own pattern takes time with their square
NUMBER = re.compile(r"[-+]?\d*\.?\d+")  # what ComfyUI's finds in a text without two dots in a row


def within(value, limit: list) -> bool:
    """Whether `value` is a number between two numbers, both included, or one of a list of texts."""
    if isinstance(limit[0], str):
        return isinstance(value, str) and value in limit
    return isinstance(value, (int, float)) and not isinstance(value, bool) and limit[0] <= value <= limit[1]


def beyond(workflow: Workflow, known: Knowledge, node: str, limits: dict[str, list]) -> tuple[str, ...]:
    """The settings of a node that are outside its limits, each as a reason; one that is not there has its default."""
    given = workflow.inputs(node)
    outside = [
        name
        for name in limits.keys() & given.keys()
        if not within(number(workflow, known, node, name, primitives_only=True), limits[name])
    ]
    return tuple(
        f"{name} is {shown(given[name])}; known to be harmless is only {_words(limits[name])}"
        for name in sorted(outside)
    )


def _words(limit: list) -> str:
    return " or ".join(map(repr, limit)) if isinstance(limit[0], str) else f"{limit[0]:g} to {limit[1]:g}"


def readable_sigmas(text) -> bool:
    """Whether ManualSigmas reads `text` in no time and without an error."""
    return isinstance(text, str) and len(text) <= LONGEST_SIGMAS and ".." not in text


def falling(text) -> bool:
    """Whether `text` lists sigmas that never rise, as ManualSigmas reads them: a sampler then only removes noise.

    A text without a number is no step at all. One that ComfyUI's reading takes long for, or fails at, does not fall.
    """
    if not readable_sigmas(text):
        return False
    numbers = [float(part) for part in NUMBER.findall(text)]
    return numbers == sorted(numbers, reverse=True)
