"""Where conditioning comes from, and whether every source of it is guarded. Linear in the workflow, no recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .flow import Point, carried
from .guards import ENCODING, FILTER, faults_of_guard
from .knowledge import Encoder, Knowledge, Source
from .policy import Policy
from .quality_words import only_quality_words
from .settle import Settled
from .workflow import Workflow
from .zeros import leaves_nothing

MOST_REASONS = 4  # kept for one input: more would neither help a reader nor take linear time
ZERO = "ConditioningZeroOut"


class State(NamedTuple):
    """Of conditioning on its way. reasons: why it is not guarded; guarded: some of it comes from a guard."""

    reasons: tuple[str, ...] = ()
    guarded: bool = False


class Judged(NamedTuple):
    """A point of the workflow, and as what its conditioning is judged.

    role: 'positive', 'negative' (quality words and zeros will do), 'zero', 'filtered' (what becomes of its text later)
    """

    point: Point
    role: str


CIRCLE = State(("its connections run in a circle",))


class States:
    """The state of the conditioning at every input of a workflow, by what is known of its nodes."""

    def __init__(self, workflow: Workflow, known: Knowledge, policy: Policy):
        self.workflow, self.known, self.policy = workflow, known, policy
        self.settled: Settled[Judged, State] = Settled(self._expand, CIRCLE)
        self._faults: dict[str, State] = {}  # of guards

    def at(self, node: str, source: Source, role: str) -> State:
        """The state at a source (an input, or a lane of the pipe in it) of `node`."""
        found = self._strays(node, [source])
        for point, _ in self._sources(node, [source], role):
            as_positive = Judged(point, "positive")  # what is good enough for a positive is for a negative
            clean = as_positive in self.settled and not self.settled[as_positive].reasons
            found.append(self.settled[as_positive if clean else Judged(point, role)])
        return merged(found)

    def _sources(self, node: str, sources: Iterable[Source], role: str) -> list[Judged]:
        """What is connected to `sources`."""
        found = []
        for source in sources:
            for name in source.names(self.workflow.inputs(node)):
                if link := self.workflow.link(node, name):
                    found.append(Judged(Point(*link, source.lane), role))
        return found

    def _strays(self, node: str, sources: Iterable[Source]) -> list[State]:
        """Of inputs that hold something else than a connection. One that is not there brings no prompt."""
        names = [name for source in sources for name in source.names(self.workflow.inputs(node))]
        return [
            State((f"input {name} of {self.workflow.label(node)} is no connection",))
            for name in names
            if not self.workflow.link(node, name)
        ]

    def _expand(self, judged: Judged) -> tuple[Sequence[Judged], Callable[[list[State]], State]]:
        """For Settled: what a point depends on, and how the states of that make its own."""
        point, role = judged
        kind = self.workflow.kind(point.node) if point.node in self.workflow else ""
        if kind == FILTER and point.slot == 0:  # it steers the prompt; a second text beside it stays
            faults = self._guard(point.node)
            return self._sources(point.node, [Source("conditioning")], "filtered"), lambda states: merged(
                [faults, *states]
            )
        sources = carried(self.workflow, self.known, point)
        if sources is None:
            made = self._made(point, kind, role)
            return (), lambda _: made
        if kind == ZERO and role == "negative":
            role = "zero"
        strays = self._strays(point.node, sources)
        return self._sources(point.node, sources, role), lambda states: merged([*strays, *states])

    def _made(self, point: Point, kind: str, role: str) -> State:
        """Of conditioning that a node makes itself."""
        label, facts = self.workflow.label(point.node), self.known.get(kind)
        if not kind:
            return State((f"{label} is not in the workflow",))
        if kind in ENCODING and point.slot == 0:
            return self._guard(point.node)
        if facts is None:
            return State((f"{label} is unknown to this check",))
        if facts.refused:
            return State((f"{label}: {facts.refused}",))
        encoder = facts.encodes.get((point.slot, point.lane))
        if facts.wordless or (encoder and self._says_nothing(point, encoder, role)):
            return State()
        if encoder and role == "zero":
            return State((f"{label} encodes with several text encoders, and not all of that becomes zero",))
        if encoder:
            return State((f"{label} encodes its text without the guard",))
        return State((f"{label} gives no conditioning at this output",))

    def _guard(self, node: str) -> State:
        if node not in self._faults:
            self._faults[node] = State(faults_of_guard(self.workflow, node, self.policy), True)
        return self._faults[node]

    def _says_nothing(self, point: Point, encoder: Encoder, role: str) -> bool:
        """Whether an unguarded encoding is harmless in this role: a list of faults of a picture, or zero later on."""
        if role == "filtered" or (role == "zero" and leaves_nothing(self.workflow, point.node, encoder)):
            return True
        inputs = self.workflow.inputs(point.node)
        plain = all(only_quality_words(inputs.get(name, "")) for name in encoder.texts)
        return plain and (role == "zero" or (role == "negative" and self.policy.faults))


def merged(states: Iterable[State]) -> State:
    """Of conditioning that is put together: every reason of any part, up to MOST_REASONS."""
    states = list(states)
    if len(states) == 1:
        return states[0]
    reasons = dict.fromkeys(reason for state in states for reason in state.reasons)
    return State(tuple(reasons)[:MOST_REASONS], any(state.guarded for state in states))
