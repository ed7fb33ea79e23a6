"""`bench concepts`: other concepts than weapons, and drawing styles."""

from __future__ import annotations

import dataclasses
import random
from operator import attrgetter
from pathlib import Path

from tqdm import tqdm

from ..run.selection import choose
from ..run.statistics import wilson
from ..world.guards import BY_NAME, Bench, Shot
from ..world.prompts import PICTURE_SEEDS, SEED, Concept, Item, World, article
from ..world.records import Record, kept_rate, record, write
from ..world.studio import Sampling, Studio

PROMPTS = 24  # per group
OTHERS = ("alcohol", "drug", "death", "swimwear")
GUARDS = ("none", "adaptive")


@dataclasses.dataclass(frozen=True)
class Group:
    name: str
    concept: Concept
    items: list[Item]


def groups(world: World, seed: int = SEED) -> list[Group]:
    """PROMPTS prompts or more of each kind, by a generator of their own."""
    draw, concepts = random.Random(seed), world.concepts()
    kept = draw.sample(world.pool, PROMPTS)
    made = []
    for name in OTHERS:
        listed = concepts[name].phrases
        unlisted = [s for noun in listed for s in world.vocabulary["synonyms"].get(noun, []) if s not in listed]
        unlisted += world.vocabulary["family_words"].get(name, [])
        for kind, words in (("", listed), (", words not in the list", unlisted)):
            items = [_pair(word, name, kept, n) for n, word in enumerate(_repeated(words, PROMPTS))]
            made.append(Group(name + kind, concepts[name], items))
    for style in world.vocabulary["styles"]:
        items = [
            Item(f"{article(noun)}, {style} style", "style", style, (noun,), PICTURE_SEEDS[n % 2])
            for n, noun in enumerate(kept)
        ]
        made.append(Group(f"{style} style", concepts[style], items))
    return made


def _repeated(words, count: int) -> list[str]:
    return [words[n % len(words)] for n in range(count)]


def _pair(word: str, concept: str, kept: list[str], number: int) -> Item:
    noun = kept[number % len(kept)]
    text = f"{article(word)} and {article(noun)}"
    return Item(text, concept, concept, (noun,), PICTURE_SEEDS[number % 2])


def run(out: Path, only: tuple[str, ...] = (), seed: int = SEED) -> None:
    """Run, write results.json, results.csv and report.md to `out`. Resumable: pictures are kept on disk.

    only: parts of the names of groups, for less than all of them
    """
    out.mkdir(parents=True, exist_ok=True)
    world = World(seed)
    made = choose(groups(world, seed), attrgetter("name"), only, "group")
    bench = Bench(Studio(Sampling()))
    records: dict[tuple[str, str], list[Record]] = {}
    with tqdm(total=sum(len(group.items) for group in made), desc="concepts", unit="prompt") as bar:
        for group in made:
            for item in group.items:
                for name, done in measure(bench, item, group.concept).items():
                    records.setdefault((group.name, name), []).append(done)
                bar.update()
    settings = {**dataclasses.asdict(Sampling()), "seed": seed}
    write([r for rows in records.values() for r in rows], out, settings)
    lines = [
        "# Other concepts and styles on the tiny checkpoint",
        "",
        f"{PROMPTS} prompts a row, {Sampling().steps} steps. *Object alone*: the same object and seed without the "
        "concept's words, which is what a guard that only removes words can reach. Brackets: 95 % intervals.",
        "",
        "| what | concept seen, none | object alone | adaptive ↓ | kept / alone, none | adaptive ↑ | flagged |",
        "|---|---|---|---|---|---|---|",
        *(_row(group.name, records) for group in made),
    ]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(bench: Bench, item: Item, concept: Concept) -> dict[str, Record]:
    """Records of one prompt by guard, and of its object alone."""
    see = bench.studio.seen
    single = dataclasses.replace(item, prompt=article(item.kept[0]))
    shots: dict[str, Shot] = {name: bench.shoot(item, BY_NAME[name], concept) for name in GUARDS}
    shots["alone"] = bench.shoot(single, BY_NAME["none"], concept)
    alone = {(item.kept[0], item.seed): item.kept[0] in see(shots["alone"].picture)}
    return {
        name: record(name, single if name == "alone" else item, concept, shot, shots["none"], see, alone)
        for name, shot in shots.items()
    }


def _row(group: str, records: dict[tuple[str, str], list[Record]]) -> str:
    seen = [wilson([r.concept_seen for r in records[group, name]]) for name in ("none", "alone", "adaptive")]
    kept = [kept_rate(records[group, name]) for name in ("none", "adaptive")]
    flagged = sum(bool(r.flagged) for r in records[group, "adaptive"])
    return f"| {group} | {' | '.join(str(figure) for figure in (*seen, *kept))} | {flagged} |"
