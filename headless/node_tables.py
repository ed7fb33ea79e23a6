"""What the nodes of ComfyUI itself do with CONDITIONING: the knowledge behind check.py and guard.py.

core_nodes.json beside this file names the nodes of ComfyUI that neither sample nor touch CONDITIONING;
dev/generate/core_nodes.py writes it. A node that is in none of these tables counts as unknown, which means refused.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

HARMLESS: frozenset[str] = frozenset(json.loads(Path(__file__).with_name("core_nodes.json").read_text("utf-8")))


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A node that makes a picture of CONDITIONING, or the guider of one that does.

    positive, negative: inputs that the picture is drawn towards, and away from
    scales: guidance scales. Below 1 the negative is no longer drawn away from: with 0 it is the prompt
    """

    positive: tuple[str, ...] = ("positive",)
    negative: tuple[str, ...] = ("negative",)
    scales: tuple[str, ...] = ("cfg",)


SAMPLERS = {
    "KSampler": Sampler(),
    "KSamplerAdvanced": Sampler(),
    "SamplerCustom": Sampler(),
    "SelfValidatingSampler": Sampler(),
    "CFGGuider": Sampler(),
    "BasicGuider": Sampler(("conditioning",), (), ()),
    "DualCFGGuider": Sampler(("cond1", "cond2"), ("negative",), ("cfg_conds", "cfg_cond2_negative")),
    "DualModelGuider": Sampler(),
    "LTXVDualCFGGuider": Sampler(scales=("video_cfg", "audio_cfg")),
    "PerpNegGuider": Sampler(("positive", "empty_conditioning")),
    "PerpNeg": Sampler(("empty_conditioning",), (), ()),  # a MODEL patch
}

# Patches of MODEL with a guidance scale of their own, which some frames of a video get in place of the sampler's.
MODEL_SCALES = {"VideoLinearCFGGuidance": "min_cfg", "VideoTriangleCFGGuidance": "min_cfg"}

_ONE = (("conditioning",),)
_PAIR = (("positive",), ("negative",))

# Nodes that pass CONDITIONING on: for each output slot the inputs that go into it, none for a slot of another type.
CARRIERS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(
        (
            "ConditioningMultiply",
            "ConditioningSetArea",
            "ConditioningSetAreaPercentage",
            "ConditioningSetAreaPercentageVideo",
            "ConditioningSetAreaStrength",
            "ConditioningSetMask",
            "ConditioningSetTimestepRange",
            "ConditioningZeroOut",
            "ControlNetApply",
            "FluxDisableGuidance",
            "FluxGuidance",
            "FluxKontextMultiReferenceLatentMethod",
            "ReferenceLatent",
            "ReferenceTimbreAudio",
            "SetModelHooksOnCond",
            "StableCascade_StageB_Conditioning",
            "StyleModelApply",
            "unCLIPConditioning",
        ),
        _ONE,
    ),
    **dict.fromkeys(
        (
            "BerniniConditioning",
            "ConditioningStableAudio",
            "ControlNetApplyAdvanced",
            "ControlNetApplySD3",
            "ControlNetInpaintingAliMamaApply",
            "HiDreamO1ReferenceImages",
            "HunyuanRefinerLatent",
            "HunyuanVideo15ImageToVideo",
            "HunyuanVideo15SuperResolution",
            "InpaintModelConditioning",
            "InstructPixToPixConditioning",
            "Kandinsky5ImageToVideo",
            "LTXVAddGuide",
            "LTXVConditioning",
            "LTXVCropGuides",
            "LTXVImgToVideo",
            "SD_4XUpscale_Conditioning",
            "VOIDInpaintConditioning",
            "Wan22FunControlToVideo",
            "WanAnimateToVideo",
            "WanCameraImageToVideo",
            "WanDancerVideo",
            "WanFirstLastFrameToVideo",
            "WanFunControlToVideo",
            "WanFunInpaintToVideo",
            "WanHuMoImageToVideo",
            "WanImageToVideo",
            "WanMoveTrackToVideo",
            "WanSCAILToVideo",
            "WanSoundImageToVideo",
            "WanSoundImageToVideoExtend",
            "WanTrackToVideo",
            "WanVaceToVideo",
        ),
        _PAIR,
    ),
    "HunyuanImageToVideo": (("positive",),),
    "PiDConditioning": (("positive",),),
    "LTXVReferenceAudio": ((), *_PAIR),
    "WanInfiniteTalkToVideo": ((), *_PAIR),
    # the prompt of the pose, or else the positive one, goes into both
    "WanAnimate2ToVideo": (("positive", "positive_pose"), ("negative", "positive", "positive_pose")),
    "WanPhantomSubjectToVideo": (("positive",), ("negative",), ("negative",)),
    "ConditioningAverage": (("conditioning_to", "conditioning_from"),),
    "ConditioningConcat": (("conditioning_to", "conditioning_from"),),
    "ConditioningCombine": (("conditioning_1", "conditioning_2"),),
    "ConditioningSetProperties": (("cond_NEW",),),
    "ConditioningSetPropertiesAndCombine": (("cond", "cond_NEW"),),
    "ConditioningSetDefaultCombine": (("cond", "cond_DEFAULT"),),
    "PairConditioningSetProperties": (("positive_NEW",), ("negative_NEW",)),
    "PairConditioningSetPropertiesAndCombine": (("positive", "positive_NEW"), ("negative", "negative_NEW")),
    "PairConditioningSetDefaultCombine": (("positive", "positive_DEFAULT"), ("negative", "negative_DEFAULT")),
    "PairConditioningCombine": (("positive_A", "positive_B"), ("negative_A", "negative_B")),
}

