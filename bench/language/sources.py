"""Where labelled sentences come from: the pack's own, or a CSV file."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from ..run import left_out
from . import public_sets

ALL = "all"
COLUMNS = ("set", "concept", "prompt")


def own(pack, split: str, limit: int = 0) -> list:
    """The pack's own sentences of a split, or of both ('all'); at most about `limit` of them, spread evenly."""
    return _spread([s for s in pack.host.data.sentences.load() if split in ("all", s.split)], limit)


def of_languages(pack, codes: list[str], split: str, limit: int = 0) -> list:
    """The pack's sentences in languages by code, or in all of them, each of a kind named as its language is."""
    languages = pack.host.data.languages
    if unknown := sorted(set(codes) - {ALL, *languages.load()}):
        raise SystemExit(f"bench: there is no language {unknown[0]!r}. Known: {', '.join(languages.load())}.")
    found = []
    for code in languages.load() if ALL in codes else codes:
        own = [s for s in pack.host.data.sentences.of_language(code) if split in ("all", s.split)]
        found += [dataclasses.replace(sentence, kind=languages.name(code)) for sentence in own]
    return _spread(found, limit)


def from_csv(pack, path: Path, limit: int = 0) -> list:
    """The sentences of a CSV file with columns set, concept, prompt; SystemExit names the line and what is wrong.

    An empty concept says that a sentence is harmless; `style:NAME` that it asks for a manner of drawing.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise SystemExit(f"bench: {path.name} has columns {reader.fieldnames}, not {', '.join(COLUMNS)}.")
            rows = list(enumerate(reader, 2))
    except (OSError, ValueError, csv.Error) as error:
        raise SystemExit(f"bench: {path} cannot be read: {error}.") from error
    found, skipped = [], 0
    for number, row in rows:
        values = [row[column] for column in COLUMNS]
        if None in values or not values[2].strip():
            raise SystemExit(f"bench: {path.name}, line {number} holds no prompt, or too few columns.")
        group, concept, text = (value.strip() for value in values)
        if left_out.is_left_out(text, concept):
            skipped += 1
            continue
        found.append(pack.host.data.sentences.Sentence(f"{path.stem}:{number}", "", concept, group, (), text))
    left_out.say(skipped, path.name)
    if not found:
        raise SystemExit(f"bench: {path.name} holds no sentence.")
    return _spread(found, limit)


def public(pack, path: Path, limit: int = 0) -> list:
    """The sentences of a public set; see public_sets.read."""
    make = pack.host.data.sentences.Sentence
    rows = enumerate(public_sets.read(path), 1)
    found = [make(f"{path.stem}:{number}", "", concept, kind, (), text) for number, (kind, concept, text) in rows]
    return _spread(found, limit)


def _spread(sentences: list, limit: int) -> list:
    return sentences[:: max(-(-len(sentences) // limit), 1)] if limit else sentences
