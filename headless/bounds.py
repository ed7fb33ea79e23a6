"""How large a workflow may be that is looked at: with these bounds a check takes time in proportion to its bytes."""

from __future__ import annotations

import reprlib

from .workflow import Workflow, WorkflowError

MAX_BYTES = 8 * 2**20  # of a POST /prompt; the editor sends a workflow twice, in both formats
MAX_NODES = 20_000
LONGEST_NAME = 200  # characters of an id, a class, an input: they stand in every reason
MOST_INPUTS = 1_000  # of one node
DEEPEST = 32  # lists and objects within each other, in the value of an input
MOST_PROBLEMS = 100  # that are told; nobody reads more

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3


def shown(value) -> str:
    """A value as a reason quotes it: like repr, in at most some hundred characters.

    >>> shown(0.5), len(shown("x" * 1000)) < 100
    ('0.5', True)
    """
    return _REPR.repr(value)


def check_bounds(workflow: Workflow, most_nodes: int = MAX_NODES) -> None:
    """WorkflowError for a workflow that is too large to look at: number of nodes, length of names, depth of values."""
    if len(workflow.nodes) > most_nodes:
        raise WorkflowError(f"the workflow has {len(workflow.nodes):,} nodes; the check takes at most {most_nodes:,}.")
    for node in workflow.nodes:
        inputs = workflow.inputs(node)
        longest = max((node, workflow.kind(node), *inputs), key=len)
        if len(longest) > LONGEST_NAME:
            raise WorkflowError(
                f"node {shown(node)} has a name of {len(longest):,} characters ({shown(longest)}); ids, classes and "
                f"inputs may have {LONGEST_NAME}."
            )
        if len(inputs) > MOST_INPUTS:
            raise WorkflowError(
                f"node {shown(node)} has {len(inputs):,} inputs; at most {MOST_INPUTS:,} are looked at."
            )
        if any(_is_deeper(value) for value in inputs.values()):
            raise WorkflowError(f"node {shown(node)} has lists within lists more than {DEEPEST} deep.")


def _is_deeper(value) -> bool:
    """Whether lists and objects lie within each other more than DEEPEST deep, without recursion."""
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, (list, dict)):
            if depth >= DEEPEST:
                return True
            waiting += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return False
