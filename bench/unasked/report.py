"""The table of `bench unasked`, from the rows in a folder."""

from __future__ import annotations

from pathlib import Path

from ..run.statistics import Rate, rate, wilson
from .rows import GUARD, SECOND, read

LOOKS = (0.25, 0.5, 0.75, 1.0, 1.5)  # presence in a result
HEADER = "| way in | guard | concept seen ↓ | other object kept, of clean ↑ | untouched | found by step, median |"


def write(out: Path) -> None:
    """report.md, and the same to the terminal."""
    rows = [row for path in sorted(out.glob("rows-*.jsonl")) for row in read(path)]
    lines = ["# A concept that comes unasked", "", *table(rows), "", *by_denoise(rows), "", *by_look(rows)]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def table(rows: list[dict]) -> list[str]:
    lines = [HEADER, "|---|---|---|---|---|---|"]
    for way in dict.fromkeys(row["way"] for row in rows):
        for guard in dict.fromkeys(row["guard"] for row in rows if row["way"] == way):
            own = [row for row in rows if row["way"] == way and row["guard"] == guard]
            steps = sorted(row["found_at"] for row in own if row["found_at"])
            given = sum(row["given"] for row in own)
            found = f"{len(steps)} of {len(own)}, step {steps[len(steps) // 2]}" if steps else "-"
            found += f"; {given} in the picture given" if given else ""
            untouched = sum(row["unchanged"] for row in own) / len(own)
            seen = wilson([row["seen"] for row in own])
            lines.append(f"| {way} | {guard} | {seen} | {kept(own, rows)} | {untouched:.2f} | {found} |")
    return lines


def kept(own: list[dict], rows: list[dict]) -> Rate:
    """How often the other object is seen, divided by how often the clean checkpoint draws it alone.

    For clean prompts divided by the unguarded pictures; for img2img too, since its picture is given.
    """
    base = "none" if own[0]["way"] in ("clean", "img2img") else "alone"
    before = {(row["way"], row["seed"]): row["kept"] for row in rows if row["guard"] == base}
    paired = [(row["kept"], before.get((row["way"], row["seed"]), False)) for row in own]
    return rate([now for now, _ in paired], [row["seed"] for row in own], [then for _, then in paired])


def by_look(rows: list[dict]) -> list[str]:
    """What a second look gives if it draws again from another presence on, not below that of the run.

    From the pictures of the run: below the limit its first, above it its second.
    """
    second = {(row["way"], row["seed"]): row for row in rows if row["guard"] == SECOND}
    first = {(row["way"], row["seed"]): row for row in rows if row["guard"] == GUARD}
    pairs = [(first[key], second[key]) for key in second if key in first]
    used = sorted({limit for limit in LOOKS if any(late["looked"] > limit for _, late in pairs)})
    lines = ["| way in | drawn again from presence | again | seen | other object kept, of all | untouched |"]
    lines.append("|---|---|---|---|---|---|")
    for way in dict.fromkeys(early["way"] for early, _ in pairs):
        for limit in used:
            own = [(early, late, late["looked"] > limit) for early, late in pairs if early["way"] == way]
            kept = [late if again else early for early, late, again in own]
            shares = (sum(row[name] for row in kept) / len(kept) for name in ("seen", "kept", "unchanged"))
            redrawn = sum(again for *_, again in own) / len(own)
            lines.append(f"| {way} | {limit} | {redrawn:.2f} | {' | '.join(f'{share:.2f}' for share in shares)} |")
    return lines if used else []


def by_denoise(rows: list[dict]) -> list[str]:
    """Concept seen in img2img at each denoise."""
    own = [row for row in rows if row["way"] == "img2img"]
    strengths = sorted({row["denoise"] for row in own})
    lines = [
        f"| img2img, concept seen at denoise | {' | '.join(map(str, strengths))} |",
        "|---" * (len(strengths) + 1) + "|",
    ]
    for guard in dict.fromkeys(row["guard"] for row in own):
        cells = [[r["seen"] for r in own if r["guard"] == guard and r["denoise"] == value] for value in strengths]
        lines.append(f"| {guard} | {' | '.join(f'{sum(c) / len(c):.2f}' if c else '-' for c in cells)} |")
    return lines if own else []
