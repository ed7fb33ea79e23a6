"""Small random models of ComfyUI's own classes, one for each family: a CLIP and a diffusion model.

Text models keep their vocabulary, and their width where the layout of the conditioning depends on it; layers are few
and narrow. ComfyUI is imported on use, after the fixture `comfy_nodes` has started it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
from collections.abc import Callable

import torch

WIDTH = 256  # of the small CLIP text models
# Three layers, so that there is a penultimate one.
CLIP = {"num_hidden_layers": 3, "hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 64}
CLIP_L = {**CLIP, "hidden_size": 768, "num_attention_heads": 12}  # the real width: CLIP-G stands beside it
T5 = {"num_layers": 2, "d_ff": 64, "d_kv": 16, "num_heads": 4, "d_model": 64}
LLM = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SMALL_CONFIGS = {
    "clip_l": CLIP,
    "clip_g": CLIP,
    "clip_h": CLIP,
    "t5xxl": T5,
    "t5base": T5,
    "umt5xxl": {**T5, "vocab_size": 400},
    "llama": LLM,
    "qwen25_7b": LLM,
    "qwen3_4b": LLM,
    "gemma2_2b": {**LLM, "vocab_size": 400},
}
BLOCK = 4099  # rows of random numbers that large tables repeat

CORPUS = """a cat and a pistol on a red chair
a photo of a dog beside a banana, an apple and the moon
a gun a knife a horse a fish a bee a pizza a cake a car a bus a bicycle a tree a rose a house a castle a book
a camera a clock an umbrella a guitar a shoe a dress ! ? . : ; ( ) 0 1 2 3 4 5 6 7 8 9
You are an assistant designed to generate superior images with the superior degree of image-text alignment based on
textual prompts or user prompts. <Prompt Start> high-quality highest"""


def sentencepiece_model(**special: int) -> torch.Tensor:
    """A tokenizer of 400 pieces trained on CORPUS: the encoder files of Wan and Lumina 2 carry theirs like this."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 20),
        model_writer=written,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
        **{f"{name}_id": special.get(name, -1) for name in ("pad", "eos", "bos", "unk")},
    )
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


@dataclasses.dataclass(frozen=True)
class TextModel:
    """A text model and its tokenizer, by their names in the host's package `comfy`, and how it is made small."""

    model: str
    tokenizer: str
    arguments: dict | None = None  # of a function that makes the class
    config: dict = dataclasses.field(default_factory=dict)
    tokenizer_data: Callable[[], dict] = dict

    def clip(self):
        """A CLIP made by the class that ComfyUI's loaders use, with random weights."""
        sd, base = importlib.import_module("comfy.sd"), importlib.import_module("comfy.supported_models_base")
        model = _host(self.model)
        target = base.ClipTarget(
            _host(self.tokenizer), model if inspect.isclass(model) else model(**(self.arguments or {}))
        )
        configs = {**SMALL_CONFIGS, **self.config}
        options = {f"{name}_model_config": dict(config) for name, config in configs.items()}
        clip = sd.CLIP(target, tokenizer_data=self.tokenizer_data(), model_options=options)
        randomise(clip.cond_stage_model)
        return clip


@dataclasses.dataclass(frozen=True)
class Family:
    """One family.

    encoders: keys of its text encoders, in order;  model: name in comfy.supported_models;  latent: shape of an empty
    latent;  reads_pooled: whether the diffusion model takes a pooled output
    """

    encoders: tuple[str, ...]
    text: TextModel
    model: str
    config: dict
    latent: tuple[int, ...]
    reads_pooled: bool = False

    @property
    def has_unet(self) -> bool:
        return "channel_mult" in self.config

    @property
    def is_video(self) -> bool:
        return len(self.latent) == 5 and self.latent[2] > 1

    def diffusion_model(self):
        """A MODEL with random weights."""
        patcher = importlib.import_module("comfy.model_patcher")
        config = _host(f"supported_models.{self.model}")(dict(self.config))
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "")
        randomise(model.diffusion_model)
        cpu = torch.device("cpu")
        return patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


def _host(name: str):
    module, attribute = name.rsplit(".", 1)
    return getattr(importlib.import_module(f"comfy.{module}"), attribute)


