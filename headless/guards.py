"""Whether one SafreeConditioning, with the subspaces that it gets, guards as a policy demands."""

from __future__ import annotations

from .bounds import shown
from .policy import Policy
from .workflow import Link, Workflow

GUARD, MULTI, PICTURE = "SafreeConditioning", "SafreeMultiTextConditioning", "SafreePictureConditioning"
FILTER = "SafreeFilterConditioning"
ENCODING = (GUARD, MULTI, PICTURE)  # they encode the prompt themselves
GUARDS = (*ENCODING, FILTER)  # their first output is guarded CONDITIONING
PHRASES_ONLY = "(phrases only)"  # of ConceptSubspace
MOST_FAULTS = 4  # of one guard that are told
LONGEST_CHAIN = 32  # subspaces of one guard: a limit keeps the check linear


def faults_of_guard(workflow: Workflow, node: str, policy: Policy) -> tuple[str, ...]:
    """Why a SafreeConditioning or SafreeFilterConditioning does not count; empty if it does."""
    if workflow.kind(node) == FILTER and not policy.filters:
        return (f"{workflow.label(node)} is weaker than {GUARD}, and this policy does not accept it",)
    faults = [*_no_texts(workflow, node), *_subspaces(workflow, node, policy), *_weak(workflow, node, policy)]
    if workflow.kind(node) in ENCODING and not policy.any_mode:
        inputs, label = workflow.inputs(node), workflow.label(node)
        if inputs.get("mode") != "adaptive":
            faults.append(f"{label} has mode {shown(inputs.get('mode'))}, which lets much pass; only 'adaptive' counts")
        if inputs.get("self_validation") not in ("auto", "whole schedule"):
            faults.append(
                f"{label} has self_validation {shown(inputs.get('self_validation'))}, which ends the filter early"
            )
    return tuple(faults)


def _no_texts(workflow: Workflow, node: str) -> list[str]:
    """Texts that are none: nobody can say what a server makes of them."""
    inputs, label = workflow.inputs(node), workflow.label(node)
    names = [name for name in inputs if name == "text" or name.startswith("text_")]
    wrong = [name for name in names if not isinstance(inputs[name], str) and not workflow.link(node, name)]
    return [f"{label} has {shown(inputs[name])} for {name}, which is no text" for name in wrong]


def _weak(workflow: Workflow, node: str, policy: Policy) -> list[str]:
    inputs, label, faults = workflow.inputs(node), workflow.label(node), []
    if not at_least(inputs.get("strength"), policy.strength):
        faults.append(f"{label} has strength {shown(inputs.get('strength'))}, less than {policy.strength:g}")
    if not policy.any_mode and inputs.get("threshold") != 0:
        faults.append(f"{label} has threshold {shown(inputs.get('threshold'))}; only 0, automatic, counts")
    return faults


def _subspaces(workflow: Workflow, node: str, policy: Policy) -> tuple[str, ...]:
    """Why the subspaces of a guard do not do; empty if they do."""
    names, faults, seen = set(), [], set()
    link = workflow.link(node, "subspaces")
    while link and link[0] in workflow and link[0] not in seen:
        source = link[0]
        seen.add(source)
        if len(seen) > LONGEST_CHAIN:
            return (f"{workflow.label(node)} has more than {LONGEST_CHAIN} subspaces, too many to follow",)
        fault = _subspace_fault(workflow, source, workflow.link(node, "clip"), policy)
        faults += [fault] if fault else []
        if not fault and workflow.kind(source) != "SaveConceptSubspace":
            names.add(
                workflow.inputs(source).get("concept_set") if workflow.kind(source) == "ConceptSubspace" else "a file"
            )
        link = workflow.link(source, "subspaces")
    missing = [name for name in policy.concept_sets if name not in names]
    if missing or not names:
        wanted = " and ".join(repr(name) for name in missing) or "a concept"
        why = f" ({'; '.join(faults[:MOST_FAULTS])})" if faults else ""
        return (f"{workflow.label(node)} does not guard against {wanted}{why}",)
    return tuple(faults[:MOST_FAULTS])  # of links beside the required ones: what they say may reach the others


def _subspace_fault(workflow: Workflow, node: str, clip: Link | None, policy: Policy) -> str | None:
    """Why one node of a chain of subspaces does not count for a guard with `clip` (None: a filter)."""
    kind, inputs, label = workflow.kind(node), workflow.inputs(node), workflow.label(node)
    if kind == "SaveConceptSubspace":
        return None
    if kind not in ("ConceptSubspace", "LoadConceptSubspace"):
        return f"{label} is no source of subspaces that this check knows"
    if not at_least(inputs.get("strength"), policy.strength):
        return f"{label} has strength {shown(inputs.get('strength'))}, less than {policy.strength:g}"
    if kind == "LoadConceptSubspace":
        return f"{label} reads a file, whose concept is not known" if policy.strangers else None
    phrases, retain = inputs.get("phrases"), inputs.get("retain", "")
    if not isinstance(inputs.get("concept_set"), str):
        return f"{label} has no concept_set that can be read"
    if inputs.get("concept_set") == PHRASES_ONLY and isinstance(phrases, str) and not phrases.strip():
        return f"{label} has no phrases"
    if policy.concept_sets and (retain != "" or (phrases != "" and _must_be_as_shipped(inputs, policy))):
        return f"{label} has phrases or exemptions of its own"
    own_clip = workflow.link(node, "clip")
    if policy.concept_sets and clip and own_clip != clip and _must_be_as_shipped(inputs, policy):
        return f"{label} has another CLIP than the prompt"
    return None


def _must_be_as_shipped(inputs: dict, policy: Policy) -> bool:
    """Whether a ConceptSubspace may have nothing of its own: a required one, and any of a stranger."""
    return policy.strangers or inputs.get("concept_set") in policy.concept_sets


def at_least(value, least: float) -> bool:
    """Whether `value` is a number, not a connection or a text, and big enough."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < float("inf")
