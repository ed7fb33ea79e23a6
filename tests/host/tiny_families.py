"""The model families of ComfyUI that the pack supports, each as a small configuration of the real classes."""

from __future__ import annotations

import dataclasses

from tiny_models import CLIP, T5, WIDTH, Family, TextModel, sentencepiece_model

CLIP_L = {**CLIP, "hidden_size": 768, "num_attention_heads": 12}  # the real width: CLIP-G stands beside it
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
        {**DOUBLE_STREAM, "image_model": "flux", "patch_size": 2, "theta": 10000, "txt_ids_dims": []},
        (1, 16, 8, 8),
        reads_pooled=True,
        parameters="ldm.flux.model.FluxParams",
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
            "meanflow_sum": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
        },
        (1, 16, 2, 8, 8),
        reads_pooled=True,
        parameters="ldm.hunyuan_video.model.HunyuanVideoParams",
    ),
}

# Models that read something beside the prompt, with the text encoder of a family above.
VARIANTS = {
    "SD1.x inpainting": dataclasses.replace(FAMILIES["SD1.x"], config={**FAMILIES["SD1.x"].config, "in_channels": 9}),
    "SD2.1 unCLIP": dataclasses.replace(
        FAMILIES["SD2.x"], model="SD21UnclipL", config={**UNET, "adm_in_channels": 2 * 768, "num_classes": "sequential"}
    ),
}
