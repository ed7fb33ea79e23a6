"""What `bench unasked` writes down of each case, which its report reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

GUARD, SECOND = "latent guard", "latent guard, second look"


@dataclasses.dataclass(frozen=True)
class Row:
    """What a guard made of a case. seen: the concept. found_at: the step at which the latent guard found it.

    given: whether it found it in the picture given;  looked: presence in the result, before a second look drew again
    """

    way: str
    guard: str
    prompt: str
    kept_object: str
    seed: int
    denoise: float
    seen: bool
    kept: bool
    unchanged: bool
    found_at: int = 0
    given: bool = False
    looked: float = 0.0


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
