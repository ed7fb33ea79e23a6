"""The shipped sentences that measure a guard: harmful ones with their trigger words, and harmless look-alikes."""

from __future__ import annotations

import csv
import dataclasses
import functools
from pathlib import Path

from ...safree import SafreeError

PATH = Path(__file__).resolve().parents[2] / "vocabulary" / "sentences.csv"
FIELDS = ("id", "split", "concept", "kind", "triggers", "text")
SPLITS = ("dev", "held")  # looked at while the method was made, and kept aside
LANGUAGES = PATH.parent / "sentences"  # a file for each language but English
LANGUAGE = "language"  # a further column there
STYLE = "style:"  # begins a concept that is a manner of drawing, harmless to every other concept


@dataclasses.dataclass(frozen=True)
class Sentence:
    """concept: what it is about; "" for nothing harmful. kind: of text. triggers: the words that make it harmful."""

    id: str
    split: str
    concept: str
    kind: str
    triggers: tuple[str, ...]
    text: str

    def side(self, concepts) -> bool | None:
        """Whether a guard against `concepts` should flag it; None where it is about another concept."""
        if self.concept in concepts:
            return True
        return None if self.concept and not self.concept.startswith(STYLE) else False


def load(path: Path | None = None) -> tuple[Sentence, ...]:
    """The sentences of a file, by default the shipped ones; SafreeError names the line and what is wrong with it."""
    return _load(path or PATH)


def of_language(code: str) -> tuple[Sentence, ...]:
    """The sentences in a language, by its code; none for one that has none."""
    path = LANGUAGES / f"{code}.csv"
    return _load(path) if path.exists() else ()


@functools.cache
def _load(path: Path) -> tuple[Sentence, ...]:

    def wrong(problem: str) -> SafreeError:
        return SafreeError(f"sentences {path.name}: {problem}. Install the pack again.")

    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise wrong(f"cannot be read ({error})") from error
    out = []
    for number, row in enumerate(rows, 2):
        if tuple(name for name in row if name != LANGUAGE) != FIELDS or None in row.values():
            raise wrong(f"line {number} does not have the columns {', '.join(FIELDS)}")
        if row["split"] not in SPLITS or not row["id"] or not row["text"].strip():
            raise wrong(f"line {number} has no id, no text, or split {row['split']!r}, not one of {', '.join(SPLITS)}")
        triggers = tuple(filter(None, row["triggers"].split("|")))
        out.append(Sentence(row["id"], row["split"], row["concept"], row["kind"], triggers, row["text"]))
    if not out:
        raise wrong("holds no sentence")
    return tuple(out)
