"""`python -m dev.generate.kinds FOLDER`: vocabulary/kinds.json, the kinds of things that English has words for.

FOLDER: the database files of WordNet 3.0 (data.noun, index.noun, cntlist.rev, ...; Debian: package wordnet-base). Its
licence stands in NOTICE. Left out: what is one of a kind (persons, places), Latin names, words that disparage people.
"""

from __future__ import annotations

import collections
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import setup_host

OUT = setup_host.ROOT / "vocabulary" / "kinds.json"
DESCRIPTION = (
    "Kinds of things in English, from WordNet 3.0. A line is a meaning: how deep it lies in the tree (a letter), and "
    "the words for it, the most usual first; each line belongs to the nearest one above that lies less deep. A digit "
    "behind a word says how many tenths of its use have this meaning; none: all of it."
)
PARTS = ("noun", "verb", "adj")
UP = {"noun": "@", "verb": "@", "adj": "&"}  # pointer to the kind; adjectives: to the one that they are similar to
INSTANCE, USAGE = "@i", ";u"
LATIN = re.compile(r"^(genus|family|order|class|phylum|suborder|superfamily|subfamily|tribe)_|aceae$|idae$")
DISPARAGING = re.compile(r"ethnic[_ ]slur|disparag|offensive|obscen|derogat|contempt|abusive", re.IGNORECASE)
DEEPEST = 25
SLUR = 0.3  # share of a word's use that disparages people, above which it is left out in every meaning
ABSTRACT = {"09", "16", "23", "24", "28"}  # files of nouns that no picture shows: cognition, motive, quantity, ...
ALONE = {"00", "01", "02"}  # files of adjectives and adverbs, whose meanings say nothing unless others are similar


class Meaning:
    """A synset. kinds: those that it is a kind of."""

    def __init__(self, part: str, line: str):
        fields, _, self.gloss = line.partition("|")
        fields = fields.split()
        count = int(fields[3], 16)
        self.file = fields[1]
        self.part, self.words = part, [word.removesuffix("(a)").removesuffix("(p)") for word in fields[4::2][:count]]
        start = 5 + 2 * count
        self.pointers = list(zip(fields[start::4], fields[start + 1 :: 4], strict=False))
        satellite = part != "adj" or fields[2] == "s"
        self.kinds = [number for sign, number in self.pointers if sign == UP[part]] if satellite else []

    @property
    def is_single(self) -> bool:
        return any(sign == INSTANCE for sign, _ in self.pointers)


def meanings(folder: Path) -> dict[tuple[str, str], Meaning]:
    """(part of speech, number) -> meaning."""
    return {
        (part, line[:8]): Meaning(part, line)
        for part in PARTS
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines()
        if not line.startswith("  ")
    }


def shares(folder: Path) -> dict[tuple[str, str, str], float]:
    """(word, part, number of a meaning) -> how much of the word's use has it, over all parts of speech.

    A meaning counts as often as it was met in tagged texts; half once, and less for later ones, where it was not.
    """
    met: collections.Counter = collections.Counter()
    parts = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}
    for line in (folder / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        key, place, count = line.split()
        word, _, rest = key.partition("%")
        met[word, parts.get(rest[0]), int(place)] += int(count)
    found: dict[str, dict[tuple[str, str], float]] = collections.defaultdict(dict)
    for part in PARTS:
        for line in (folder / f"index.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                fields = line.split()
                for place, number in enumerate(fields[-int(fields[2]) :], 1):
                    found[fields[0]][part, number] = met[fields[0], part, place] + 0.5 / place
    return {(word, *key): value / sum(own.values()) for word, own in found.items() for key, value in own.items()}


def lines(known: dict[tuple[str, str], Meaning], share: dict) -> Iterator[str]:
    """The tree, each kind before what belongs to it; of several kinds a meaning belongs to the first."""
    below, roots = collections.defaultdict(list), []
    slurs = _disparaging(known)
    slurring = {word.lower() for key in slurs for word in known[key].words if share.get((word.lower(), *key), 1) > SLUR}
    genera = {word.removeprefix("genus_") for meaning in known.values() for word in meaning.words if "genus_" in word}
    for key, meaning in known.items():
        if not meaning.is_single:
            (below[meaning.part, meaning.kinds[0]] if meaning.kinds else roots).append(key)

    def tree(key: tuple[str, str], depth: int, above: frozenset[str]) -> list[str]:
        named = above | {word.lower() for word in known[key].words}
        inside = [line for child in below[key] for line in tree(child, min(depth + 1, DEEPEST), named)]
        bare = key in slurs or known[key].file in ABSTRACT or (known[key].file in ALONE and depth == 0 and not inside)
        words = [] if bare else _words(known[key], key, share, genera, above)
        words = [word for word in words if word.rstrip("0123456789") not in slurring]
        return [chr(ord("a") + depth) + " ".join(words), *inside] if words or inside else []

    for root in roots:
        yield from tree(root, 0, frozenset())


def _disparaging(known: dict) -> set[tuple[str, str]]:
    """Meanings that are used to disparage people."""
    topics = {key for key, meaning in known.items() if any(DISPARAGING.search(word) for word in meaning.words)}
    numbers = {number for part, number in topics if part == "noun"}
    return {
        key
        for key, meaning in known.items()
        if DISPARAGING.search(meaning.gloss.split(";")[0])
        or any(sign.startswith(USAGE) and number in numbers for sign, number in meaning.pointers)
    }


def _words(meaning: Meaning, key: tuple[str, str], share: dict, genera: set[str], above: frozenset[str]) -> list[str]:
    """The words of a meaning, but those that say themselves what they are a kind of ('hunting rifle')."""
    if any(LATIN.search(word) for word in meaning.words):
        return []
    english = [word for word in meaning.words if not (word.split("_")[0] in genera and word[0].isupper())]
    out = []
    for word in dict.fromkeys(word.lower() for word in english if re.fullmatch(r"[A-Za-z][A-Za-z_'.-]*", word)):
        tenths = round(10 * share.get((word, *key), 1.0))
        if tenths and not ("_" in word and word.rpartition("_")[2] in above):
            out.append(word + (str(tenths) if tenths < 10 else ""))
    return out


def main() -> None:
    folder = Path(sys.argv[1])
    found = list(lines(meanings(folder), shares(folder)))
    data = {"name": "kinds", "description": DESCRIPTION, "version": 1, "meanings": found}
    OUT.write_text(json.dumps(data, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")
    print(f"{len(found)} meanings, {OUT.stat().st_size / 1e6:.2f} MB in {OUT}")


if __name__ == "__main__":
    main()