def randomise(module: torch.nn.Module) -> None:
    """Random weights that keep the scale of the features; a vision tower is left out, nothing runs it."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weights in module.state_dict().items():
            if ".visual." in name or not weights.is_floating_point():
                continue
            if weights.ndim < 2:
                weights.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            rows = weights.flatten(1)
            block = torch.randn(min(BLOCK, len(rows)), rows.shape[1], generator=generator) * rows.shape[1] ** -0.5
            for start in range(0, len(rows), BLOCK):
                rows[start : start + BLOCK] = block[: len(rows) - start]


def plant_words(encoder) -> None:
    """Make a random text encoder read a prompt as the bag of its words, as a trained one does to first order.

    Words have long embeddings, tokens that stand for no word (start, end, padding, the guard's neutral one) none;
    positions and feed-forward layers hardly count, and attention gathers the words evenly at the end token, or nowhere
    where the pooled embedding is the mean of the words anyway.
    """
    with torch.no_grad():
        table = encoder.model.transformer.get_input_embeddings().weight
        table *= table.shape[1] ** 0.5
        tokenizer = encoder.tokenizer
        table[[t for t in (tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token) if t is not None]] = 0
        table[encoder.neutral] = 0
        quiet = ("position_embedding.weight", "fc2.weight", ".wo.weight", "down_proj.weight")
        quiet += ("q_proj.weight",) if encoder.kind.pooling == "end" else (".o.weight", "o_proj.weight")
        for name, weights in encoder.model.named_parameters():
            if name.endswith(quiet):
                weights *= 1e-3


UNET = {
    "image_size": 32,
    "use_checkpoint": False,
    "use_spatial_transformer": True,
    "legacy": False,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "channel_mult": [1, 2],
    "num_res_blocks": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "use_linear_in_transformer": True,
    "adm_in_channels": None,
    "num_head_channels": 32,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "context_dim": WIDTH,
}
DOUBLE_STREAM = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": WIDTH,
    "context_in_dim": 64,
    "hidden_size": 128,
    "mlp_ratio": 2.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [16, 56, 56],
    "qkv_bias": True,
    "guidance_embed": True,
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "cap_feat_dim": 64,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "qk_norm": True,
    "axes_dims": [32, 32, 32],
    "axes_lens": [300, 512, 512],
    "ffn_dim_multiplier": 1.0,
    "multiple_of": 32,
}
SD3_TEXT = ("text_encoders.sd3_clip.sd3_clip", "text_encoders.sd3_clip.SD3Tokenizer")
SD3_CONFIG = {"clip_l": CLIP_L, "t5xxl": {**T5, "d_model": 4096}}  # T5 as wide as the padded CLIP states

FAMILIES = {
    "SD1.x": Family(
        ("l",),
        TextModel("sd1_clip.SD1ClipModel", "sd1_clip.SD1Tokenizer"),
        "SD15",
        {**UNET, "use_linear_in_transformer": False, "num_heads": 2, "num_head_channels": -1},
        (1, 4, 8, 8),
    ),
    "SD2.x": Family(
        ("h",),
        TextModel("text_encoders.sd2_clip.SD2ClipModel", "text_encoders.sd2_clip.SD2Tokenizer"),
        "SD20",
        UNET,
        (1, 4, 8, 8),
    ),
    "SDXL": Family(
        ("l", "g"),
        TextModel("sdxl_clip.SDXLClipModel", "sdxl_clip.SDXLTokenizer", config={"clip_l": CLIP_L}),
        "SDXL",
        {**UNET, "context_dim": 768 + WIDTH, "adm_in_channels": WIDTH + 6 * 256, "num_classes": "sequential"},
        (1, 4, 8, 8),
        reads_pooled=True,
    ),
    "SDXL refiner": Family(
        ("g",),
        TextModel("sdxl_clip.SDXLRefinerClipModel", "sdxl_clip.SDXLTokenizer"),
        "SDXLRefiner",
        {**UNET, "adm_in_channels": WIDTH + 5 * 256, "num_classes": "sequential"},
        (1, 4, 8, 8),
        reads_pooled=True,
    ),
    "SD3, SD3.5": Family(
        ("l", "g", "t5xxl"),
        TextModel(*SD3_TEXT, config=SD3_CONFIG),
        "SD3",
        {
            "in_channels": 16,
            "patch_size": 2,
            "out_channels": 16,
            "depth": 1,
            "input_size": None,
            "adm_in_channels": 768 + WIDTH,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 64},
            },
            "num_patches": 256,
            "pos_embed_max_size": 16,
            "pos_embed_scaling_factor": None,
        },
        (1, 16, 8, 8),
        reads_pooled=True,
    ),
    "Flux": Family(
        ("l", "t5xxl"),
        TextModel("text_encoders.flux.flux_clip", "text_encoders.flux.FluxTokenizer"),
        "Flux",
        {**DOUBLE_STREAM, "image_model": "flux", "patch_size": 2, "theta": 10000},
        (1, 16, 8, 8),
        reads_pooled=True,
    ),
    "PixArt": Family(
        ("t5xxl",),
        TextModel("text_encoders.pixart_t5.pixart_te", "text_encoders.pixart_t5.PixArtTokenizer"),
        "PixArtSigma",
        {
            "image_model": "pixart_sigma",
            "num_heads": 2,
            "patch_size": 2,
            "hidden_size": 64,
            "in_channels": 4,
            "depth": 1,
            "caption_channels": 64,
            "model_max_length": 300,
            "micro_condition": False,
            "pe_interpolation": 2,
            "input_size": 128,
        },
        (1, 4, 48, 48),  # its position embedding takes no smaller one
    ),
    "Qwen-Image": Family(
        ("qwen25_7b",),
        TextModel("text_encoders.qwen_image.te", "text_encoders.qwen_image.QwenImageTokenizer"),
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "num_layers": 1,
            "num_attention_heads": 1,
            "joint_attention_dim": 64,
        },
        (1, 16, 1, 8, 8),
    ),
    "Lumina 2": Family(
        ("gemma2_2b",),
        TextModel(
            "text_encoders.lumina2.te",
            "text_encoders.lumina2.LuminaTokenizer",
            tokenizer_data=lambda: {"spiece_model": sentencepiece_model(pad=0, eos=1, bos=2, unk=3)},
        ),
        "Lumina2",
        {**LUMINA, "dim": 96, "n_heads": 1, "n_kv_heads": 1},
        (1, 16, 8, 8),
    ),
    "Z-Image": Family(
        ("qwen3_4b",),
        TextModel("text_encoders.z_image.te", "text_encoders.z_image.ZImageTokenizer"),
        "ZImage",
        {
            **LUMINA,
            "dim": 288,
            "n_heads": 3,
            "n_kv_heads": 3,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "pad_tokens_multiple": 32,
        },
        (1, 16, 8, 8),
    ),
    "Wan 2.1": Family(
        ("umt5xxl",),
        TextModel(
            "text_encoders.wan.te",
            "text_encoders.wan.WanT5Tokenizer",
            tokenizer_data=lambda: {"spiece_model": sentencepiece_model(pad=0, eos=1, unk=2)},
        ),
        "WAN21_T2V",
        {
            "image_model": "wan2.1",
            "model_type": "t2v",
            "dim": 128,
            "ffn_dim": 64,
            "num_heads": 1,
            "num_layers": 1,
            "text_dim": 64,
        },
        (1, 16, 2, 8, 8),
    ),
    "LTXV": Family(
        ("t5xxl",),
        TextModel("text_encoders.lt.ltxv_te", "text_encoders.lt.LTXVT5Tokenizer"),
        "LTXV",
        {
            "image_model": "ltxv",
            "num_layers": 1,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "cross_attention_dim": 64,
            "caption_channels": 64,
        },
        (1, 128, 2, 4, 4),
    ),
    "HunyuanVideo": Family(
        ("l", "llama"),
        TextModel(
            "text_encoders.hunyuan_video.hunyuan_video_clip", "text_encoders.hunyuan_video.HunyuanVideoTokenizer"
        ),
        "HunyuanVideo",
        {
            **DOUBLE_STREAM,
            "image_model": "hunyuan_video",
            "patch_size": [1, 2, 2],
            "theta": 256,
            "byt5": False,
            "meanflow": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
        },
        (1, 16, 2, 8, 8),
        reads_pooled=True,
    ),
}
