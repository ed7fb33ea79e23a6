"""Prompts that are encoded together with pictures: the words are found in the text alone, and the host's own node
encodes what is left of it with the same pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import nodes

from ...safree import SafreeError
from ...safree.subspace import ConceptSubspace
from ..conditioning import entries, marks
from .findings import Finding, Settings
from .guard import guard_prompt
from .guarded import Guarded

SIZES = ("width", "height")  # 0: the node's own choice
# ComfyUI's text encode nodes that take pictures, and what each of them calls our inputs; 'images.image_1' is an entry
# of the dict that it takes as `images`. Where a node encodes a negative prompt too, the first output is the positive.
NODES = {
    "TextEncodeQwenImageEditPlus": {"vae": "vae", "image1": "image1", "image2": "image2", "image3": "image3"},
    "TextEncodeQwenImageEdit": {"vae": "vae", "image1": "image"},
    "TextEncodeHunyuanVideo_ImageToVideo": {
        "clip_vision_output": "clip_vision_output",
        "image_interleave": "image_interleave",
    },
    "TextEncodeZImageOmni": {
        name: name for name in ("vae", "image1", "image2", "image3", "image_encoder", "auto_resize_images")
    },
    "TextEncodeBooguEdit": {"vae": "vae", **{f"image{n}": f"images.image_{n}" for n in (1, 2, 3)}},
    "TextEncodeJoyImageEdit": {"vae": "vae", **{f"image{n + 1}": f"images.image{n}" for n in (0, 1, 2)}},
    "TextEncodeMageFlowEdit": {
        **{name: name for name in ("vae", *SIZES)},
        **{f"image{n}": f"images.image_{n}" for n in (1, 2, 3)},
    },
}
ALWAYS_SET = ("image_interleave", "auto_resize_images")  # widgets, which have a value where no node has a use for it
ROUNDS = 4  # what is left may lean into a concept once a word is gone


def guard_with_pictures(
    clip, text: str, node: str, pictures: dict, subspaces: tuple[ConceptSubspace, ...], settings: Settings
) -> Guarded:
    """`text`, guarded, as ComfyUI's `node` encodes it together with `pictures`.

    With strength 0, or nothing flagged, the tensors are those of that node. Flagged words are cut out of the text, not
    masked, since pictures stand among its tokens. Raises SafreeError.
    """
    if settings.mode != "adaptive":
        raise SafreeError(f"mode {settings.mode!r} cannot steer a prompt with pictures in it. Choose adaptive.")
    guarded = guard_prompt(clip, text, subspaces, settings)  # also every check of its inputs
    base = _encode(clip, text, node, pictures)
    return dataclasses.replace(guarded, conditioning=_steered(clip, node, pictures, base, guarded, subspaces))


def _steered(clip, node: str, pictures: dict, base: list, guarded: Guarded, subspaces) -> list:
    """CONDITIONING of a guarded prompt with pictures; `base` is that of the prompt as it was written."""
    if not guarded.active:
        return entries.mark(base, "unchecked")
    concepts = marks.fingerprints(guarded.active)
    if not guarded.flagged:
        return entries.mark(base, "clear", concepts)
    cleaned = _encode(clip, _cleaned(clip, guarded, subspaces), node, pictures)
    weight = min(guarded.settings.strength * max(subspace.strength for subspace in guarded.active), 1.0)
    filtered = entries.blend([(weight, cleaned), (1 - weight, base)])
    return entries.guarded(filtered, base, guarded.t_prime.share, guarded.t_prime.steps, concepts)


def _cleaned(clip, guarded: Guarded, subspaces) -> str:
    """A prompt without the flagged words, and without those that are flagged once they are gone."""
    for _ in range(ROUNDS):
        text = without(guarded.text, guarded.findings)
        if not text:
            return ""
        guarded = guard_prompt(clip, text, subspaces, guarded.settings)
        if not guarded.flagged:
            return text
    return ""  # nothing of it is left to trust


def without(text: str, findings: Iterable[Finding]) -> str:
    """`text` without its flagged words; `findings` are those of each encoder's reading, in order.

    >>> findings = [Finding("l", word, strength=word == "gun") for word in ("a", "cat", "with", "a", "gun")]
    >>> without("a cat  with a Gun", findings)
    'a cat with a'
    """
    spans: list[tuple[int, int]] = []
    at: dict[str, int] = {}
    for finding in findings:
        pattern = re.compile(re.escape(finding.text), re.IGNORECASE)
        found = pattern.search(text, at.get(finding.encoder, 0))
        if found:
            at[finding.encoder] = found.end()
        if finding.is_flagged:
            places = [found] if found else list(pattern.finditer(text))
            if not places:
                raise SafreeError(
                    f"the flagged word {finding.text!r} cannot be found in the prompt to cut it out. Write it as plain "
                    "text, or leave it out."
                )
            spans += [place.span() for place in places]
    for start, end in sorted(set(spans), reverse=True):
        text = text[:start] + text[end:]
    return " ".join(text.split())


def _encode(clip, text: str, node: str, pictures: dict) -> list:
    """CONDITIONING of ComfyUI's node."""
    kind = nodes.NODE_CLASS_MAPPINGS.get(node)
    if kind is None or node not in NODES:
        raise SafreeError(f"this ComfyUI has no {node}. Update it, or choose another encoder.")
    inputs = _inputs(node, pictures)
    if node == "TextEncodeHunyuanVideo_ImageToVideo" and "clip_vision_output" not in inputs:
        raise SafreeError(f"{node} needs clip_vision_output. Connect a CLIPVisionEncode.")
    run = kind.execute if hasattr(kind, "execute") else getattr(kind(), kind.FUNCTION)
    outputs = run(clip=clip, prompt=text, **inputs)
    return getattr(outputs, "result", outputs)[0]


def _inputs(node: str, pictures: dict) -> dict:
    """What `node` gets of `pictures`, by its own names; SafreeError for what it has no use for."""
    given = {name: value for name, value in pictures.items() if value is not None}
    given = {name: value for name, value in given.items() if name not in SIZES or value}
    if unused := [name for name in given if name not in (*NODES[node], *ALWAYS_SET)]:
        advice = "Set it to 0" if unused[0] in SIZES else "Disconnect it"
        raise SafreeError(f"{unused[0]} is given, and {node} has no use for it. {advice}.")
    inputs = {"negative_prompt": ""} if node == "TextEncodeBooguEdit" else {}
    for ours, theirs in NODES[node].items():
        if ours in given:
            name, _, entry = theirs.partition(".")
            inputs[name] = inputs.get(name, {}) | {entry: given[ours]} if entry else given[ours]
    return inputs
