"""What the nodes share."""

from __future__ import annotations

import contextlib
import json

from comfy_api.latest import io

from ..safree import SafreeError

CATEGORY = "SAFREE"
ALIASES = ["nsfw", "safety", "safe", "unlearn", "concept erasure", "negative", "censor", "SAFREE"]
ConceptSubspaces = io.Custom("CONCEPT_SUBSPACE")  # tuple[ConceptSubspace, ...]


@contextlib.contextmanager
def naming(node: type[io.ComfyNode]):
    """Put the node's name before the text of a SafreeError."""
    try:
        yield
    except SafreeError as error:
        raise SafreeError(f"{node.define_schema().node_id}: {error}") from error


def as_json(report: dict) -> str:
    return json.dumps(report, indent=1, ensure_ascii=False)
