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
GEMMA = EncoderKind("!", "mean", words.sentencepiece, template=True, start=True, before=" ")
MISTRAL = EncoderKind("!", "mean", words.byte_level, template=True, start=True, before=" ")
PILE_T5 = EncoderKind("<unk>", "mean", words.sentencepiece)  # its vocabulary has no <pad>
XLM = EncoderKind("<unk>", "mean", words.sentencepiece, start=True)
BYTES = EncoderKind(" ", "mean", words.one_byte)

ENCODERS = {
    **dict.fromkeys(("l", "g", "h"), CLIP),
    **dict.fromkeys(("t5xxl", "umt5xxl", "mt5xl"), T5),
    "pile_t5xl": PILE_T5,
    "hydit_clip": BERT,
    **dict.fromkeys(("jina", "jina_clip_2", "e5"), XLM),
    **dict.fromkeys(("llama", "qwen25_3b", "qwen25_7b", "gpt_oss"), LLM),
    **dict.fromkeys(("qwen3_06b", "qwen3_2b", "qwen3_4b", "qwen3_8b", "qwen3vl_4b", "qwen3vl_8b"), LLM),
    **dict.fromkeys(("qwen35_08b", "qwen35_2b", "qwen35_4b", "qwen35_9b", "qwen35_27b"), LLM),
    **dict.fromkeys(("mistral3_24b", "ministral3_3b"), MISTRAL),
    **dict.fromkeys(("gemma", "gemma2_2b", "gemma3_4b", "gemma3_12b"), GEMMA),
}
BY_CLASS = {"BertModel": BERT}  # whatever their key

# Tokens that reach the diffusion model without an encoder whose states tell words apart. No word is found there; what
# another encoder flags is neutral there, too. By ComfyUI's key of the tokens.
FOLLOWERS = {"byt5": BYTES, "t5xxl": T5}  # glyphs of HunyuanImage and HunyuanVideo 1.5; ids that Anima's model reads
MODELS_OF = {"byt5": "byt5_small"}  # the encoder's name in the text model, where it is not the tokens' key

SOUND = "makes music and sound, and the guard knows concepts of pictures only"
WRITES = "is there to write text (TextGenerate), and no model takes conditioning from it"
# Why a text model or a text encoder of ComfyUI is not steered, by the name of its class or its key.
REFUSED = {
    **dict.fromkeys(("AceT5Model", "ACE15TEModel", "SAT5Model", "SAT5GemmaModel"), SOUND),
    **dict.fromkeys(("umt5base", "t5base", "t5gemma"), SOUND),
    **dict.fromkeys(("gemma4", "gemma3_4b_vision", "Gemma3_12BModel"), WRITES),
    "HiDreamO1TE": "only makes token ids: the diffusion model reads the words itself, out of the guard's sight",
    "sam3_clip": "names things to cut out of a picture, and draws nothing",
}


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
    "LongCatImageTEModel": {},  # cut at both ends
}


def slots(text_model: object) -> dict[str, Slot]:
    """The layout of CONDITIONING made by ComfyUI's `text_model`; empty where the modes cannot edit it."""
    names = [kind.__name__ for kind in type(text_model).__mro__]
    known = next((SLOTS[name] for name in names if name in SLOTS), None)
    if known is not None:
        return known
    if "SD1ClipModel" not in names or returns_several_layers(getattr(text_model, text_model.clip)):
        return {}
    return {text_model.clip_name: Slot(last=True)}  # of one encoder alone


def returns_several_layers(model: object) -> bool:
    """Whether a text encoder gives the states of several of its layers at once (FLUX.2, HiDream, LTX-2)."""
    return hasattr(model, "selected_layers") or isinstance(model.layer, list) or model.layer == "all"


def refusal(text_model: object) -> tuple[str, str] | None:
    """(name, reason) where a text model or one of its encoders is one of REFUSED."""
    names = [name.removeprefix("clip_") for name, _ in text_model.named_children()]
    names += [kind.__name__ for kind in type(text_model).__mro__]
    return next(((name, REFUSED[name]) for name in names if name in REFUSED), None)
