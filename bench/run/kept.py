"""What a run measured, kept on disk one entry a line, so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tqdm import tqdm

from dev import setup_host


class Kept:
    """Entries on disk, one a line, by a digest of all that they depend on. A line cut short is measured again."""

    def __init__(self, path: Path):
        self.path, self._known = path, {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                self._known[entry.pop("key")] = entry
            except (ValueError, KeyError, AttributeError):
                continue
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n")

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> dict | None:
        return self._known.get(key)

    def add(self, key: str, entry: dict) -> None:
        self._known[key] = entry
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **entry}, ensure_ascii=False) + "\n")


def measure(pool, items: list, keys: list[str], kept: Kept, size: int, **bar) -> list[dict]:
    """The entry of each item, in order. What `kept` knows is not measured again; the rest goes to `pool` in shards.

    keys: of the items; those with the same key are measured once. size: items of a shard, 1 where the pool is not
    shared. bar: of tqdm
    """
    size = size if pool.shared else 1
    missing = list({key: i for i, key in enumerate(keys) if kept.get(key) is None}.values())
    shards = [missing[start : start + size] for start in range(0, len(missing), size)]
    with tqdm(total=len(items), initial=len(items) - len(missing), **bar) as shown:
        for number, entries in pool.measure([[items[i] for i in shard] for shard in shards]):
            for i, entry in zip(shards[number], entries, strict=True):
                kept.add(keys[i], entry)
            shown.update(len(entries))
    return [kept.get(key) for key in keys]


def digest(*values) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=16).hexdigest()


def method() -> str:
    """A digest of the code and data that detection consists of."""
    hashed = hashlib.blake2b(digest_size=8)
    for folder, ending in (
        ("safree", "py"),
        ("host", "py"),
        ("vocabulary", "json"),
        ("concept_sets/languages", "json"),
    ):
        for path in sorted((setup_host.ROOT / folder).rglob(f"*.{ending}")):
            hashed.update(path.read_bytes())
    return hashed.hexdigest()


def check_method(expected: str) -> None:
    """ValueError where this checkout would detect otherwise than the one whose `method()` is given."""
    if method() != expected:
        raise ValueError(
            f"the checkout at {setup_host.ROOT} differs from the one that the run was started from. Bring both to the "
            "same commit, without changes"
        )
