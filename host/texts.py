"""Prompts with a text for each text encoder, tokenized as ComfyUI's nodes for SDXL, SD3 and Flux do."""

from __future__ import annotations

from ..safree import SafreeError
from .encoders import encoders, tokenize

KEYS = ("l", "g", "t5xxl")  # encoders that ComfyUI has a text input of their own for
PADDED = ("l", "g")  # their states stand side by side, so they need equally many chunks


def check_texts(clip, texts: dict[str, str]) -> dict[str, str]:
    """`texts` by encoder key, for all encoders of `clip`; SafreeError where one would be left out or is missing."""
    keys = [encoder.key for encoder in encoders(clip)]
    if unread := [key for key, text in texts.items() if text and key not in keys]:
        raise SafreeError(
            f"text_{unread[0]} is for a text encoder that this CLIP does not have. Leave it empty; the CLIP has "
            f"{', '.join(keys)}."
        )
    if other := [key for key in keys if key not in KEYS]:
        raise SafreeError(f"this CLIP has the text encoder {other[0]!r}, for one text. Use SafreeConditioning.")
    return {key: texts.get(key, "") for key in keys}


def tokenize_each(clip, texts: dict[str, str]) -> dict[str, list]:
    """The host's tokens by encoder key, of a text for each; where two stand side by side the shorter one is padded."""
    tokens = {key: tokenize(clip, text)[key] for key, text in texts.items()}
    side_by_side = [key for key in PADDED if key in tokens]
    longest = max((len(tokens[key]) for key in side_by_side), default=0)
    for key in side_by_side:
        tokens[key] = tokens[key] + tokenize(clip, "")[key] * (longest - len(tokens[key]))
    return tokens


def joined(texts: dict[str, str]) -> str:
    """One text for reports: equal ones once."""
    return "\n".join(dict.fromkeys(text for text in texts.values() if text))
