"""Every text encoder that ComfyUI's loaders make, by the models that use it, each small and random."""

from __future__ import annotations

import base64
import dataclasses
import inspect
import json
import re

import pytest
import torch
from tiny_families import FAMILIES
from tiny_models import CORPUS, LLM, T5, TextModel, sentencepiece_model

PROMPT = "a cat and a pistol on a red chair"
QUOTED = 'a cat, a sign " pistol " on a red chair'
VISIBLE = {"num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 2}
DEEP = {**LLM, "num_hidden_layers": 37}  # the layers that FLUX.2 klein, Ideogram 4 and Krea 2 take
WORDS = 640  # of a tiny tekken vocabulary
SPECIAL = 20  # of its special tokens; the padding is number 11


@dataclasses.dataclass(frozen=True)
class Row:
    """encoders: keys of those that find words, in order;  followers: keys of tokens that are cleaned with them;
    refused: why the guard does not read it;  measured: with which trained encoder detection was measured
    """

    text: TextModel
    encoders: tuple[str, ...] = ()
    followers: tuple[str, ...] = ()
    refused: str = ""
    measured: str = ""
    prompt: str = PROMPT


def tekken_model() -> torch.Tensor:
    """A tokenizer file as Mistral's models carry it: bytes, then every beginning of a word of CORPUS.

    Skips the test where transformers has changed what ComfyUI reads such files with.
    """
    from transformers.integrations.mistral import MistralConverter

    if "vocab_file" in inspect.signature(MistralConverter).parameters:
        pytest.skip("with this transformers ComfyUI itself cannot read the tokenizer of a Mistral model")
    pieces = [bytes([byte]) for byte in range(256)]
    for word in re.findall(r" ?[a-zA-Z]+", CORPUS):
        pieces += [piece for n in range(2, len(word) + 1) if (piece := word[:n].encode()) not in pieces]
    vocabulary = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces[:WORDS])
    ]
    named = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    special = [
        {"rank": rank, "token_str": named[rank] if rank < len(named) else f"<SPECIAL_{rank}>", "is_control": True}
        for rank in range(SPECIAL)
    ]
    config = {"default_vocab_size": len(vocabulary) + SPECIAL, "pattern": ".*"}
    data = json.dumps({"config": config, "vocab": vocabulary, "special_tokens": special}).encode()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def tokenizer_json() -> torch.Tensor:
    """A byte-level tokenizer file as GPT-OSS's and Gemma 4's encoder files carry it."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<eos>", "<bos>", "<|start|>", "<|message|>", "<|end|>", "<|channel|>"],
    )
    tokenizer.train_from_iterator(CORPUS.splitlines() * 20, trainer)
    return torch.frombuffer(bytearray(tokenizer.to_str().encode()), dtype=torch.uint8)


def _gemma_file() -> dict:
    return {"spiece_model": sentencepiece_model(pad=0, eos=1, bos=2, unk=3)}


def _jina_file() -> torch.Tensor:
    return sentencepiece_model(bos=0, pad=1, eos=2, unk=3)


def _text(module: str, model: str, tokenizer: str, **more) -> TextModel:
    return TextModel(f"text_encoders.{module}.{model}", f"text_encoders.{module}.{tokenizer}", **more)


GEMMA = {**LLM, "vocab_size": 400}
MISTRAL = {**LLM, "num_hidden_layers": 31, "vocab_size": 1024}
SMALL_QWEN35 = {**LLM, "linear_num_key_heads": 1, "linear_num_value_heads": 1}
QWEN = dict.fromkeys(("qwen25_3b", "qwen3_06b", "qwen3_2b", "qwen3_8b", "qwen3vl_8b", "qwen3vl_4b"), LLM)
FROM_FAMILIES = {
    "SD1.x": "SD1.x",
    "SD2.x": "SD2.x",
    "SDXL": "SDXL",
    "SDXL refiner": "SDXL refiner",
    "SD3, SD3.5": "SD3, SD3.5",
    "Flux, Kontext": "Flux",
    "PixArt, Chroma": "PixArt",
    "Qwen-Image, Qwen-Image-Edit": "Qwen-Image",
    "Lumina 2": "Lumina 2",
    "Z-Image": "Z-Image",
    "Wan 2.1, Wan 2.2": "Wan 2.1",
    "LTXV": "LTXV",
    "HunyuanVideo": "HunyuanVideo",
}
MEASURED = {"SD1.x": "yes, with a small CLIP text model trained on English"}

STEERED = {
    name: Row(FAMILIES[family].text, FAMILIES[family].encoders, measured=MEASURED.get(name, ""))
    for name, family in FROM_FAMILIES.items()
} | {
    "Stable Cascade": Row(TextModel("sdxl_clip.StableCascadeClipModel", "sdxl_clip.StableCascadeTokenizer"), ("g",)),
    "HunyuanDiT": Row(
        _text(
            "hydit",
            "HyditModel",
            "HyditTokenizer",
            config={
                "hydit_clip": {**VISIBLE, "num_attention_heads": 2},
                "mt5xl": {**T5, "vocab_size": 400},
            },
            tokenizer_data=lambda: {"mt5xl.spiece_model": sentencepiece_model(pad=0, eos=1, unk=2)},
        ),
        ("hydit_clip", "mt5xl"),
        measured="its BERT only, with a smaller one (all-MiniLM-L6-v2)",
    ),
    "AuraFlow": Row(
        _text("aura_t5", "AuraT5Model", "AuraT5Tokenizer", config={"pile_t5xl": T5}),
        ("pile_t5xl",),
    ),
    "Mochi": Row(_text("genmo", "mochi_te", "MochiT5Tokenizer"), ("t5xxl",)),
    "Cosmos, Cosmos Predict2": Row(_text("cosmos", "te", "CosmosT5Tokenizer"), ("t5xxl",)),
    "CogVideoX": Row(_text("cogvideo", "cogvideo_te", "CogVideoXTokenizer"), ("t5xxl",)),
    "HiDream": Row(
        _text("hidream", "hidream_clip", "HiDreamTokenizer", config={"llama": {**LLM, "num_hidden_layers": 32}}),
        ("l", "g", "t5xxl", "llama"),
    ),
    "HunyuanImage 2.1": Row(
        _text("hunyuan_image", "te", "HunyuanImageTokenizer", config={"": {"num_layers": 2}}),
        ("qwen25_7b",),
        ("byt5",),
        prompt=QUOTED,
    ),
    "HunyuanVideo 1.5": Row(
        TextModel(
            "text_encoders.hunyuan_image.te",
            "text_encoders.hunyuan_video.HunyuanVideo15Tokenizer",
            config={"": {"num_layers": 2}},
        ),
        ("qwen25_7b",),
        ("byt5",),
        prompt=QUOTED,
    ),
    "Omnigen2": Row(_text("omnigen2", "te", "Omnigen2Tokenizer", config=QWEN), ("qwen25_3b",)),
    "Kandinsky 5 video": Row(_text("kandinsky5", "te", "Kandinsky5Tokenizer"), ("qwen25_7b", "l")),
    "Kandinsky 5 image": Row(_text("kandinsky5", "te", "Kandinsky5TokenizerImage"), ("qwen25_7b", "l")),
    "Lumina 2 with Gemma 3": Row(
        _text(
            "lumina2",
            "te",
            "NTokenizer",
            arguments={"model_type": "gemma3_4b"},
            config={"gemma3_4b": GEMMA},
            tokenizer_data=_gemma_file,
        ),
        ("gemma3_4b",),
    ),
    "FLUX.2": Row(
        _text(
            "flux",
            "flux2_te",
            "Flux2Tokenizer",
            config={"mistral3_24b": MISTRAL},
            tokenizer_data=lambda: {"tekken_model": tekken_model()},
        ),
        ("mistral3_24b",),
    ),
    "FLUX.2 klein 4B": Row(
        _text("flux", "klein_te", "KleinTokenizer", config={"qwen3_4b": {**LLM, "num_hidden_layers": 28}}),
        ("qwen3_4b",),
    ),
    "FLUX.2 klein 9B": Row(
        _text(
            "flux",
            "klein_te",
            "KleinTokenizer8B",
            arguments={"model_type": "qwen3_8b"},
            config={"qwen3_8b": {**LLM, "num_hidden_layers": 28}},
        ),
        ("qwen3_8b",),
    ),
    "Ovis-Image": Row(_text("ovis", "te", "OvisTokenizer", config=QWEN), ("qwen3_2b",)),
    "Anima": Row(_text("anima", "te", "AnimaTokenizer", config=QWEN), ("qwen3_06b",), ("t5xxl",)),
    "NewBie": Row(
        _text(
            "newbie",
            "te",
            "NewBieTokenizer",
            config={"": {**VISIBLE, "num_attention_heads": 4, "vocab_size": 400}},
            tokenizer_data=lambda: {
                "gemma_spiece_model": _gemma_file()["spiece_model"],
                "jina_spiece_model": _jina_file(),
            },
        ),
        ("gemma", "jina"),
    ),
    "Jina CLIP 2": Row(
        _text(
            "jina_clip_2",
            "JinaClip2TextModelWrapper",
            "JinaClip2TokenizerWrapper",
            config={"jina_clip_2": {**VISIBLE, "vocab_size": 400}},
            tokenizer_data=lambda: {"spiece_model": _jina_file()},
        ),
        ("jina_clip_2",),
    ),
    "LTX-2 (picture and sound)": Row(
        _text(
            "lt",
            "ltxav_te",
            "LTXAVGemmaTokenizer",  # all 48 layers of the real width feed its projection
            config={
                "": {"num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 8, "vocab_size": 400}
            },
            tokenizer_data=_gemma_file,
        ),
        ("gemma3_12b",),
    ),
    "LongCat-Image": Row(_text("longcat_image", "te", "LongCatImageTokenizer"), ("qwen25_7b",)),
    "PixelDiT": Row(
        _text("pixeldit", "pixeldit_te", "PixelDiTGemma2Tokenizer", tokenizer_data=_gemma_file), ("gemma2_2b",)
    ),
    "Lens": Row(
        _text(
            "gpt_oss",
            "lens_te",
            "LensTokenizer",
            options={
                "gpt_oss_config": {
                    "vocab_size": 600,
                    "hidden_size": 64,
                    "intermediate_size": 32,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 1,
                    "head_dim": 32,
                    "num_local_experts": 2,
                    "num_experts_per_tok": 1,
                },
            },
            tokenizer_data=lambda: {"tokenizer_json": tokenizer_json()},
            made_on_load=True,
        ),
        ("gpt_oss",),
    ),
    "ERNIE-Image": Row(
        _text(
            "ernie",
            "te",
            "ErnieTokenizer",
            config={"ministral3_3b": {**MISTRAL, "num_hidden_layers": 4}},
            tokenizer_data=lambda: {"tekken_model": tekken_model()},
        ),
        ("ministral3_3b",),
    ),
    "Ideogram 4": Row(_text("ideogram4", "te", "Ideogram4Tokenizer", config={"qwen3vl_8b": DEEP}), ("qwen3vl_8b",)),
    "Ideogram 4 with eyes": Row(
        _text("ideogram4", "te_qwen3vl", "Ideogram4Qwen3VLTokenizer", config={"qwen3vl_8b": DEEP}), ("qwen3vl_8b",)
    ),
    "Krea 2": Row(_text("krea2", "te", "Krea2Tokenizer", config={"qwen3vl_4b": DEEP}), ("qwen3vl_4b",)),
    "Boogu-Image": Row(_text("boogu", "te", "BooguTokenizer", config=QWEN), ("qwen3vl_8b",)),
    "JoyImage": Row(_text("joyimage", "te", "JoyImageTokenizer", config=QWEN), ("qwen3vl_8b",)),
    "Mage-Flow": Row(_text("mage_flow", "te", "MageFlowTokenizer", config=QWEN), ("qwen3vl_4b",)),
    "Qwen3-VL": Row(_text("qwen3vl", "te", "tokenizer", config=QWEN), ("qwen3vl_8b",)),
    "Qwen3.5": Row(_text("qwen35", "te", "tokenizer", config={"qwen35_2b": SMALL_QWEN35}), ("qwen35_2b",)),
}
REFUSED = {
    "Stable Audio": Row(_text("sa_t5", "SAT5Model", "SAT5Tokenizer"), refused="makes music and sound"),
    "Stable Audio 3": Row(
        _text("sa3", "SAT5GemmaModel", "SAT5GemmaTokenizer", tokenizer_data=_gemma_file),
        refused="makes music and sound",
    ),
    "ACE-Step": Row(
        _text(
            "ace",
            "AceT5Model",
            "AceT5Tokenizer",
            tokenizer_data=lambda: {"spiece_model": sentencepiece_model(pad=0, eos=1, unk=2)},
        ),
        refused="makes music and sound",
    ),
    "ACE-Step 1.5": Row(_text("ace15", "te", "ACE15Tokenizer", config={"": {**LLM}}), refused="makes music and sound"),
    "HiDream-O1": Row(
        _text("hidream_o1", "HiDreamO1TE", "HiDreamO1Tokenizer"), refused="the diffusion model reads the words itself"
    ),
    "Gemma 3 4B with eyes": Row(
        _text(
            "lumina2",
            "te",
            "NTokenizer",
            arguments={"model_type": "gemma3_4b_vision"},
            needs="text_encoders.lumina2.Gemma3_4B_Vision_Model",
            config={"gemma3_4b_vision": GEMMA},
            tokenizer_data=_gemma_file,
        ),
        refused="is there to write text",
    ),
    "Gemma 3 12B alone": Row(
        _text("lt", "gemma3_te", "Gemma3_12BTokenizer", config={"": GEMMA}, tokenizer_data=_gemma_file),
        refused="is there to write text",
    ),
    "Gemma 4": Row(
        _text(
            "gemma4",
            "gemma4_te",
            "Gemma4Tokenizer",
            arguments={"model_class": "text_encoders.gemma4.Gemma4_31B"},
            config={"gemma4": {**LLM, "vocab_size": 600}},
            tokenizer_data=lambda: {"tokenizer_json": tokenizer_json()},
        ),
        refused="is there to write text",
    ),
    "Gemma 4 12B": Row(
        _text(
            "gemma4",
            "gemma4_te",
            "Gemma4UnifiedTokenizer",
            arguments={"model_class": "text_encoders.gemma4.Gemma4_12B"},
            config={"gemma4": {**LLM, "vocab_size": 600}},
            tokenizer_data=lambda: {"tokenizer_json": tokenizer_json()},
        ),
        refused="is there to write text",
    ),
    "SAM 3": Row(_text("sam3_clip", "SAM3ClipModelWrapper", "SAM3TokenizerWrapper"), refused="names things to cut out"),
}
ROWS = STEERED | REFUSED
