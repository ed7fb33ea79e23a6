"""Which model files a workflow loads, and whether a policy names them: by file name, or by the SHA-256 of the file."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from ...headless.guards import ENCODING
from ...headless.knowledge import load
from ...headless.policy import Problem
from ...headless.policy_file import Terms
from ...headless.workflow import Workflow
from .. import compat

FOLDERS = {  # of ComfyUI's models, by the kind in a policy
    "models": ("checkpoints", "diffusion_models", "text_encoders", "diffusers"),
    "loras": ("loras", "hypernetworks"),
    "embeddings": ("embeddings",),
}
EMBEDDING = re.compile(r"embedding:([^\s,()]+)")  # in a prompt, as ComfyUI's tokenizer reads it
OUR_TEXTS = ("text", "text_l", "text_g", "text_t5xxl", "text_llm", "text_bert", "prompt")  # of our guards
CHUNK = 2**20
MOST_FILES = 100  # of one workflow that a record names


def problems(workflow: Workflow, schemas: dict, terms: Terms) -> Iterator[Problem]:
    """Files that `terms` do not name, and inputs that could name one unseen."""
    for node in workflow.nodes if terms.files else ():
        kind = workflow.kind(node)
        for name, value in workflow.inputs(node).items():
            if reason := _fault(kind, name, value, schemas[kind], workflow, node, terms):
                yield Problem(node, kind, name, (reason,))


def _fault(kind: str, name: str, value, schema: dict, workflow: Workflow, node: str, terms: Terms) -> str:
    """Why the value of one input is not allowed; '' if it is."""
    connected = workflow.link(node, name) is not None
    for group in terms.files.keys() - {"embeddings"}:
        files = compat.model_files(FOLDERS[group])
        if connected and files & set(compat.choices(schema, name)):
            return f"is connected; under this policy the node itself must say which of the {group} it loads"
        if not connected and isinstance(value, str) and value in files and not _named(value, group, terms):
            return f"names {value!r}, which is none of the {group} of this policy"
    if "embeddings" not in terms.files:
        return ""
    if connected and name in _texts(kind):
        return (
            "is a text from another node; under this policy prompts stand in the node, since they may name embeddings"
        )
    for found in EMBEDDING.findall(value) if isinstance(value, str) else ():
        if not _named(found, "embeddings", terms):
            return f"names the embedding {found!r}, which this policy does not"
    return ""


def _texts(kind: str) -> tuple[str, ...]:
    """The inputs of a class that hold prompts."""
    if kind in ENCODING:
        return OUR_TEXTS
    facts = load().get(kind)
    return tuple(text for encoder in facts.encodes.values() for text in encoder.texts) if facts else ()


def _named(name: str, group: str, terms: Terms) -> bool:
    allowed = terms.files[group]
    if name in allowed:
        return True
    path = compat.model_path(FOLDERS[group], name)
    if path is None or not any(one.startswith("sha256:") for one in allowed):
        return False
    state = path.stat()
    return f"sha256:{_digest(path, state.st_size, state.st_mtime_ns)}" in allowed


def digests(graph: dict) -> dict[str, str]:
    """The SHA-256 of each model file that a workflow names, by its name; '' of one that cannot be read."""
    folders = compat.model_folders()
    there = compat.model_files(folders)
    texts = [value for node in graph.values() for value in node.get("inputs", {}).values() if isinstance(value, str)]
    names = {text for text in texts if text in there}
    named = {name for text in texts for name in EMBEDDING.findall(text)}
    names |= {name for name in named if compat.model_path(FOLDERS["embeddings"], name)}
    return {name: _digest_of(folders, name) for name in sorted(names)[:MOST_FILES]}


def _digest_of(folders: tuple[str, ...], name: str) -> str:
    path = compat.model_path(folders, name)
    if path is None:
        return ""
    try:
        state = path.stat()
        return _digest(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ""


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a file, read once as long as its size and time stay."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
