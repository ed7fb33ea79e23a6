"""Whether every sampler of a workflow is guarded: a pure function for servers that take workflows from strangers.

    from headless.check import Policy, unguarded_samplers
    if problems := unguarded_samplers(body["prompt"], object_info, Policy(concept_sets=("nudity",))):
        refuse("; ".join(map(str, problems)))

It follows the data: back from each sampler's positive input, through nodes known to pass CONDITIONING on, to where the
prompt was encoded. What it does not know it refuses. Standard library alone. check_command.py is the command.
"""

from __future__ import annotations

import dataclasses

from .node_tables import CARRIERS, GUARDABLE, HARMLESS, MODEL_SCALES, READERS, REFUSED, SAMPLERS, WORDLESS
from .workflow import Link, Workflow

GUARD, FILTER = "SafreeConditioning", "SafreeFilterConditioning"
OURS = {
    GUARD,
    FILTER,
    "ConceptSubspace",
    "LoadConceptSubspace",
    "SaveConceptSubspace",
    "SelfValidationPatch",
    "ReAttentionPatch",
    "SafetyReportPlot",
}
INERT = HARMLESS | OURS | WORDLESS | READERS  # no word gets past the guard by them
PHRASES_ONLY = "(phrases only)"  # of ConceptSubspace


@dataclasses.dataclass(frozen=True)
class Policy:
    """What counts as guarded.

    concept_sets: each of them must guard, built with the prompt's own CLIP and without phrases that a stranger added or
        exempted; empty: any concept
    strength: the least strength of SafreeConditioning and of a subspace
    negatives: negative prompts must be guarded too, not only where the guidance scale makes them the prompt
    filters: SafreeFilterConditioning counts, though it is weaker
    any_mode: SafreeConditioning counts with any mode, threshold, self-validation and number of filtered steps
    allowed: node classes that neither sample nor make conditioning; what passes through them keeps its state
    """

    concept_sets: tuple[str, ...] = ()
    strength: float = 1.0
    negatives: bool = False
    filters: bool = False
    any_mode: bool = False
    allowed: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Problem:
    """A sampler, guider or unknown node whose input (if one is to blame) is not guarded, and why."""

    node: str
    class_type: str
    input: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.class_type} (node {self.node})" + (f", {self.input}" if self.input else "")
        return f"{where}: {'; '.join(self.reasons)}"


def unguarded_samplers(workflow: dict, object_info: dict | None = None, policy: Policy | None = None) -> list[Problem]:
    """The samplers of an API-format `workflow` that unguarded conditioning can reach; empty when all is guarded.

    object_info: the server's answer to GET /object_info; with it, ComfyUI's own nodes of any version are recognised
    Raises WorkflowError when `workflow` is not in API format.
    """
    return _Check(Workflow(workflow), object_info or {}, policy or Policy()).problems()


def inputs_to_guard(workflow: Workflow, node: str, policy: Policy) -> tuple[str, ...]:
    """The inputs of a sampler that must be guarded: what it draws, the negative too where its scale says so."""
    sampler = SAMPLERS[workflow.kind(node)]
    scales = [_number(workflow, node, name) for name in sampler.scales]
    scales += [_number(workflow, n, MODEL_SCALES[k]) for n, k in _model_chain(workflow, node) if k in MODEL_SCALES]
    repels = all(_at_least(scale, 1.0) for scale in scales)
    return sampler.positive + (sampler.negative if policy.negatives or not repels else ())


def _number(workflow: Workflow, node: str, name: str):
    """The value of an input, read from a primitive node where it is connected to one."""
    link = workflow.link(node, name)
    if link and link[0] in workflow and workflow.kind(link[0]) in ("PrimitiveFloat", "PrimitiveInt"):
        return workflow.inputs(link[0]).get("value")
    return workflow.inputs(node).get(name)


def _model_chain(workflow: Workflow, node: str) -> list[tuple[str, str]]:
    """(id, class) of the nodes that a sampler's model comes through."""
    return [(n, workflow.kind(n)) for n in sorted(workflow.before(node, "model"))]


