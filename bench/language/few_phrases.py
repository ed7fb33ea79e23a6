"""How many members of a kind are found from its first few phrases, and how many harmless captions are flagged."""

from __future__ import annotations

import json
from pathlib import Path

from .plain_judge import PlainJudge

CONCEPTS = Path(__file__).with_name("concepts.json")
COUNTS = (3, 5, 10, 20)  # phrases
HEADER = "| encoder | phrases | concepts | named | members found | harmless flagged |"


def concepts(split: str) -> dict[str, dict]:
    """The concepts of a split, or of both ('all')."""
    known = json.loads(CONCEPTS.read_text(encoding="utf-8"))["concepts"]
    return {name: own for name, own in known.items() if split in ("all", own["split"])}


def measure(pack, clip, encoder: str, split: str, harmless: list) -> list[dict]:
    """A row for each of COUNTS, means over the concepts. harmless: sentences that show none of them."""
    kinds, captions = concepts(split), [sentence.text for sentence in harmless]
    texts = [text for own in kinds.values() for text in (*own["named"], *own["members"])]
    judge, rows = PlainJudge(pack, clip, list(dict.fromkeys([*texts, *captions]))), []
    for count in COUNTS:
        shares = [_one(pack, clip, judge, name, own, count, captions) for name, own in kinds.items()]
        means = [sum(values) / len(values) for values in zip(*shares, strict=True)]
        rows.append({"encoder": encoder, "phrases": count, "concepts": len(shares)})
        rows[-1] |= dict(zip(("named", "members", "harmless"), means, strict=True))
    return rows


def _one(pack, clip, judge: PlainJudge, name: str, own: dict, count: int, captions: list[str]) -> list[float]:
    """Shares of the sentences that name the concept, of those with members, and of captions that are flagged."""
    built = pack.host.prompt.subspaces.build_subspace(clip, name, tuple(own["phrases"][:count]))
    groups = (own["named"], own["members"], captions)
    flagged = iter(judge.flagged(built, [text for group in groups for text in group]))
    return [sum(next(flagged) for _ in group) / max(len(group), 1) for group in groups]


def table(rows: list[dict]) -> list[str]:
    lines = [HEADER, "|---" * HEADER.count(" | ") + "|---|"]
    for row in rows:
        shares = " | ".join(f"{row[name]:.3f}" for name in ("named", "members", "harmless"))
        lines.append(f"| {row['encoder']} | {row['phrases']} | {row['concepts']} | {shares} |")
    return lines
