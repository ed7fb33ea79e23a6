"""Prompts that are encoded together with pictures: the words are found in the text alone, and the host's own node
encodes what is left of it with the same pictures."""

from __future__ import annotations

import re

import nodes

from ...safree import SafreeError
from ...safree.subspace import ConceptSubspace
from ..conditioning import entries, marks
from ..report.reports import Settings
from .guard import guard_prompt

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
):
    """(CONDITIONING, report dict) of `text`, guarded, as ComfyUI's `node` encodes it together with `pictures`.

    With strength 0, or nothing flagged, the tensors are those of that node. Flagged words are cut out of the text, not
    masked, since pictures stand among its tokens. Raises SafreeError.
    """
    if settings.mode != "adaptive":
        raise SafreeError(f"mode {settings.mode!r} cannot steer a prompt with pictures in it. Choose adaptive.")
    _, report = guard_prompt(clip, text, subspaces, settings)  # also every check of its inputs
    base = _encode(clip, text, node, pictures)
    tuned = tuple(subspace.tuned(settings.mode, settings.threshold) for subspace in subspaces)
    active = tuple(subspace for subspace in tuned if subspace.strength * settings.strength > 0)
    if not active:
        return entries.mark(base, "unchecked"), report
    concepts = marks.fingerprints(active)
    if not report["flagged"]:
        return entries.mark(base, "clear", concepts), report
    cleaned = _encode(clip, _cleaned(clip, text, report, subspaces, settings), node, pictures)
    share, steps = report["t_prime"]["share"], report["t_prime"]["steps_of_50"]
    weight = min(settings.strength * max(subspace.strength for subspace in active), 1.0)
    filtered = entries.blend([(weight, cleaned), (1 - weight, base)])
    return entries.guarded(filtered, base, share, steps, concepts), report


def _cleaned(clip, text: str, report: dict, subspaces, settings: Settings) -> str:
    """`text` without the flagged words, and without those that are flagged once they are gone."""
    for _ in range(ROUNDS):
        text = without(text, report["tokens"])
        if not text:
            return ""
        _, report = guard_prompt(clip, text, subspaces, settings)
        if not report["flagged"]:
            return text
    return ""  # nothing of it is left to trust


def without(text: str, words: list[dict]) -> str:
    """`text` without its flagged words; `words` are those of each encoder's reading, in order.

    >>> words = [{"text": word, "encoder": "l", "flagged": word == "gun"} for word in ("a", "cat", "with", "a", "gun")]
    >>> without("a cat  with a Gun", words)
    'a cat with a'
    """
    spans: list[tuple[int, int]] = []
    at: dict[str, int] = {}
    for word in words:
        pattern = re.compile(re.escape(word["text"]), re.IGNORECASE)
        found = pattern.search(text, at.get(word["encoder"], 0))
        if found:
            at[word["encoder"]] = found.end()
        if word["flagged"]:
            places = [found] if found else list(pattern.finditer(text))
            if not places:
                raise SafreeError(f"the flagged word {word['text']!r} cannot be found in the prompt to cut it out.")
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
