"""Everyday language, as data: phrases and harmless prompts that calibrate detection, and words that need none.

The files are in `vocabulary/`, each with its schema beside it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

from ...safree import SafreeError, plan

FOLDER = Path(__file__).resolve().parents[2] / "vocabulary"
FIELDS = {"name": str, "description": str, "version": int, "groups": dict}
FUNCTION, LOOK_ALIKES, IDENTITY = "function words", "idioms", "identity"  # groups with a meaning of their own
# Words that join others: no concept by themselves, half of a usual prompt, and each would cost an encoding.
JOINING = (
    "a an the this that these those and or but nor of in on at by to from with without into onto over under near next "
    "beside between behind through for as is are was were be it its his her their our my your he she they we i you "
    "some any each very s t no not who which like while"
)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """phrases: everyday ones; prompts: harmless ones; joining: function words; names: words that name people."""

    phrases: tuple[str, ...]
    prompts: tuple[str, ...]
    joining: frozenset[str]
    names: tuple[str, ...]
    look_alikes: frozenset[str]

    @functools.cached_property
    def compounds(self) -> plan.Matcher:
        """Everyday phrases of several words, and names of people: each is judged as one thing."""
        several = [phrase for phrase in (*self.phrases, *self.names) if " " in phrase or "-" in phrase]
        # 'double-decker' is written 'double decker' as well
        return plan.Matcher([*several, *self.names, *(phrase.replace("-", " ") for phrase in several)])


def groups(path: Path) -> dict[str, list[str]]:
    """The groups of a vocabulary file; SafreeError names the file, the field and what is wrong."""

    def wrong(field: str, problem: str) -> SafreeError:
        return SafreeError(f"vocabulary {path.name}: field {field!r} {problem}. Install the pack again.")

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SafreeError(f"vocabulary {path.name} cannot be read as JSON: {error}. Install the pack again.") from error
    if not isinstance(data, dict):
        raise wrong("(top level)", "is not an object")
    for field, kind in FIELDS.items():
        if not isinstance(data.get(field), kind) or isinstance(data.get(field), bool):
            raise wrong(field, f"is missing or not of type {kind.__name__}")
    for name, texts in data["groups"].items():
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise wrong(f"groups.{name}", "is not a list of texts")
    return data["groups"]


@functools.cache
def load(folder: Path = FOLDER) -> Vocabulary:
    """The shipped vocabulary; SafreeError for a damaged file."""
    everyday, harmless = groups(folder / "everyday.json"), groups(folder / "harmless.json")
    names = groups(folder / "identity.json")
    phrases = [phrase for name, part in everyday.items() if name != FUNCTION for phrase in part]
    return Vocabulary(
        tuple(dict.fromkeys(phrases)),
        tuple(dict.fromkeys(text for part in harmless.values() for text in part)),
        frozenset([*JOINING.split(), *(w for w in everyday.get(FUNCTION, []) if " " not in w)]),
        tuple(dict.fromkeys(name for part in names.values() for name in part)),
        frozenset(everyday.get(LOOK_ALIKES, [])),
    )
