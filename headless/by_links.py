"""What an unknown node class may do, by what its nodes are connected with in one's own workflow.

A node through which only pictures, masks, sound, numbers, text and the like go, changes no guard: text is judged where
it is encoded. A patch of the model may change anything about sampling, so it is named for the user to look at. Where
CLIP, conditioning, guiders or samplers are connected, or nobody tells what is, a class stays unknown: refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from . import object_info
from .knowledge import Facts, Knowledge
from .link_types import LinkTypes
from .object_info import TEXT_TYPES, WORDLESS_TYPES, is_core
from .workflow import Workflow

PICTURES = frozenset({"IMAGE", "LATENT", "VIDEO"})  # what an unknown node could have drawn itself
# In a type's name, of what holds prompts, or runs them.
_WORDS_OF_PROMPTS = ("COND", "CLIP", "TEXT", "PROMPT", "EMBED", "GUIDER", "SAMPLER", "PIPE", "CONTEXT", "BUS", "HOOK")
# Names of inputs that packs use for one thing, where nothing else tells.
_BY_NAME = {
    **dict.fromkeys(("image", "images", "pixels", "frames", "source_image", "input_image"), "IMAGE"),
    **dict.fromkeys(("mask", "masks"), "MASK"),
    **dict.fromkeys(("samples", "latent", "latents", "latent_image"), "LATENT"),
    **dict.fromkeys(("width", "height", "seed", "steps", "fps", "frame_rate", "num_frames", "frame_count"), "INT"),
    **dict.fromkeys(("text", "string", "prompt"), "STRING"),
    "vae": "VAE",
    "audio": "AUDIO",
    "model": "MODEL",
    "video": "VIDEO",
    "sigmas": "SIGMAS",
}
_NAMES_OF_PROMPTS = ("model", "clip", "cond", "positive", "negative", "text", "prompt", "encoder", "t5", "pipe")
_TEXT_INPUTS = ("prompt", "text", "caption", "positive", "instruction", "description")
_FEWEST_WORDS = 3  # of a value without a name that counts as a prompt


@dataclasses.dataclass
class Ends:
    """What goes into and out of a node. untold: an input or output of which nobody tells the type.

    prompts: a text comes into it that looks like a prompt;  says: it has such a text of its own
    """

    into: list[str] = dataclasses.field(default_factory=list)
    out: list[str] = dataclasses.field(default_factory=list)
    untold: str = ""
    prompts: bool = False
    says: bool = False
    between_unknown: bool = False  # a latent from or to another unknown class


def judged(workflow: Workflow, known: Knowledge, types: LinkTypes) -> dict[str, Facts]:
    """Facts about the unknown classes of a workflow that their connections clear."""
    ends = _ends(workflow, known, types)
    of_kind: dict[str, list[Facts | None]] = {}
    for node, one in ends.items():
        of_kind.setdefault(workflow.kind(node), []).append(_facts(one))
    return {kind: _worst(facts) for kind, facts in of_kind.items() if all(facts)}


def _worst(facts: list[Facts]) -> Facts:
    """Of the nodes of one class, the one that may change most."""
    return max(facts, key=lambda one: len(one.changes))


def _ends(workflow: Workflow, known: Knowledge, types: LinkTypes) -> dict[str, Ends]:
    """What goes into and out of each node whose class nobody knows."""
    kinds = {node: workflow.kind(node) for node in workflow.nodes}
    opened = [node for node, kind in kinds.items() if _is_open(known.get(kind), types.info.get(kind))]
    ends = {node: _declared(types.info.get(kinds[node])) for node in opened}
    for node in workflow.nodes:
        for name, (source, slot) in workflow.links(node):
            if source in ends or node in ends:
                kind = _type(workflow, known, types, node, name)
                _note(ends.get(node), "into", kind, name, source in ends)
                _note(ends.get(source), "out", kind, f"output {slot}", node in ends)
        if one := ends.get(node):
            texts = _prompts(workflow.inputs(node))
            one.prompts |= bool(texts)
            one.says |= any(isinstance(text, str) for text in texts)
    return ends


def _is_open(facts: Facts | None, info: dict | None) -> bool:
    """Whether nobody knows a class. What a newer ComfyUI has of its own stays refused, until somebody reads it."""
    if info is not None and is_core(info):
        return False
    return facts is None or (facts.guessed and bool(facts.changes))


def _declared(info: dict | None) -> Ends:
    """What a server says that may go into and out of the nodes of a class, connected or not."""
    if info is None:
        return Ends()
    into, out = object_info.types(info)
    groups = [(info.get("input") or {}).get(group) or {} for group in ("required", "optional")]
    texts = [name for group in groups for name, spec in group.items() if spec and spec[0] == "STRING"]
    says = any(word in name.lower() for name in texts for word in _TEXT_INPUTS)
    return Ends(list(into), list(out), prompts=says, says=says)


def _type(workflow: Workflow, known: Knowledge, types: LinkTypes, user: str, name: str) -> str | None:
    """The type of a link; 'KNOWN' where a known node at one of its ends says that no conditioning goes through it."""
    kind = types.of_link(user, name) or _BY_NAME.get(name)
    source, slot = workflow.link(user, name)
    if kind is None and not any(word in name.lower() for word in _NAMES_OF_PROMPTS):
        ends = [known.get(workflow.kind(node)) for node in (user, source) if node in workflow]
        return "KNOWN" if any(facts and facts.inert for facts in ends) else None
    if kind and not _is_wordless(kind) and kind not in ("CLIP", "CONDITIONING", "MODEL"):
        takes, gives = known.get(workflow.kind(user)), known.get(workflow.kind(source)) if source in workflow else None
        named = {one.rstrip("*") for one in takes.takes} if takes else set()
        if takes and takes.takes and not any(name.startswith(one) for one in named):
            return "KNOWN"
        if gives and (gives.encodes or gives.carries) and slot not in {place for place, _ in gives.encodes}:
            return kind if slot in gives.carries else "KNOWN"
    return kind


def _note(ends: Ends | None, side: str, kind: str | None, where: str, between_unknown: bool) -> None:
    if ends is None:
        return
    if kind is None:
        ends.untold = ends.untold or where
    else:
        getattr(ends, side).append(kind)
    ends.between_unknown |= between_unknown and kind == "LATENT"


def _prompts(inputs: dict) -> list:
    """The texts among the values of a node, and those that come into it, that may be prompts."""
    called = [value for name, value in inputs.items() if any(word in name.lower() for word in _TEXT_INPUTS)]
    unnamed = [value for name, value in inputs.items() if name.startswith("UNKNOWN") and isinstance(value, str)]
    long = [value for value in unnamed if len(value.split()) >= _FEWEST_WORDS]
    return [
        value for value in (*called, *long) if value not in ("", None) and not isinstance(value, (bool, int, float))
    ]


def _facts(ends: Ends) -> Facts | None:
    """What the connections of a class clear it for; None where they do not."""
    into, out = {*_parts(ends.into)}, {*_parts(ends.out)}
    if ends.untold or any(_holds_prompts(kind) for kind in into | out):
        return None
    model = any(_is_model(kind) for kind in out)
    sampling = any(_is_model(kind) for kind in into) and out & PICTURES
    drawing = (ends.prompts and out & PICTURES) or (ends.says and not out)
    if sampling or drawing or (ends.between_unknown and "LATENT" in into & out):
        return None
    changes = {"model"} if model else {"latents"} if "LATENT" in out and ends.into.count("LATENT") > 1 else set()
    ways = f"{_words(into)} -> {_words(out)}"
    reason = f"Judged by its connections ({ways}): a patch of the model." if model else f"By its connections: {ways}."
    return Facts("", reason, changes=frozenset(changes), by_links=True)


def _parts(kinds: list[str]) -> Iterator[str]:
    for kind in kinds:
        yield from (part.strip() for part in kind.split(","))


def _words(kinds: set[str]) -> str:
    return " ".join(sorted(kinds - {"KNOWN"})) or "nothing"


def _is_wordless(kind: str) -> bool:
    return all(part in WORDLESS_TYPES | TEXT_TYPES for part in _parts([kind]))


def _is_model(kind: str) -> bool:
    return kind.endswith("MODEL") and kind not in WORDLESS_TYPES


def _holds_prompts(kind: str) -> bool:
    return not _is_wordless(kind) and (kind == "*" or any(word in kind.upper() for word in _WORDS_OF_PROMPTS))
