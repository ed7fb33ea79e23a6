"""The names of a node's widgets: the editor's format holds their values by order alone. Standard library alone."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

CONTROLS = ("fixed", "increment", "decrement", "randomize")  # the widget after a seed, which is not sent
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


@functools.cache
def known_widgets() -> dict[str, list[str]]:
    return json.loads(Path(__file__).parents[1].joinpath("widgets.json").read_text("utf-8"))


def paired(names: list[str], values: list) -> Iterator[tuple[str, object]]:
    """(name, value) of each widget; the control after a seed has a value, which is not sent."""
    at = 0
    for name in names:
        if at >= len(values):
            return
        value = values[at]
        yield name, {"__value__": value} if isinstance(value, list) else value
        at += 1
        if at < len(values) and values[at] in CONTROLS and isinstance(value, (int, float)) and "seed" in name.lower():
            at += 1


def values_of_seeds(values: list) -> int:
    """How many of `values` are controls after a seed."""
    return sum(1 for before, value in itertools.pairwise(values) if value in CONTROLS and isinstance(before, int))


def widgets_of(info: dict) -> list[str]:
    """The names of a class's widgets in their order, by an entry of /object_info."""
    groups = [info["input"].get(group) or {} for group in ("required", "optional")]
    return [name for group in groups for name, spec in group.items() if is_widget(spec)]


def is_widget(spec: list) -> bool:
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    return (isinstance(spec[0], list) or spec[0] in WIDGET_TYPES) and not options.get("forceInput")
