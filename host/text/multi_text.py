"""Prompts with a text for each text encoder, tokenized as ComfyUI's nodes for SDXL, SD3, Flux, HiDream, HunyuanDiT and
Kandinsky 5 do."""

from __future__ import annotations

from ...safree import SafreeError
from . import families
from .encoders import encoders, tokenize

# Of each text of SafreeMultiTextConditioning, the encoders that read it; no model has two of one kind.
READERS = {
    "l": ("l",),
    "g": ("g",),
    "t5xxl": ("t5xxl", "mt5xl"),
    "llm": ("llama", "qwen25_7b"),
    "bert": ("hydit_clip",),
}
NAMES = {key: name for name, keys in READERS.items() for key in keys}


def check_texts(clip, texts: dict[str, str]) -> dict[str, str]:
    """`texts`, by the names in READERS, as texts by encoder key, '' where none is given.

    SafreeError for a text that no encoder of `clip` reads, for an encoder that has no text, and for words that only an
    encoder reads whose tokenizer runs them together.
    """
    found = encoders(clip)
    keys = [encoder.key for encoder in found]
    if unread := [name for name, text in texts.items() if text and not set(READERS[name]) & set(keys)]:
        raise SafreeError(
            f"text_{unread[0]} is for a text encoder that this CLIP does not have. Leave it empty; the CLIP has "
            f"{', '.join(keys)}."
        )
    if other := [key for key in keys if key not in NAMES]:
        raise SafreeError(f"this CLIP has the text encoder {other[0]!r}, for one text. Use SafreeConditioning.")
    texts = {key: texts.get(NAMES[key], "") for key in keys}
    for encoder in found:
        text = texts[encoder.key]
        if list(texts.values()).count(text) == 1:
            check_spaces(clip, [encoder], text)
    return texts


def check_spaces(clip, found: list, text: str) -> list[str]:
    """Notes on those of the encoders `found` whose tokenizer runs the words of `text` together.

    SafreeError if all of them do. ComfyUI's own tokenizer of Llama does with transformers 5.
    """
    if len(text.split()) < 2:
        return []
    two_words = tokenize(clip, "a cat")
    joining = [e.key for e in found if len(e.words(two_words[e.key])) < 2]
    loss = "loses the spaces between words; install transformers 4.57"
    if joining and len(joining) == len(found):
        raise SafreeError(
            f"the tokenizer of text encoder {joining[0]!r} {loss}. Until then neither the model nor the guard can tell "
            "them apart."
        )
    return [f"The tokenizer of text encoder {key!r} {loss}. The others judged the words." for key in joining]


def tokenize_each(clip, texts: dict[str, str]) -> dict[str, list]:
    """The host's tokens by encoder key, of a text for each; where two stand side by side the shorter one is padded.

    What reads the prompt beside the encoders (glyphs) gets all the texts.
    """
    tokens = tokenize(clip, joined(texts)) | {key: tokenize(clip, text)[key] for key, text in texts.items()}
    slots = families.slots(clip.cond_stage_model)
    side_by_side = [key for key in texts if key in slots and not slots[key].last]
    longest = max((len(tokens[key]) for key in side_by_side), default=0)
    for key in side_by_side:
        tokens[key] = tokens[key] + tokenize(clip, "")[key] * (longest - len(tokens[key]))
    return tokens


def joined(texts: dict[str, str]) -> str:
    """One text for reports: equal ones once."""
    return "\n".join(dict.fromkeys(text for text in texts.values() if text))
