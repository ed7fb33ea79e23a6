"""The types of what goes through the links of a workflow, as far as anybody tells. Standard library alone.

They are told by the editor's file, which names the type of every slot; by a server (GET /object_info); by
link_types.json, of ComfyUI's own classes; and by what packs/*.json say of conditioning.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from .knowledge import Knowledge
from .workflow import Workflow

ANY = ("*", "")
Drawn = dict[tuple[str, int | str], str]  # types that an editor's file names: by (node, output slot) or (node, input)


@functools.cache
def known_types() -> dict[str, tuple[dict[str, str], list[str]]]:
    """(types of the inputs by name, but for numbers and texts; of the outputs) of each class in link_types.json."""
    return json.loads(Path(__file__).with_name("link_types.json").read_text("utf-8"))


class LinkTypes:
    """drawn: what the editor's file says of the nodes of `workflow`, where they come from one"""

    def __init__(self, workflow: Workflow, known: Knowledge, object_info: dict, drawn: Drawn | None = None):
        self.workflow, self.known, self.info, self.drawn = workflow, known, object_info, drawn or {}

    def of_link(self, user: str, name: str) -> str | None:
        """The type of what arrives at an input; None where neither of its ends tells."""
        link = self.workflow.link(user, name)
        given = self.of_output(*link) if link else None
        return given or self.of_input(user, name)

    def of_output(self, node: str, slot: int) -> str | None:
        if node not in self.workflow:
            return None
        return _first(self.drawn.get((node, slot)), self.declared_output(node, slot)) or self._encoded(node, slot)

    def of_input(self, node: str, name: str) -> str | None:
        return _first(self.drawn.get((node, name)), self.declared_input(node, name)) or self._drawn_with(node, name)

    def declared_output(self, node: str, slot: int) -> str | None:
        """What the schema of a class says, the server's or ComfyUI's own."""
        kind = self.workflow.kind(node) if node in self.workflow else ""
        told = _at((self.info.get(kind) or {}).get("output") or [], slot)
        return _first(told, _at(known_types().get(kind, ({}, []))[1], slot))

    def declared_input(self, node: str, name: str) -> str | None:
        kind = self.workflow.kind(node)
        table = known_types().get(kind)
        return _first(_input(self.info.get(kind) or {}, name), _of_name(table[0], name) if table else None)

    def _encoded(self, node: str, slot: int) -> str | None:
        """CONDITIONING, or a pipe with it, where packs/*.json say that a class encodes a prompt there."""
        facts = self.known.get(self.workflow.kind(node))
        lanes = [lane for place, lane in facts.encodes if place == slot] if facts else []
        piped = facts is not None and isinstance(facts.carries.get(slot), dict)
        return "CONDITIONING" if "" in lanes else "PIPE" if lanes or piped else None

    def _drawn_with(self, node: str, name: str) -> str | None:
        """The same of what a class samples with."""
        facts = self.known.get(self.workflow.kind(node))
        sources = (*facts.samples.positive, *facts.samples.negative) if facts and facts.samples else ()
        lanes = {source.lane for source in sources if source.input == name}
        return "CONDITIONING" if "" in lanes else "PIPE" if lanes else None


def _first(*kinds) -> str | None:
    return next((kind for kind in kinds if isinstance(kind, str) and kind not in ANY), None)


def _at(kinds: list, slot: int) -> str | None:
    kind = kinds[slot] if 0 <= slot < len(kinds) else None
    return "COMBO" if isinstance(kind, list) else kind


def _input(info: dict, name: str) -> str | None:
    groups = [(info.get("input") or {}).get(group) or {} for group in ("required", "optional")]
    spec = next((group[name] for group in groups if name in group), None)
    return None if not spec else "COMBO" if isinstance(spec[0], list) else spec[0]


def _of_name(kinds: dict[str, str], name: str) -> str | None:
    """The type of an input; 'images.image3' is one of 'images.*'. Those of numbers and texts are not in the table."""
    return kinds.get(name) or kinds.get(f"{name.split('.')[0]}.*") or "STRING"