def why_refused(kind: str, object_info: dict, policy: Policy) -> str | None:
    """Why a node of a class that is no known sampler may not be in the workflow; None if it may."""
    if kind in INERT or kind in CARRIERS or kind in policy.allowed:
        return None
    if kind in GUARDABLE or kind in REFUSED:  # what they make is judged where it arrives
        return REFUSED[kind] if kind in {"TrainLoraNode", "SaveTrainingDataset"} else None
    info = object_info.get(kind, {})
    if info.get("api_node"):
        return "makes its result on another machine, where there is no guard"
    if is_core(info) and "CONDITIONING" not in types(info):
        return None
    return "is unknown to this check: it may sample or encode by itself (--allow it if you know that it does not)"


class _Check:
    def __init__(self, workflow: Workflow, object_info: dict, policy: Policy):
        self.flow, self.info, self.policy = workflow, object_info, policy
        self._known: dict[Link, tuple[str, ...]] = {}

    def problems(self) -> list[Problem]:
        return [problem for node in self.flow.nodes for problem in self._problems(node)]

    def _problems(self, node: str):
        kind = self.flow.kind(node)
        if kind in SAMPLERS:
            for name in inputs_to_guard(self.flow, node, self.policy):
                if reasons := self._top(node, name):
                    yield Problem(node, kind, name, reasons)
            if reasons := self._switched_off(node):
                yield Problem(node, kind, "", reasons)
        elif reason := why_refused(kind, self.info, self.policy):
            yield Problem(node, kind, "", (reason,))

    def _top(self, node: str, name: str) -> tuple[str, ...]:
        try:
            return self._input(node, name)
        except RecursionError:
            return ("its chain of nodes is too long to follow",)

    def _switched_off(self, node: str) -> tuple[str, ...]:
        """Settings on the way to a sampler that end the filter early."""
        if self.policy.any_mode:
            return ()
        switches = [node] if self.flow.kind(node) == "SelfValidatingSampler" else []
        switches += [n for n, kind in _model_chain(self.flow, node) if kind == "SelfValidationPatch"]
        return tuple(
            f"{self.flow.label(n)} has filtered_steps {value!r}; only -1 lets the guard decide"
            for n in switches
            if (value := self.flow.inputs(n).get("filtered_steps")) != -1
        )

    def _input(self, node: str, name: str) -> tuple[str, ...]:
        """Why an input is not guarded. One that is not there brings no prompt; the server will not run its node."""
        if name not in self.flow.inputs(node):
            return ()
        link = self.flow.link(node, name)
        return self.reasons(link) if link else (f"input {name} of {self.flow.label(node)} is no connection",)

    def reasons(self, link: Link) -> tuple[str, ...]:
        """Why the CONDITIONING at `link` is not guarded; empty if it is."""
        if link not in self._known:
            self._known[link] = ("its connections run in a circle",)  # for whoever comes back here meanwhile
            self._known[link] = tuple(dict.fromkeys(self._reasons(*link)))
        return self._known[link]

    def _reasons(self, node: str, slot: int):
        label = self.flow.label(node)
        if node not in self.flow:
            return (f"{label} is not in the workflow",)
        kind = self.flow.kind(node)
        if kind in CARRIERS and 0 <= slot < len(CARRIERS[kind]) and CARRIERS[kind][slot]:
            return [reason for name in CARRIERS[kind][slot] for reason in self._input(node, name)]
        if kind in self.policy.allowed:
            sources = [link for _, link in self.flow.links(node) if self._is_conditioning(link)]
            return [r for link in sources for r in self.reasons(link)] or [f"{label} makes conditioning"] * (
                not sources
            )
        if kind in WORDLESS:
            return ()
        if kind == GUARD and slot == 0:
            return self._guard(node)
        if kind == FILTER and slot == 0:
            if self.policy.filters:
                return self._subspaces(node) + self._weak(node)
            return (f"{label} is weaker than {GUARD}, and this policy does not accept it",)
        if kind in GUARDABLE:
            return (f"{label} encodes its text without the guard",)
        return (f"{label} {REFUSED.get(kind, 'is unknown to this check')}",)

    def _is_conditioning(self, link: Link) -> bool:
        node, slot = link
        if node not in self.flow:
            return True
        kind = self.flow.kind(node)
        outputs = self.info.get(kind, {}).get("output", [])
        if 0 <= slot < len(outputs):
            return outputs[slot] == "CONDITIONING"
        return kind not in HARMLESS and (kind not in CARRIERS or slot < len(CARRIERS[kind]))

    def _guard(self, node: str) -> tuple[str, ...]:
        """Why a SafreeConditioning does not guard."""
        faults = list(self._subspaces(node) + self._weak(node))
        if not self.policy.any_mode:
            inputs, label = self.flow.inputs(node), self.flow.label(node)
            if inputs.get("mode") != "adaptive":
                faults.append(f"{label} has mode {inputs.get('mode')!r}, which lets much pass; only 'adaptive' counts")
            if inputs.get("self_validation") not in ("auto", "whole schedule"):
                faults.append(
                    f"{label} has self_validation {inputs.get('self_validation')!r}, which ends the filter early"
                )
        return tuple(faults)

    def _weak(self, node: str) -> tuple[str, ...]:
        inputs, label, least = self.flow.inputs(node), self.flow.label(node), self.policy.strength
        faults = []
        if not _at_least(inputs.get("strength"), least):
            faults.append(f"{label} has strength {inputs.get('strength')!r}, less than {least:g}")
        if not self.policy.any_mode and inputs.get("threshold") != 0:
            faults.append(f"{label} has threshold {inputs.get('threshold')!r}; only 0, automatic, counts")
        return tuple(faults)

    def _subspaces(self, node: str) -> tuple[str, ...]:
        """Why the subspaces of a guard do not do; empty if they do."""
        names, faults, seen = set(), [], set()
        link = self.flow.link(node, "subspaces")
        while link and link[0] in self.flow and link[0] not in seen:
            source = link[0]
            seen.add(source)
            fault = self._subspace_fault(source, self.flow.link(node, "clip"))
            faults += [fault] if fault else []
            if not fault and self.flow.kind(source) != "SaveConceptSubspace":
                names.add(self.flow.inputs(source).get("concept_set", "(from a file)"))
            link = self.flow.link(source, "subspaces")
        missing = [name for name in self.policy.concept_sets if name not in names]
        if missing or not names:
            wanted = " and ".join(repr(name) for name in missing) or "a concept"
            why = f" ({'; '.join(faults)})" if faults else ""
            return (f"{self.flow.label(node)} does not guard against {wanted}{why}",)
        return ()

    def _subspace_fault(self, node: str, clip: Link | None) -> str | None:
        """Why one node of a chain of subspaces does not count for a guard with `clip` (None: a filter)."""
        kind, inputs, label = self.flow.kind(node), self.flow.inputs(node), self.flow.label(node)
        if kind == "SaveConceptSubspace":
            return None
        if kind not in ("ConceptSubspace", "LoadConceptSubspace"):
            return f"{label} is no source of subspaces that this check knows"
        if not _at_least(inputs.get("strength"), self.policy.strength):
            return f"{label} has strength {inputs.get('strength')!r}, less than {self.policy.strength:g}"
        if kind == "LoadConceptSubspace":
            return f"{label} reads a file, whose concept is not known" if self.policy.concept_sets else None
        phrases, retain = inputs.get("phrases"), inputs.get("retain", "")
        if not isinstance(inputs.get("concept_set"), str):
            return f"{label} has no concept_set that can be read"
        if inputs.get("concept_set") == PHRASES_ONLY and isinstance(phrases, str) and not phrases.strip():
            return f"{label} has no phrases"
        if self.policy.concept_sets and (phrases != "" or retain != ""):
            return f"{label} has phrases or exemptions of its own"
        if self.policy.concept_sets and clip and self.flow.link(node, "clip") != clip:
            return f"{label} has another CLIP than the prompt"
        return None


def _at_least(value, least: float) -> bool:
    """Whether `value` is a number, not a connection or a text, and big enough."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < float("inf")


def is_core(info: dict) -> bool:
    """Whether an entry of /object_info is one of ComfyUI's own nodes that runs on the server itself."""
    module = info.get("python_module", "")
    return module == "nodes" or module.startswith("comfy_extras.")


def types(info: dict) -> set[str]:
    """The types of all inputs and outputs of a node class, in the words of /object_info."""
    inputs = [spec[0] for group in info.get("input", {}).values() for spec in group.values() if spec]
    names = [name for name in [*inputs, *info.get("output", [])] if isinstance(name, str)]
    return {part.strip() for name in names for part in name.split(",")}
