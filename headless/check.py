"""Whether every sampler of a workflow is guarded: a pure function for servers that take workflows from strangers.

    from headless.check import Policy, unguarded_samplers
    if problems := unguarded_samplers(body["prompt"], object_info, Policy(concept_sets=("nudity",))):
        refuse("; ".join(map(str, problems)))

It follows the data: back from each sampler's positive input, through nodes known to pass CONDITIONING on, to where the
prompt was encoded. What it does not know it refuses. Standard library alone. check_command.py is the command.
"""

from __future__ import annotations

import json

from .guards import FILTER, GUARD, at_least, faults_of_guard
from .node_tables import CARRIERS, GUARDABLE, HARMLESS, MODEL_SCALES, READERS, REFUSED, SAMPLERS, WORDLESS
from .policy import Policy, Problem
from .quality_words import only_quality_words
from .workflow import Link, Workflow, WorkflowError

MAX_BYTES = 8 * 2**20  # of a POST /prompt; the editor sends a workflow twice, in both formats
MAX_NODES = 20_000
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


def unguarded_samplers(workflow: dict, object_info: dict | None = None, policy: Policy | None = None) -> list[Problem]:
    """The samplers of an API-format `workflow` that unguarded conditioning can reach; empty when all is guarded.

    object_info: the server's answer to GET /object_info; with it, ComfyUI's own nodes of any version are recognised
    Raises WorkflowError when `workflow` is not in API format, or has more than MAX_NODES nodes.
    """
    flow = Workflow(workflow)
    if len(flow.nodes) > MAX_NODES:
        raise WorkflowError(f"the workflow has {len(flow.nodes):,} nodes; the check takes at most {MAX_NODES:,}.")
    return _Check(flow, object_info or {}, policy or Policy()).problems()


def parse_request(body: bytes) -> dict:
    """The JSON object of a POST /prompt, whose 'prompt' should be a workflow in API format.

    Raises WorkflowError when it is larger than MAX_BYTES, is no such JSON, or has a key twice in one object: another
    reader might take the other one.
    """
    if len(body) > MAX_BYTES:
        raise WorkflowError(f"the request has {len(body):,} bytes; the check takes at most {MAX_BYTES:,}.")
    try:
        request = json.loads(body, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"the request is not JSON ({error}).") from error
    if not isinstance(request, dict) or not isinstance(request.get("prompt"), dict):
        raise WorkflowError("the request has no 'prompt' with a workflow in API format.")
    return request


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def inputs_to_guard(workflow: Workflow, node: str, policy: Policy) -> tuple[str, ...]:
    """The inputs of a sampler that must be guarded: what it draws, the negative too where its scale says so."""
    sampler = SAMPLERS[workflow.kind(node)]
    scales = [_number(workflow, node, name) for name in sampler.scales]
    scales += [_number(workflow, n, MODEL_SCALES[k]) for n, k in _model_chain(workflow, node) if k in MODEL_SCALES]
    repels = all(at_least(scale, 1.0) for scale in scales)
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
                if name in SAMPLERS[kind].negative and self._harmless_negative(node, name):
                    continue
                if reasons := self._top(node, name):
                    yield Problem(node, kind, name, reasons)
            if reasons := self._switched_off(node):
                yield Problem(node, kind, "", reasons)
        elif reason := why_refused(kind, self.info, self.policy):
            yield Problem(node, kind, "", (reason,))

    def _harmless_negative(self, node: str, name: str) -> bool:
        """Whether a negative is zero, or a list of faults of a picture."""
        source, slot = self.flow.link(node, name) or ("", 0)
        if source not in self.flow or slot != 0:
            return False
        if self.flow.kind(source) == "ConditioningZeroOut":
            source = (self.flow.link(source, "conditioning") or ("",))[0]
            return source in self.flow and self.flow.kind(source) in GUARDABLE
        return self.flow.kind(source) == "CLIPTextEncode" and only_quality_words(self.flow.inputs(source).get("text"))

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
        if kind in (GUARD, FILTER) and slot == 0:
            return faults_of_guard(self.flow, node, self.policy)
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


def is_core(info: dict) -> bool:
    """Whether an entry of /object_info is one of ComfyUI's own nodes that runs on the server itself."""
    module = info.get("python_module", "")
    return module == "nodes" or module.startswith("comfy_extras.")


def types(info: dict) -> set[str]:
    """The types of all inputs and outputs of a node class, in the words of /object_info."""
    inputs = [spec[0] for group in info.get("input", {}).values() for spec in group.values() if spec]
    names = [name for name in [*inputs, *info.get("output", [])] if isinstance(name, str)]
    return {part.strip() for name in names for part in name.split(",")}
