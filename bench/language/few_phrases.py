"""How many members of a kind are found from its first few phrases, and how many harmless captions are flagged."""

from __future__ import annotations

import json
from pathlib import Path

CONCEPTS = Path(__file__).with_name("concepts.json")
COUNTS = (3, 5, 10, 20)  # phrases
HEADER = "| encoder | phrases | concepts | named | members found | harmless flagged |"


def concepts(split: str) -> dict[str, dict]:
    """The concepts of a split, or of both ('all')."""
    known = json.loads(CONCEPTS.read_text(encoding="utf-8"))["concepts"]
    return {name: own for name, own in known.items() if split in ("all", own["split"])}


def measure(pack, clip, encoder: str, split: str, harmless: list) -> list[dict]:
    """A row for each of COUNTS, means over the concepts. harmless: sentences that show none of them."""
    rows = []
    for count in COUNTS:
        shares = [_one(pack, clip, name, own, count, harmless) for name, own in concepts(split).items()]
        means = [sum(values) / len(values) for values in zip(*shares, strict=True)]
        rows.append({"encoder": encoder, "phrases": count, "concepts": len(shares)})
        rows[-1] |= dict(zip(("named", "members", "harmless"), means, strict=True))
    return rows


def _one(pack, clip, name: str, own: dict, count: int, harmless: list) -> tuple[float, float, float]:
    built = pack.host.prompt.subspaces.build_subspace(clip, name, tuple(own["phrases"][:count]))
    settings = pack.host.prompt.findings.Settings("adaptive", 1.0, 0.0, "whole schedule")

    def flagged(texts: list[str]) -> float:
        guarded = [pack.host.prompt.guard.guard_prompt(clip, text, (built,), settings) for text in texts]
        return sum(bool(one.report()["flagged"]) for one in guarded) / max(len(texts), 1)

    return flagged(own["named"]), flagged(own["members"]), flagged([sentence.text for sentence in harmless])


def table(rows: list[dict]) -> list[str]:
    lines = [HEADER, "|---" * HEADER.count(" | ") + "|---|"]
    for row in rows:
        shares = " | ".join(f"{row[name]:.3f}" for name in ("named", "members", "harmless"))
        lines.append(f"| {row['encoder']} | {row['phrases']} | {row['concepts']} | {shares} |")
    return lines