# CONDITIONING from pictures or fixed tensors: no prompt in it, so nothing for the guard to read.
WORDLESS = frozenset(
    {
        "Hunyuan3Dv2Conditioning",
        "Hunyuan3Dv2ConditioningMultiView",
        "LotusConditioning",
        "SeedVR2Conditioning",
        "StableZero123_Conditioning",
        "StableZero123_Conditioning_Batched",
        "SV3D_Conditioning",
        "SVD_img2vid_Conditioning",
        "TripoSplatConditioning",
    }
)

# Nodes that read CONDITIONING and draw nothing of it: they find things in a picture, or say how long a video should be.
READERS = frozenset({"LTXVDurationPredictor", "SAM3_Detect", "SAM3_VideoTrack"})

# Encoders that guard.py replaces, where their texts allow it.
GUARDABLE = frozenset({"CLIPTextEncode", "CLIPTextEncodeFlux", "CLIPTextEncodeLumina2", "CLIPTextEncodeSD3"})

# Encoders that SafreeFilterConditioning can follow, steering by the subspaces alone.
FILTERABLE = frozenset({"CLIPTextEncodeSDXL", "CLIPTextEncodeSDXLRefiner"})

# Nodes through which text reaches a sampler past the guard, and why there is no guarded twin.
REFUSED = {
    "CLIPTextEncodeControlnet": "encodes a second text, for a ControlNet, that SafreeConditioning does not see",
    "CLIPTextEncodeHiDream": "HiDream's text encoders are not supported by SafreeConditioning",
    "CLIPTextEncodeHunyuanDiT": "HunyuanDiT's text encoders are not supported by SafreeConditioning",
    "CLIPTextEncodeKandinsky5": "encodes two different texts, which SafreeConditioning cannot",
    "CLIPTextEncodePixArtAlpha": "adds the picture's size to the conditioning, which SafreeConditioning does not",
    "CLIPTextEncodeSDXL": "adds sizes to the conditioning and may encode two texts, which SafreeConditioning does not",
    "CLIPTextEncodeSDXLRefiner": "adds size and score to the conditioning, which SafreeConditioning does not",
    "GLIGENTextBoxApply": "encodes a second text, for a box, that SafreeConditioning does not see",
    "LoadImageTextSetFromFolderNode": "encodes texts without the guard",
    "LoadTrainingDataset": "reads conditioning from a file, whose prompts are not known",
    "MakeTrainingDataset": "encodes texts without the guard",
    "MiniMaxH3ImageToVideo": "encodes its text together with pictures, which SafreeConditioning cannot",
    "MiniMaxH3ReferenceToVideo": "encodes its text together with pictures, which SafreeConditioning cannot",
    "MiniMaxMusic3TextEncode": "encodes a caption and lyrics for music, which SafreeConditioning cannot",
    "PhotoMakerEncode": "encodes its text together with a photo, which SafreeConditioning cannot",
    "ResolutionBucket": "sorts conditioning for training, which SafreeConditioning knows nothing of",
    "SaveTrainingDataset": "writes conditioning to a file that other workflows can read",
    "TextEncodeAceStepAudio": "encodes tags and lyrics for music, which SafreeConditioning cannot",
    "TextEncodeAceStepAudio1.5": "encodes tags and lyrics for music, which SafreeConditioning cannot",
    "TextEncodeBooguEdit": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TextEncodeHunyuanVideo_ImageToVideo": "encodes its text together with a picture, which SafreeConditioning cannot",
    "TextEncodeJoyImageEdit": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TextEncodeMageFlowEdit": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TextEncodeQwenImageEdit": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TextEncodeQwenImageEditPlus": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TextEncodeZImageOmni": "encodes its text together with pictures, which SafreeConditioning cannot",
    "TrainLoraNode": "trains on its conditioning",
}

# `type` of ComfyUI's CLIP loaders whose text encoders SafreeConditioning does not know: it stops with an error there.
UNSUPPORTED_CLIPS = frozenset(
    {
        "ace",
        "boogu",
        "flux2",
        "hidream",
        "hunyuan_image",
        "hunyuan_video_15",
        "ideogram4",
        "joyimage",
        "krea2",
        "lens",
        "mage",
        "minimax",
        "newbie",
        "omnigen2",
        "ovis",
        "stable_audio",
    }
)

# The system prompts of CLIPTextEncodeLumina2, by the value of its widget.
LUMINA2 = {
    "superior": "You are an assistant designed to generate superior images with the superior degree of image-text "
    "alignment based on textual prompts or user prompts.",
    "alignment": "You are an assistant designed to generate high-quality images with the highest degree of image-text "
    "alignment based on textual prompts.",
}
