"""What each text encoder and each model family needs, in one table each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from . import words


@dataclasses.dataclass(frozen=True)
class EncoderKind:
    """How to read one kind of text encoder.

    neutral: token that stands for 'no word here'; never the end token, nor a padding token that ends the attention
        mask, as it does in encoders without an end token
    pooling: 'end', the state at the end token (causal encoders), or 'mean' over the user's words
    spell: UTF-8 of a token of the vocabulary, spaces included
    template: whether ComfyUI wraps the prompt in a chat template
    start: whether the first state of CONDITIONING is that of a start token, the same in every prompt
    before: text put before a concept phrase, so that it gets the tokens that it has inside a prompt
    """

    neutral: str
    pooling: str
    spell: Callable[[str], bytes]
    template: bool = False
    start: bool = False
    before: str = ""

    @property
    def causal(self) -> bool:
        """Whether no token sees those behind it."""
        return self.pooling == "end" or self.template


CLIP = EncoderKind("!", "end", words.byte_level, start=True)  # id 0, the paper's choice
T5 = EncoderKind("<pad>", "mean", words.sentencepiece)  # id 0 as well
LLM = EncoderKind("!", "mean", words.byte_level, template=True, before=" ")
BERT = EncoderKind("[MASK]", "mean", words.wordpiece, start=True)
GEMMA = EncoderKind("!", "mean", words.sentencepiece, template=True, start=True)

ENCODERS = {
    "l": CLIP,
    "g": CLIP,
    "h": CLIP,
    "t5xxl": T5,
    "umt5xxl": T5,
    "llama": LLM,
    "qwen25_7b": LLM,
    "qwen3_4b": LLM,
    "gemma2_2b": GEMMA,
}
BY_CLASS = {"BertModel": BERT}  # whatever their key


def kind(key: str, model: object) -> EncoderKind | None:
    """How to read the text encoder `model` (ComfyUI's SDClipModel) under `key`; None for an unknown one."""
    return ENCODERS.get(key) or BY_CLASS.get(type(model.transformer).__name__)


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where an encoder's token states stand in CONDITIONING: from `column` on, its tokens first or last."""

    column: int = 0
    last: bool = False


# Layouts of CONDITIONING for the modes that edit it in place (`paper`, `reference`), by ComfyUI's class of text model.
# An encoder that is not in its family's layout reaches the pooled output only, which these modes leave as it is.
SLOTS: dict[str, dict[str, Slot]] = {
    "SDXLClipModel": {"l": Slot(), "g": Slot(768)},
    "SD3ClipModel": {"l": Slot(), "g": Slot(768), "t5xxl": Slot(last=True)},
    "FluxClipModel": {"t5xxl": Slot()},
    "HunyuanVideoClipModel": {"llama": Slot(last=True)},  # cut at the head of the chat template, as Qwen-Image's is
}


def slots(text_model: object) -> dict[str, Slot]:
    """The layout of CONDITIONING made by ComfyUI's `text_model`; empty where the modes cannot edit it."""
    names = [kind.__name__ for kind in type(text_model).__mro__]
    if known := next((SLOTS[name] for name in names if name in SLOTS), None):
        return known
    return {text_model.clip_name: Slot(last=True)} if "SD1ClipModel" in names else {}  # of one encoder alone
