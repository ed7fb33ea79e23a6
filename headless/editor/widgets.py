"""Which widgets a node class has in the editor: its file holds their values by order alone. Standard library alone.

widgets.json beside this package tells it of the classes that are known; GET /object_info of a server of all that it
has. `python -m dev.generate.widgets` makes the former of the latter and of the editor itself.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

NOTHING = object()  # no default is known
CONTROLS = ("fixed", "increment", "decrement", "randomize")  # the widget after a seed, which is not sent
SEEDS = ("seed", "noise_seed")
# Types of inputs that the editor draws as widgets, and what a fresh one holds.
TYPES = {
    "INT": 0,
    "FLOAT": 0,
    "STRING": "",
    "BOOLEAN": False,
    "COMBO": None,
    "COLOR": "#ffffff",
    "COLORS": [],
    "CURVE": None,
    "RANGE": None,
    "BOUNDING_BOX": None,
    "BOUNDING_BOXES": [],
    "PAINTER": "",
    "COMPOSITOR": None,
    "TEXTAREA": "",
    "MARKDOWN": "",
    "LOAD_3D": "",
    "AUDIO_RECORD": "",
    "WEBCAM": "",
}
CHOICE = "COMFY_DYNAMICCOMBO_V3"  # a choice that brings widgets of its own, named 'choice.widget'
UPLOADS = ("image_upload", "animated_image_upload", "video_upload", "audio_upload")


@dataclasses.dataclass(frozen=True)
class Widget:
    """One widget. default: of a fresh node; NOTHING where nobody knows, None where it is the server's first file.

    sent: the server gets its value; the control after a seed and the upload button stay in the editor
    dynamic: a text with comments and choices {a|b}, which the editor resolves when it sends the workflow
    forced: an input that used to be a widget: older files still hold a value for it
    options: of a choice, the widgets that each of its values brings
    """

    name: str
    default: object = NOTHING
    sent: bool = True
    dynamic: bool = False
    forced: bool = False
    options: Mapping[str, tuple[Widget, ...]] | None = None

    @classmethod
    def read(cls, entry: list) -> Widget:
        """Of widgets.json: name, default, and what is unusual: "unsent", "dynamic", "forced", the ways of a choice."""
        name, default, *more = entry
        options = next((one for one in more if isinstance(one, dict)), None)
        ways = options and {value: tuple(map(cls.read, widgets)) for value, widgets in options.items()}
        return cls(name, default, "unsent" not in more, "dynamic" in more, "forced" in more, ways)


@functools.cache
def known_widgets() -> dict[str, tuple[Widget, ...]]:
    """The widgets of each class in widgets.json, in the order of their values."""
    table = json.loads(Path(__file__).parents[1].joinpath("widgets.json").read_text("utf-8"))
    return {kind: tuple(_widgets(entry)) for kind, entry in table.items()}


def _widgets(entry: list | str) -> Iterator[Widget]:
    """Of a class: an entry for each; of one of which the names are all that is known, these with '|' between them."""
    if isinstance(entry, list):
        return map(Widget.read, entry)
    return map(Widget, entry.split("|") if entry else ())


def names_of(kind: str) -> list[str]:
    """The names of the widgets of a known class whose values are sent; [] for others."""
    return [widget.name for widget in known_widgets().get(kind, ()) if widget.sent]


def widgets_of(info: dict) -> tuple[Widget, ...]:
    """The widgets of a class, in the order of their values, by an entry of /object_info."""
    groups = [(info.get("input") or {}).get(group) or {} for group in ("required", "optional")]
    uploads = any(_options(spec).get(name) for group in groups for spec in group.values() for name in UPLOADS)
    found = tuple(widget for group in groups for name, spec in group.items() for widget in _of_input(name, spec))
    return (*found, Widget("upload", "image", sent=False)) if uploads else found


def _of_input(name: str, spec: list) -> Iterator[Widget]:
    """The widget of an input, if it is one, and the control after it."""
    options = _options(spec)
    kind = options.get("widgetType", "COMBO" if isinstance(spec[0], list) else spec[0])
    if kind == CHOICE:
        yield _choice(name, options)
    elif kind in TYPES and options.get("forceInput"):
        yield Widget(name, None, sent=False, forced=True)
    elif kind in TYPES:
        choices = spec[0] if isinstance(spec[0], list) else options.get("options")
        default = options.get("default", choices[0] if choices else TYPES[kind])
        yield Widget(name, default, dynamic=bool(options.get("dynamicPrompts")))
        if options.get("control_after_generate", kind == "INT" and name in SEEDS):
            yield Widget("control_after_generate", "randomize", sent=False)


def _choice(name: str, options: dict) -> Widget:
    ways = {}
    for option in options["options"]:
        inputs = {**(option["inputs"].get("required") or {}), **(option["inputs"].get("optional") or {})}
        found = [widget for sub, spec in inputs.items() for widget in _of_input(f"{name}.{sub}", spec)]
        ways[option["key"]] = tuple(widget for widget in found if not widget.forced)
    return Widget(name, next(iter(ways), None), options=ways)


def _options(spec: list) -> dict:
    return spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
