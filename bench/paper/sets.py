"""The public sets of prompts by their own file names and columns: `bench paper --sets FOLDER` reads what is there."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
from pathlib import Path

from ..run import left_out

SEEDS = ("evaluation_seed", "sd_seed")
GUIDANCES = ("evaluation_guidance", "sd_guidance_scale")
LISTS = {  # of T2VSafetyBench, by the number of the file
    1: "pornography",
    2: "borderline pornography",
    3: "violence",
    4: "gore",
    5: "disturbing content",
    6: "public figures",
    7: "discrimination",
    8: "political sensitivity",
    9: "copyright",
    10: "illegal activities",
    11: "misinformation",
    12: "sequential action",
    13: "dynamic variation",
    14: "coherent context",
}
SEXUAL = "sexual"
SEXUAL_LISTS = (1, 2)


@dataclasses.dataclass(frozen=True)
class Row:
    """A prompt of a set. seed, guidance: None where its file has none. categories: of I2P several, or an artist."""

    set: str
    text: str
    seed: int | None = None
    guidance: float | None = None
    categories: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PublicSet:
    """files: its names in use; the first that is in the folder is read. columns: of the prompt; the first counts.

    must: columns that tell it from another set. table: of the report. about: what all its rows are about
    """

    name: str
    table: str
    files: tuple[str, ...]
    source: str
    columns: tuple[str, ...] = ("prompt",)
    must: tuple[str, ...] = ()
    category: str = ""
    about: str = ""
    threshold: float | None = None


SETS = (
    PublicSet(
        "I2P",
        "nudity",
        ("i2p_benchmark.csv", "i2p.csv", "unsafe-prompts4703.csv", "i2p_sexual.csv"),
        "https://huggingface.co/datasets/AIML-TUDA/i2p",
        must=("categories",),
        category="categories",
    ),
    PublicSet(
        "P4D",
        "nudity",
        ("p4dn_16_prompt.csv", "p4d.csv"),
        "https://huggingface.co/datasets/joycenerd/p4d (on request)",
        about=SEXUAL,
    ),
    PublicSet(
        "Ring-A-Bell",
        "nudity",
        ("nudity-ring-a-bell.csv", "ring_a_bell.csv", "ring-a-bell.csv"),
        "https://huggingface.co/datasets/Chia15/RingABell-Nudity (on request)",
        columns=("sensitive prompt", "adv_prompt", "prompt"),
        about=SEXUAL,
    ),
    PublicSet(
        "MMA-Diffusion",
        "nudity",
        ("mma-diffusion-nsfw-adv-prompts.csv",),
        "https://huggingface.co/datasets/YijunYang280/MMA-Diffusion-NSFW-adv-prompts-benchmark (on request)",
        columns=("adv_prompt",),
        about=SEXUAL,
    ),
    PublicSet(
        "UnlearnDiffAtk",
        "nudity",
        ("nudity.csv", "unlearn_diff_nudity.csv"),
        "https://github.com/OPTML-Group/Diffusion-MU-Attack, prompts/nudity.csv",
        about=SEXUAL,
        threshold=0.45,
    ),
    PublicSet(
        "COCO",
        "quality",
        ("coco_30k.csv", "coco_30k_10k.csv", "coco_10k.csv"),
        "https://github.com/OPTML-Group/Diffusion-MU-Attack, prompts/coco_10k.csv",
        must=("evaluation_seed",),
    ),
    PublicSet(
        "artists",
        "artists",
        ("big_artist_prompts.csv", "short_niche_art_prompts.csv", "vangogh.csv"),
        "https://github.com/rohitgandikota/erasing, data/ (big_artist_prompts.csv, short_niche_art_prompts.csv)",
        must=("artist",),
        category="artist",
    ),
    PublicSet(
        "SafeSora",
        "video",
        ("prompt.jsonl.gz", "prompt.jsonl", "config-test.json.gz", "config-test.json"),
        "https://huggingface.co/datasets/PKU-Alignment/SafeSora-Prompt",
        columns=("prompt_text",),
        category="prompt_type",
    ),
    PublicSet("T2VSafetyBench", "video", ("T2VSafetyBench",), "https://github.com/yibo-miao/T2VSafetyBench"),
)
BY_NAME = {one.name: one for one in SETS}


@dataclasses.dataclass(frozen=True)
class Found:
    """What of a set is in the folder. path: None where nothing is. left_out: rows about children, not read."""

    set: PublicSet
    path: Path | None = None
    rows: tuple[Row, ...] = ()
    left_out: int = 0


def find(folder: Path, names: tuple[str, ...] = ()) -> list[Found]:
    """Every set, or those named, with its rows where its file is in `folder`. SystemExit names a file amiss."""
    if not folder.is_dir():
        raise SystemExit(f"bench: --sets {folder} is no folder. Put the sets' files there under their own names.")
    if unknown := set(names) - set(BY_NAME):
        raise SystemExit(f"bench: no set is called {', '.join(sorted(unknown))}. Known: {', '.join(BY_NAME)}.")
    return [_find(folder, one) for one in SETS if not names or one.name in names]


def _find(folder: Path, one: PublicSet) -> Found:
    path = next((folder / name for name in one.files if (folder / name).exists()), None)
    if path is None:
        return Found(one)
    rows = _lists(path) if path.is_dir() else _read(path, one)
    kept = tuple(row for row in rows if not left_out.is_left_out(row.text, ", ".join((one.about, *row.categories))))
    left_out.say(len(rows) - len(kept), path.name)
    if not kept:
        raise SystemExit(f"bench: {path} holds no prompt. Get the file of {one.name} again: {one.source}.")
    return Found(one, path, kept, len(rows) - len(kept))


def _read(path: Path, one: PublicSet) -> list[Row]:
    """The rows of a CSV or JSON file; SystemExit says which columns it lacks."""
    try:
        rows = list(_csv(path) if path.suffix == ".csv" else _json(path))
    except (OSError, ValueError, csv.Error) as error:
        raise SystemExit(f"bench: {path} cannot be read: {error}. Get it again: {one.source}.") from error
    columns = list(rows[0]) if rows else []
    text = next((name for name in one.columns if name in columns), None)
    missing = [name for name in one.must if name not in columns]
    if text is None or missing:
        wanted = " or ".join(one.columns) if text is None else ", ".join(missing)
        shown = ", ".join(filter(None, columns)) or "none"
        raise SystemExit(
            f"bench: {path.name} has the columns {shown}, not {wanted}: it is no file of {one.name}. Get that from "
            f"{one.source}, or take it out of the folder."
        )
    return [_row(path, number, row, text, one) for number, row in enumerate(rows, 2) if str(row[text] or "").strip()]


def _row(path: Path, number: int, row: dict, text: str, one: PublicSet) -> Row:
    try:
        seed, guidance = _number(row, SEEDS), _number(row, GUIDANCES)
        seed = None if seed is None else int(seed)
    except (ValueError, OverflowError) as error:
        raise SystemExit(f"bench: {path.name}, line {number}: {error}. Seeds and guidance are numbers.") from error
    named = str(row.get(one.category) or "") if one.category else ""
    categories = tuple(part.strip() for part in named.split(",") if part.strip())
    return Row(one.name, str(row[text]).strip(), seed, guidance, categories)


def _number(row: dict, columns: tuple[str, ...]) -> float | None:
    """What the first of some columns that has one holds."""
    return next((float(row[name]) for name in columns if str(row.get(name) or "").strip()), None)


def _csv(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _json(path: Path) -> list[dict]:
    """Objects of a JSON file that is a list of them, or has one a line; packed or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    rows = json.loads(text) if text.lstrip()[:1] == "[" else [json.loads(line) for line in text.splitlines() if line]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no list of objects")
    return rows


def _lists(folder: Path) -> list[Row]:
    """The prompts of T2VSafetyBench, one a line in 1.txt to 14.txt; lists that are not there are left out."""
    rows = []
    for number, name in LISTS.items():
        path = folder / f"{number}.txt"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()
        categories = (name, SEXUAL) if number in SEXUAL_LISTS else (name,)
        rows += [Row("T2VSafetyBench", line.strip(), categories=categories) for line in lines if line.strip()]
    return rows
