"""Small random models of ComfyUI's own classes, one for each family: a CLIP and a diffusion model.

Text models keep the vocabulary and, where the conditioning's layout depends on it, the width of the real ones, with
few and narrow layers. Import only after ComfyUI has been started (fixture `comfy_nodes`).
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models as supported
import torch
from comfy.model_patcher import ModelPatcher
from comfy.text_encoders import (
    flux,
    hunyuan_video,
    lt,
    lumina2,
    pixart_t5,
    qwen_image,
    sd2_clip,
    sd3_clip,
    wan,
    z_image,
)

# Three layers, so that there is a penultimate one.
CLIP = {"num_hidden_layers": 3, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 64}
CLIP_L = {**CLIP, "hidden_size": 768, "num_attention_heads": 12}  # as wide as the real one, where others stand beside
T5 = {"num_layers": 2, "d_ff": 64, "d_kv": 16, "num_heads": 4}
LLM = {"num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 64}
SMALL_CONFIGS = {
    "clip_l_model_config": CLIP,
    "clip_g_model_config": CLIP,
    "clip_h_model_config": CLIP,
    "t5xxl_model_config": {**T5, "d_model": 64},
    "umt5xxl_model_config": {**T5, "d_model": 64, "vocab_size": 400},
    "llama_model_config": {**LLM, "num_attention_heads": 2, "num_key_value_heads": 1},
    "qwen25_7b_model_config": {**LLM, "num_attention_heads": 2, "num_key_value_heads": 1},
    "qwen3_4b_model_config": {**LLM, "num_attention_heads": 2, "num_key_value_heads": 1},
    "gemma2_2b_model_config": {**LLM, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 400},
}
BLOCK = 4099  # rows of random numbers that large tables repeat

CORPUS = """a cat and a pistol on a red chair
a photo of a dog beside a banana, an apple and the moon
a gun a knife a horse a fish a bee a pizza a cake a car a bus a bicycle a tree a rose a house a castle a book
a camera a clock an umbrella a guitar a shoe a dress ! ? . : ; ( ) 0 1 2 3 4 5 6 7 8 9
You are an assistant designed to generate superior images with the superior degree of image-text alignment based on
textual prompts or user prompts. <Prompt Start> high-quality highest"""


@dataclasses.dataclass(frozen=True)
class Family:
    """How to build one family, and what to expect of it.

    keys: its text encoders in order;  latent: shape of an empty latent;  pooled: whether the model reads a pooled
    output
    """

    text_model: Callable[[], tuple]  # (text model class, tokenizer class)
    keys: tuple[str, ...]
    diffusion: Callable
    unet_config: dict
    latent: tuple[int, ...]
    pooled: bool = False
    text_config: dict = dataclasses.field(default_factory=dict)
    tokenizer_data: Callable[[], dict] = dict

    def clip(self):
        """A CLIP made by ComfyUI's own loader class, with random weights."""
        text_model, tokenizer = self.text_model()
        target = comfy.supported_models_base.ClipTarget(tokenizer, text_model)
        options = {name: dict(config) for name, config in {**SMALL_CONFIGS, **self.text_config}.items()}
        clip = comfy.sd.CLIP(target, tokenizer_data=self.tokenizer_data(), model_options=options)
        randomise(clip.cond_stage_model)
        return clip

    def model(self) -> ModelPatcher:
        """A MODEL with random weights."""
        config = self.diffusion(dict(self.unet_config))
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "")
        randomise(model.diffusion_model)
        cpu = torch.device("cpu")
        return ModelPatcher(model, load_device=cpu, offload_device=cpu)


