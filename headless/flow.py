"""Where the conditioning of a workflow comes from: back through the nodes, and the lanes of pipes, that pass it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from .editor.widgets import names_of
from .guards import GUARDS
from .knowledge import Knowledge, Source
from .workflow import Link, Workflow


class Point(NamedTuple):
    """An output slot of a node; `lane` names what is meant of a pipe, '' the whole."""

    node: str
    slot: int
    lane: str = ""


def carried(workflow: Workflow, known: Knowledge, point: Point) -> tuple[Source, ...] | None:
    """The inputs that pass through `point`, with the lane that is meant of each; None where it begins."""
    facts = known.get(workflow.kind(point.node)) if point.node in workflow else None
    slot = facts.carries.get(point.slot) if facts else None
    if slot is None:
        return None
    if not isinstance(slot, tuple) and point.lane in slot:
        return effective(workflow, point.node, slot[point.lane])
    if not isinstance(slot, tuple):  # a pipe that adds lanes to another one; the whole pipe is no conditioning
        slot = slot.get("*", ()) if point.lane else None
    return slot and effective(workflow, point.node, slot, point.lane)


def effective(workflow: Workflow, node: str, sources: Iterable[Source], lane: str = "") -> tuple[Source, ...]:
    """`sources` without fallbacks that others take the place of; one that names no lane means `lane`."""
    found: list[Source] = []
    for source in sources:
        names = [name for one in found for name in one.names(workflow.inputs(node))]
        if not (source.fallback and any(workflow.link(node, name) for name in names)):
            found.append(Source(source.input, source.lane or lane))
    return tuple(found)


@dataclasses.dataclass
class Trace:
    """What leads to some inputs: where it begins, and every (node, input, lane) on the way, those inputs included."""

    ends: set[Point] = dataclasses.field(default_factory=set)
    inputs: set[tuple[str, str, str]] = dataclasses.field(default_factory=set)

    def follow(self, workflow: Workflow, known: Knowledge, node: str, sources: Iterable[Source]) -> None:
        """Add what leads to `sources` of `node`. Each point is looked at once."""
        waiting = self._enter(workflow, node, effective(workflow, node, sources))
        seen = set()
        while waiting:
            point = waiting.pop()
            if point in seen:
                continue
            seen.add(point)
            sources = carried(workflow, known, point)
            if sources is None:
                self.ends.add(point)
            else:
                waiting += self._enter(workflow, point.node, sources)

    def _enter(self, workflow: Workflow, node: str, sources: Iterable[Source]) -> list[Point]:
        found = []
        for source in sources:
            for name in source.names(workflow.inputs(node)):
                if link := workflow.link(node, name):
                    self.inputs.add((node, name, source.lane))
                    found.append(Point(*link, source.lane))
        return found


def consumers(workflow: Workflow, link: Link) -> list[tuple[str, str]]:
    """(node, input) of everything that an output slot is connected to."""
    return [(node, name) for node in workflow.nodes for name, other in workflow.links(node) if other == link]


def is_conditioning(workflow: Workflow, known: Knowledge, point: Point) -> bool:
    """Whether CONDITIONING comes out of `point`, or may, for all that is known."""
    if point.node not in workflow:
        return True
    kind = workflow.kind(point.node)
    facts = known.get(kind)
    if facts is None or facts.wordless:
        return True
    made = (point.slot, point.lane) in facts.encodes or (kind in GUARDS and point.slot == 0)
    return made or point.slot in facts.carries or bool(facts.refused and not facts.samples)


PRIMITIVES = ("PrimitiveFloat", "PrimitiveInt")  # ComfyUI's own nodes that give the number in `value`
NUMBERS = ("value", "Value", "float", "int", "number", "Number", "val", "float_value", "int_value")  # of other packs
LONGEST = 32  # nodes between a number and where it is used


def number(workflow: Workflow, known: Knowledge, node: str, name: str, primitives_only: bool = False):
    """The value of an input, read from the node that gives it where it is connected; None where nothing says it.

    primitives_only: believe ComfyUI's own primitive nodes alone, not switches and number nodes of other packs
    """
    asked = name
    for _ in range(LONGEST):
        link = workflow.link(node, name)
        if link is None:
            return workflow.inputs(node).get(name)
        node, slot = link
        kind = workflow.kind(node) if node in workflow else ""
        if kind in PRIMITIVES:
            name = "value"
        elif kind not in known or primitives_only:
            return None
        else:
            names = _inputs_with_number(workflow, known, Point(node, slot), asked)
            if len(names) != 1:
                return None
            (name,) = names
    return None


def _inputs_with_number(workflow: Workflow, known: Knowledge, point: Point, asked: str) -> list[str]:
    """The inputs that the number at `point` comes from: all that a switch passes on, or the first that names it."""
    inputs = workflow.inputs(point.node)
    passed = carried(workflow, known, point)
    if passed is not None:
        return [name for source in passed for name in source.names(inputs)]
    declared = names_of(workflow.kind(point.node)) or inputs  # a server takes no others, whatever a workflow says
    return [name for name in (asked, *NUMBERS) if name in inputs and name in declared][:1]
