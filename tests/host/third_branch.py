"""Latent re-attention written the plain way, to compare with: a whole third UNet pass and the full complex spectrum."""

from __future__ import annotations

import torch

SCALES = {640: 0.9, 320: 0.2}  # s by width of the decoder's features, of the tiny UNet's two stages


def damp(h: torch.Tensor, h0: torch.Tensor, s: float) -> torch.Tensor:
    """IFFT(F'), F' = s F in the 2x2 centre of the shifted spectrum where |F| > |F0| (paper, equation 8).

    Exceeding by a hundredth of the spectrum's root mean square, or rounding would decide where both are equal.
    """
    f, f0 = (torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) for x in (h, h0))
    centre = torch.zeros(h.shape[-2:], dtype=torch.bool)
    y, x = h.shape[-2] // 2, h.shape[-1] // 2
    centre[y - 1 : y + 1, x - 1 : x + 1] = True
    margin = 0.01 * (f0.abs() ** 2).mean(dim=(-2, -1), keepdim=True).sqrt()
    f = torch.where(centre & (f.abs() > f0.abs() + margin), s * f, f)
    return torch.fft.ifft2(torch.fft.ifftshift(f, dim=(-2, -1))).real


def with_third_branch(model, original: torch.Tensor, scales: dict[int, float] = SCALES):
    """A clone of `model` whose positive rows are damped against a whole pass of the UNet for `original` [1, T, D]."""
    import comfy.patcher_extension

    def patched(options: dict, patch) -> dict:
        patches = options.get("patches", {})
        return {
            **options,
            "patches": {**patches, "output_block_patch": [patch, *patches.get("output_block_patch", [])]},
        }

    def diffusion_model(executor, x, timesteps, context, y, control, transformer_options, **kwargs):
        size = len(x) // len(transformer_options["cond_or_uncond"])
        positive = [i for i, branch in enumerate(transformer_options["cond_or_uncond"]) if branch == 0]
        rows = [row for i in positive for row in range(i * size, (i + 1) * size)]
        if not rows:
            return executor(x, timesteps, context, y, control, transformer_options, **kwargs)
        skips = {}

        def capture(h, skip, options):
            skips[options["block"]] = skip.clone()
            return h, skip

        def apply(h, skip, options):
            s = scales.get(h.shape[1])
            if s is not None:
                skip = skip.clone()
                skip[rows] = damp(skip[rows], skips[options["block"]], s)
            return h, skip

        own = control and {k: [c if c is None else c[rows] for c in v] for k, v in control.items()}
        context0 = original.repeat(len(rows), 1, 1)
        alone = patched({**transformer_options, "cond_or_uncond": [0] * len(positive)}, capture)
        executor.original(x[rows], timesteps[rows], context0, y, own, alone, **kwargs)
        return executor(x, timesteps, context, y, control, patched(transformer_options, apply), **kwargs)

    clone = model.clone()
    clone.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "third_branch", diffusion_model)
    return clone
