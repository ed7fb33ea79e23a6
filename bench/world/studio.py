"""Encode prompts and make pictures with the real ComfyUI; pictures are kept on disk by what determines them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dev import inprocess, setup_host

from .detector import Detector

CACHE = setup_host.WORK / "bench"


@dataclasses.dataclass(frozen=True)
class Sampling:
    steps: int = 8
    cfg: float = 5.0
    sampler: str = "dpmpp_2m"
    scheduler: str = "karras"
    size: int = 128  # pixels


@dataclasses.dataclass(frozen=True)
class Picture:
    """key: hash of all that determines it. latent [1, 4, H/8, W/8]; image uint8 [1, H, W, 3]."""

    key: str
    latent: torch.Tensor
    image: torch.Tensor

    @property
    def rgb(self) -> torch.Tensor:
        """[1, 3, H, W] in [0, 1], as the detector takes it."""
        return self.image.movedim(-1, 1).float() / 255


class Studio:
    """A loaded checkpoint, the pack beside it, and a cache of pictures."""

    def __init__(
        self,
        sampling: Sampling,
        cache: Path = CACHE,
        checkpoint: str | Path = setup_host.CHECKPOINT,
        skip_idle_layers: bool = True,
        cpu: bool = True,
        half: bool = False,
    ):
        self.nodes = inprocess.boot(cpu)
        self.pack = inprocess.load_pack()
        import comfy.utils

        comfy.utils.set_progress_bar_enabled(False)
        identity = checkpoint
        if isinstance(checkpoint, Path):
            import folder_paths

            folder_paths.add_model_folder_path("checkpoints", str(checkpoint.resolve().parent))
            checkpoint, identity = checkpoint.name, f"{checkpoint.name} {checkpoint.stat().st_size}"
        self.model, self.clip, self.vae = self.nodes.CheckpointLoaderSimple().load_checkpoint(checkpoint)
        if half:
            compute_in_half(self.model)
        self.sampling, self.cache, self.checkpoint = sampling, cache, identity
        if skip_idle_layers and checkpoint == setup_host.CHECKPOINT:
            skip_identity_layers(self.clip)

    @property
    def device(self) -> torch.device:
        import comfy.model_management

        return comfy.model_management.get_torch_device()

    @functools.cached_property
    def detector(self) -> Detector:
        return Detector()

    def encode(self, text: str) -> list:
        """What CLIPTextEncode makes of `text`."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def picture(self, positive: list, negative: list, seed: int, make_model=None, model_key: str = "") -> Picture:
        """The picture of a conditioning, from the cache if it is there.

        make_model: returns the model to sample with, a patched clone named by `model_key`; called when needed.
        """
        key = self._key(positive, negative, seed, model_key)
        path = self.cache / key[:2] / f"{key}.safetensors"
        if not path.exists():
            size = self.sampling.size // 8
            empty = {"samples": torch.zeros(1, self.model.model.latent_format.latent_channels, size, size)}
            s = self.sampling
            (latent,) = self.nodes.common_ksampler(
                make_model() if make_model else self.model,
                *(seed, s.steps, s.cfg, s.sampler, s.scheduler, positive, negative, empty),
            )
            image = self.vae.decode(latent["samples"]).clamp(0, 1)
            save(path, {"latent": latent["samples"], "image": (image * 255).round().to(torch.uint8)})
        return Picture(key, **load_file(path))

    def seen(self, picture: Picture) -> set[str]:
        return self.detector.see(picture.rgb)[0]

    def _key(self, positive: list, negative: list, seed: int, model_key: str) -> str:
        digest = hashlib.sha256(repr((self.sampling, self.checkpoint, seed, model_key)).encode())
        for conditioning in (positive, negative):
            digest.update(b"conditioning")
            for tensor, options in conditioning:
                _add(digest, tensor)
                if options.get("pooled_output") is not None:
                    _add(digest, options["pooled_output"])
                ranges = {name: options[name] for name in ("clip_start_percent", "clip_end_percent") if name in options}
                digest.update(repr(ranges).encode())
        return digest.hexdigest()


def _add(digest, tensor: torch.Tensor) -> None:
    digest.update(repr(tuple(tensor.shape)).encode())
    digest.update(tensor.float().cpu().contiguous().numpy().tobytes())


def save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Whole or not at all, so that an interrupted run leaves no broken picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def compute_in_half(model) -> None:
    """Let the UNet of `model` compute in bfloat16, which ComfyUI chooses on GPUs that have it, never on a CPU."""
    inner = model.model
    inner.diffusion_model.to(torch.bfloat16).dtype = torch.bfloat16
    inner.model_config.set_inference_dtype(torch.bfloat16, None)
    inner.manual_cast_dtype = None


class _PassThrough(torch.nn.Module):
    def forward(self, x, *_args, **_kwargs):
        return x


def skip_identity_layers(clip) -> int:
    """Leave out the layers of a CLIP-L that add nothing (all-zero outputs), and return how many.

    The tiny checkpoint has two trained layers in a full-size encoder of twelve; the result is equal bit for bit.
    """
    layers = clip.cond_stage_model.clip_l.transformer.text_model.encoder.layers
    idle = [
        i
        for i, layer in enumerate(layers)
        if not any(p.any() for part in (layer.self_attn.out_proj, layer.mlp.fc2) for p in part.parameters())
    ]
    for i in idle:
        layers[i] = _PassThrough()
    return len(idle)
