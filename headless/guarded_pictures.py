"""Whether every picture and video passes SafetyGate right before it is saved or shown, for policies that demand it.

Right before: what is guarded and then put together anew, as two halves of a picture, could show what no judge saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from .bounds import shown
from .knowledge import load
from .policy import Problem
from .workflow import Link, Workflow

GATE, LOADED, ZERO_SHOT = "SafetyGate", "LoadSafetyJudge", "ClipSafetyJudge"
ACTIONS = ("blur", "mosaic", "blank", "stop")  # 'pass' lets pictures through
MOST_CELLS = 8  # of blur and mosaic: with more, a picture can be made out
LEAST_RATE = 0.01  # of ClipSafetyJudge, its default; a smaller one finds less
LONGEST_CHAIN = 32  # judges, or subspaces of one
PLAIN = frozenset({"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "AUDIO"})  # types in which no picture leaves
VIDEO = {"CreateVideo": "images"}  # nodes that make a VIDEO of pictures and nothing else, with their input
OURS = "SAFREE"  # our own nodes show reports, and pictures of a few pixels


@dataclasses.dataclass(frozen=True)
class PictureTerms:
    """What must look at pictures. judges: of LoadSafetyJudge, by name; concept_sets: of ClipSafetyJudge."""

    judges: tuple[str, ...] = ()
    concept_sets: tuple[str, ...] = ()


def problems(workflow: Workflow, info: dict, terms: PictureTerms) -> Iterator[Problem]:
    """What leaves without the judges of `terms`. info: GET /object_info for the classes of the workflow."""
    known = load()
    for node in workflow.nodes:
        kind = workflow.kind(node)
        if not info.get(kind, {}).get("output_node") or (kind in known and known[kind].pack == OURS):
            continue
        for name, link in workflow.links(node):
            if reason := _why_unguarded(workflow, info, link, terms):
                yield Problem(node, kind, name, (reason,))


def _why_unguarded(workflow: Workflow, info: dict, link: Link, terms: PictureTerms) -> str:
    """Why what comes through a link to an output may show something; '' if it may not."""
    source, slot = link
    kind = _type(workflow, info, link)
    if kind in PLAIN:
        return ""
    if kind == "VIDEO" and (into := VIDEO.get(workflow.kind(source))):
        link = workflow.link(source, into)
        source, slot = link or ("", 0)
    if source not in workflow or workflow.kind(source) != GATE or slot != 0:
        return f"brings out {kind or 'something'} that does not come straight from {GATE}"
    return "; ".join(_faults(workflow, source, terms))


def _type(workflow: Workflow, info: dict, link: Link) -> str:
    """The type of an output; '' where the server does not say, 'COMBO' for a choice."""
    source, slot = link
    outputs = info.get(workflow.kind(source), {}).get("output", ()) if source in workflow else ()
    if not 0 <= slot < len(outputs):
        return ""
    return outputs[slot] if isinstance(outputs[slot], str) else "COMBO"


def _faults(workflow: Workflow, gate: str, terms: PictureTerms) -> list[str]:
    """Why one SafetyGate does not do what `terms` demand; empty if it does."""
    inputs, label, faults = workflow.inputs(gate), workflow.label(gate), []
    wanted = {"agree": "any", "regions": False, "every_nth": 1}
    faults += [
        f"{label} has {name} {shown(inputs.get(name))}; only {value!r} counts"
        for name, value in wanted.items()
        if type(inputs.get(name)) is not type(value) or inputs[name] != value
    ]
    if not isinstance(action := inputs.get("action"), str) or action not in ACTIONS:
        faults.append(f"{label} has action {shown(action)}; one of {', '.join(ACTIONS)} counts")
    if type(cells := inputs.get("cells")) is not int or not 1 <= cells <= MOST_CELLS:
        faults.append(f"{label} has cells {shown(cells)}; 1 to {MOST_CELLS} count")
    chain = _chain(workflow, gate, "judges")
    judges = {workflow.inputs(one).get("judge") for one in chain if _is_as_it_comes(workflow, one)}
    seen = {name for one in chain if _is_zero_shot(workflow, one) for name in _concept_sets(workflow, one)}
    faults += [
        f"{label} does not ask the judge {name!r} with threshold 0" for name in terms.judges if name not in judges
    ]
    faults += [
        f"{label} does not ask a {ZERO_SHOT} for {name!r} with rate {LEAST_RATE:g} or more"
        for name in terms.concept_sets
        if name not in seen
    ]
    return faults


def _chain(workflow: Workflow, node: str, name: str) -> list[str]:
    """The nodes that follow each other through inputs of one name, from that of `node` on."""
    found: list[str] = []
    link = workflow.link(node, name)
    while link and link[0] in workflow and link[0] not in found and len(found) < LONGEST_CHAIN:
        found.append(link[0])
        link = workflow.link(link[0], name)
    return found


def _is_as_it_comes(workflow: Workflow, node: str) -> bool:
    """Whether a node loads a judge by a name that stands in it, with the judge's own threshold."""
    inputs = workflow.inputs(node)
    own = type(inputs.get("threshold")) in (int, float) and inputs["threshold"] == 0
    return workflow.kind(node) == LOADED and own and isinstance(inputs.get("judge"), str)


def _is_zero_shot(workflow: Workflow, node: str) -> bool:
    rate = workflow.inputs(node).get("rate")
    return workflow.kind(node) == ZERO_SHOT and type(rate) is float and LEAST_RATE <= rate <= 1


def _concept_sets(workflow: Workflow, judge: str) -> list[str]:
    """The concept sets that a ClipSafetyJudge looks for."""
    chain = _chain(workflow, judge, "subspaces")
    names = [workflow.inputs(one).get("concept_set") for one in chain if workflow.kind(one) == "ConceptSubspace"]
    return [name for name in names if isinstance(name, str)]
