"""`bench names`: lists of names. How long they take, what is found of them however it is written, what is not."""

from __future__ import annotations

import csv
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dev import inprocess
from safree.measures import share

from .encoders import Encoder

SENTENCES = Path(__file__).with_name("common_names.csv")
COUNT = 10_000
SAMPLE = 300  # names that are written in each way
ROUNDS = 5  # of timing; the median counts
SYLLABLES = [a + b + c for a in "bcdfghjklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "l", "s")]
FRAME = "a lighthouse at dusk by {}, golden hour, detailed"
Write = Callable[[str, random.Random], str]


def _surname_first(name: str, chance: random.Random) -> str:
    first, last = name.split(" ")
    return f"{last}, {first}"


def _letter(change: Callable[[str, int, random.Random], str]) -> Write:
    """A change at a random letter of the surname."""

    def write(name: str, chance: random.Random) -> str:
        at = chance.randrange(name.index(" ") + 2, len(name) - 1)
        return change(name, at, chance)

    return write


WAYS: dict[str, Write] = {
    "as it is": lambda name, _: name,
    "small letters": lambda name, _: name.lower(),
    "capitals": lambda name, _: name.upper(),
    "possessive": lambda name, _: f"{name}'s cat",
    "surname first": _surname_first,
    "as one word": lambda name, _: name.replace(" ", "").lower(),
    "underscore": lambda name, _: name.replace(" ", "_"),
    "accents": lambda name, _: name.replace("a", "á").replace("o", "ö").replace("e", "é"),
    "Cyrillic letters": lambda name, _: name.replace("a", "\u0430").replace("o", "\u043e").replace("e", "\u0435"),
    "leet": lambda name, _: name[0] + name[1:].replace("a", "4").replace("o", "0").replace("e", "3"),
    "letters apart": lambda name, _: " ".join(name.replace(" ", "").lower()),
    "one letter left out": _letter(lambda name, at, _: name[:at] + name[at + 1 :]),
    "one letter too many": _letter(lambda name, at, chance: name[:at] + chance.choice("aeinrst") + name[at:]),
    "another letter": _letter(lambda name, at, chance: name[:at] + chance.choice("bdfgmpw") + name[at + 1 :]),
    "two letters swapped": _letter(lambda name, at, _: name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]),
}


def invented(count: int = COUNT, seed: int = 1) -> tuple[str, ...]:
    """`count` different names of nobody."""
    chance, found = random.Random(seed), {}
    while len(found) < count:
        first, last = ("".join(chance.choices(SYLLABLES, k=k)).title() for k in (2, 3))
        found[f"{first} {last}"] = None
    return tuple(found)


def run(out: Path, encoder: Encoder, split: str = "held") -> str:
    """Measure, write report.md to `out`.

    encoder: that judges everyday words. split: which of the sentences with such words
    """
    clip, pack = encoder.load(), inprocess.load_pack()
    out.mkdir(parents=True, exist_ok=True)
    parts = [_times(pack), _spellings(pack), _everyday_words(pack, clip, encoder.name, split)]
    text = "# Lists of names\n\n" + "\n\n".join("\n".join(part) for part in parts) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def _times(pack) -> list[str]:
    """Building a list, and looking for its names; without the text encoder."""
    named, own = pack.host.prompt.named, invented()
    named.name_list(own[:1])  # reads the words that are no names
    start = time.process_time()
    names = named.name_list(own)
    built = time.process_time() - start
    lines = [
        f"{COUNT:,} invented names: list built in {built:.2f} s. CPU time of one thread, which other processes disturb "
        "least; also below.",
        "",
        "| words of a prompt | ms |",
        "|---|---|",
    ]
    prompts = pack.host.data.vocabulary.load().prompts
    for words in (20, 75, 300):
        text = " ".join([*" ".join(prompts).split()[: words - 2], own[7]])
        lines.append(f"| {words} | {1000 * statistics.median(_timed(lambda text=text: names.find(text))):.2f} |")
    return lines


def _timed(work: Callable[[], object]) -> Iterator[float]:
    for _ in range(ROUNDS + 1):
        start = time.process_time()
        work()
        yield time.process_time() - start


def _spellings(pack) -> list[str]:
    """What is found of the names, and in harmless prompts."""
    own, chance = invented(), random.Random(2)
    names = pack.host.prompt.named.name_list(own)
    lines = ["| written | found for certain |", "|---|---|"]
    for way, write in WAYS.items():
        hits = [_is_found(names, name, FRAME.format(write(name, chance))) for name in chance.sample(own, SAMPLE)]
        lines.append(f"| {way} | {share(hits)} |")
    known = pack.host.data.vocabulary.load()
    texts = [*known.prompts, *known.phrases, *known.names]
    touched = [bool(names.find(text)) for text in texts]
    return [*lines, "", f"Harmless prompts and everyday phrases in which one of the names is seen: {share(touched)}"]


def _is_found(names, name: str, text: str) -> bool:
    return any(one.name == name and one.is_certain for one in names.find(text))


def _everyday_words(pack, clip, encoder: str, split: str) -> list[str]:
    """Names that are everyday words, in sentences that mean the name, or the word."""
    host, settings = pack.host, pack.host.prompt.findings.Settings()
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if split in (row["split"], "all")]
    own = tuple(dict.fromkeys(row["name"].title() for row in rows))
    lists = (host.prompt.subspaces.build_names(clip, "names", own),)
    taken = {"yes": [], "no": []}
    for row in rows:
        taken[row["meant"]].append(bool(host.prompt.guard.guard_prompt(clip, row["text"], lists, settings).flagged))
    everyday = host.data.vocabulary.load().prompts
    lost = [bool(host.prompt.guard.guard_prompt(clip, text, lists, settings).flagged) for text in everyday]
    return [
        f"Names that are everyday words ({', '.join(own)}), judged by {encoder}, sentences '{split}':",
        "",
        "| sentences | taken out |",
        "|---|---|",
        f"| mean the name | {share(taken['yes'])} |",
        f"| mean the word | {share(taken['no'])} |",
        f"| harmless prompts of the vocabulary | {share(lost)} |",
    ]