def randomise(module: torch.nn.Module) -> None:
    """Random weights that keep the scale of the features; a vision tower is left out, nothing runs it."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if ".visual." in name:
                continue
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            rows = parameter.flatten(1)
            block = torch.randn(min(BLOCK, len(rows)), rows.shape[1], generator=generator) * rows.shape[1] ** -0.5
            for start in range(0, len(rows), BLOCK):
                rows[start : start + BLOCK] = block[: len(rows) - start]


def plant_words(encoder) -> None:
    """Make a random text encoder read a prompt as the bag of its words, as a trained one does to first order.

    Words have long embeddings, tokens that stand for no word (start, end, padding, the guard's neutral one) none;
    positions and feed-forward layers hardly count, and attention gathers them evenly at the end token, or nowhere where
    the pooled embedding is the mean of the words anyway.
    """
    with torch.no_grad():
        table = encoder.model.transformer.get_input_embeddings().weight
        table *= table.shape[1] ** 0.5
        tokenizer = encoder.tokenizer
        table[[t for t in (tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token) if t is not None]] = 0
        table[encoder.neutral] = 0
        quiet = ("position_embedding.weight", "fc2.weight", ".wo.weight", "down_proj.weight")
        quiet += ("q_proj.weight",) if encoder.kind.pooling == "end" else (".o.weight", "o_proj.weight")
        for name, parameter in encoder.model.named_parameters():
            if name.endswith(quiet):
                parameter *= 1e-3


def sentencepiece_model(special: dict[str, int]) -> torch.Tensor:
    """A tokenizer of 400 pieces trained on CORPUS, as the encoder files of Wan and Lumina 2 carry theirs."""
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


def umt5_tokenizer() -> dict:
    return {"spiece_model": sentencepiece_model({"pad": 0, "eos": 1, "unk": 2})}


def gemma_tokenizer() -> dict:
    return {"spiece_model": sentencepiece_model({"pad": 0, "eos": 1, "bos": 2, "unk": 3})}


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
}
FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 128,
    "context_in_dim": 64,
    "hidden_size": 128,
    "mlp_ratio": 2.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 96,
    "cap_feat_dim": 64,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "n_heads": 1,
    "n_kv_heads": 1,
    "qk_norm": True,
    "axes_dims": [32, 32, 32],
    "axes_lens": [300, 512, 512],
    "ffn_dim_multiplier": 1.0,
    "multiple_of": 32,
}

FAMILIES = {
    "SD1.x": Family(
        lambda: (comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer),
        ("l",),
        supported.SD15,
        {**UNET, "context_dim": 128, "use_linear_in_transformer": False, "num_heads": 2, "num_head_channels": -1},
        (1, 4, 8, 8),
    ),
    "SD2.x": Family(
        lambda: (sd2_clip.SD2ClipModel, sd2_clip.SD2Tokenizer),
        ("h",),
        supported.SD20,
        {**UNET, "context_dim": 128},
        (1, 4, 8, 8),
    ),
    "SDXL": Family(
        lambda: (comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer),
        ("l", "g"),
        supported.SDXL,
        {**UNET, "context_dim": 896, "adm_in_channels": 128 + 6 * 256, "num_classes": "sequential"},
        (1, 4, 8, 8),
        pooled=True,
        text_config={"clip_l_model_config": CLIP_L},
    ),
    "SDXL refiner": Family(
        lambda: (comfy.sdxl_clip.SDXLRefinerClipModel, comfy.sdxl_clip.SDXLTokenizer),
        ("g",),
        supported.SDXLRefiner,
        {**UNET, "context_dim": 128, "adm_in_channels": 128 + 5 * 256, "num_classes": "sequential"},
        (1, 4, 8, 8),
        pooled=True,
    ),
    "SD3, SD3.5": Family(
        lambda: (sd3_clip.sd3_clip(), sd3_clip.SD3Tokenizer),
        ("l", "g", "t5xxl"),
        supported.SD3,
        {
            "in_channels": 16,
            "patch_size": 2,
            "out_channels": 16,
            "depth": 1,
            "input_size": None,
            "adm_in_channels": 896,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 64},
            },
            "num_patches": 256,
            "pos_embed_max_size": 16,
            "pos_embed_scaling_factor": None,
        },
        (1, 16, 8, 8),
        pooled=True,
        text_config={
            "clip_l_model_config": CLIP_L,
            "t5xxl_model_config": {**T5, "d_model": 4096},  # as wide as the padded CLIP states
        },
    ),
    "Flux": Family(
        lambda: (flux.flux_clip(), flux.FluxTokenizer),
        ("l", "t5xxl"),
        supported.Flux,
        FLUX,
        (1, 16, 8, 8),
        pooled=True,
    ),
    "PixArt": Family(
        lambda: (pixart_t5.pixart_te(), pixart_t5.PixArtTokenizer),
        ("t5xxl",),
        supported.PixArtSigma,
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
        (1, 4, 8, 8),
    ),
    "Qwen-Image": Family(
        lambda: (qwen_image.te(), qwen_image.QwenImageTokenizer),
        ("qwen25_7b",),
        supported.QwenImage,
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
        lambda: (lumina2.te(), lumina2.LuminaTokenizer),
        ("gemma2_2b",),
        supported.Lumina2,
        LUMINA,
        (1, 16, 8, 8),
        tokenizer_data=gemma_tokenizer,
    ),
    "Z-Image": Family(
        lambda: (z_image.te(), z_image.ZImageTokenizer),
        ("qwen3_4b",),
        supported.ZImage,
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
        lambda: (wan.te(), wan.WanT5Tokenizer),
        ("umt5xxl",),
        supported.WAN21_T2V,
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
        tokenizer_data=umt5_tokenizer,
    ),
    "LTXV": Family(
        lambda: (lt.ltxv_te(), lt.LTXVT5Tokenizer),
        ("t5xxl",),
        supported.LTXV,
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
        lambda: (hunyuan_video.hunyuan_video_clip(), hunyuan_video.HunyuanVideoTokenizer),
        ("l", "llama"),
        supported.HunyuanVideo,
        {
            "image_model": "hunyuan_video",
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": [1, 2, 2],
            "vec_in_dim": 128,
            "context_in_dim": 64,
            "hidden_size": 128,
            "mlp_ratio": 2.0,
            "num_heads": 1,
            "depth": 1,
            "depth_single_blocks": 1,
            "axes_dim": [16, 56, 56],
            "theta": 256,
            "qkv_bias": True,
            "guidance_embed": True,
            "byt5": False,
            "meanflow": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
        },
        (1, 16, 2, 8, 8),
        pooled=True,
    ),
}
