"""What the editor makes of the values that its file holds for the widgets of a node. Standard library alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .widgets import CONTROLS, NOTHING, Widget


class Value(NamedTuple):
    """The value of a widget. place: its index in the file, None where it is the default of one that is not there."""

    widget: Widget
    value: object
    place: int | None


def restored(widgets: Sequence[Widget], values: list) -> Iterator[Value]:
    """The widgets that a node has with these values, in order; a choice brings widgets of its own."""
    places = _places(widgets, values)
    waiting = [widget for widget in widgets if not widget.forced]
    told = all(widget.default is not NOTHING for widget in waiting)  # and so where the controls stand
    while waiting:
        widget = waiting.pop(0)
        place = next(places, None)
        value = widget.default if place is None else values[place]
        if value is None and widget.default is not NOTHING:
            value = widget.default
        if value is NOTHING:
            return
        yield Value(widget, value, place)
        if widget.options is not None:
            waiting[:0] = widget.options.get(value, ()) if isinstance(value, str) else ()
        if not told and place is not None and _has_control(widget, values, place):
            next(places, None)


def _places(widgets: Sequence[Widget], values: list) -> Iterator[int]:
    """The places of the values that count: an older file has one for each input that used to be a widget, too."""
    if any(widget.forced for widget in widgets) and len(widgets) == len(values):
        return iter([place for place, widget in enumerate(widgets) if not widget.forced])
    return iter(range(len(values)))


def _has_control(widget: Widget, values: list, place: int) -> bool:
    """Whether the value after that of a seed is its control, by the look of it."""
    number = isinstance(values[place], (int, float)) and "seed" in widget.name.lower()
    return number and place + 1 < len(values) and values[place + 1] in CONTROLS


def controls_among(values: list) -> int:
    """How many of `values` look like controls after a seed."""
    return sum(1 for before, value in itertools.pairwise(values) if value in CONTROLS and isinstance(before, int))


def as_sent(value):
    """A value as the editor sends it: a list would be read as a connection."""
    return {"__value__": value} if isinstance(value, list) else value
