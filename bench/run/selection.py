"""What of a benchmark to run, by the names on its command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Part = TypeVar("Part")


def choose(parts: list[Part], name: Callable[[Part], str], only: tuple[str, ...], kind: str) -> list[Part]:
    """Those of `parts` whose name holds one of `only`, all without `only`; ends the program where none does."""
    chosen = [part for part in parts if not only or any(word in name(part) for word in only)]
    if not chosen:
        raise SystemExit(f"bench: no {kind} is called {', '.join(only)}.")
    return chosen
