"""Watch a sampling run from outside: which conditioning each call of the model saw, and how often each block ran."""

from __future__ import annotations

import contextlib
import dataclasses

SEED = 7


def encode(clip, text: str):
    """CONDITIONING of the stock text encode node."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def outputs(guarded) -> tuple[list, dict]:
    """(CONDITIONING, report) that a node puts out for a guarded prompt."""
    return guarded.conditioning, guarded.report()


def sample(
    nodes, model, positive, negative, latent, sampler="euler", scheduler="normal", cfg=4.0, steps=5, denoise=1.0
):
    """The samples [B, 4, H, W] of ComfyUI's own KSampler."""
    settings = (SEED, steps, cfg, sampler, scheduler)
    (out,) = nodes.common_ksampler(model, *settings, positive, negative, latent, denoise=denoise)
    return out["samples"]


@dataclasses.dataclass
class Trace:
    """calls: (sigma, roles of the conds in the batch) of every call of the model; sigmas: the run's schedule;
    conds: the run's prepared conds by name; on_call: called before every call of the model.
    """

    calls: list[tuple[float, list[str]]] = dataclasses.field(default_factory=list)
    sigmas: list[float] = dataclasses.field(default_factory=list)
    conds: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    roles: dict = dataclasses.field(default_factory=dict)
    on_call: object = None

    def attach(self, model):
        """A clone of `model` whose runs are written here."""
        import comfy.patcher_extension

        wrappers = comfy.patcher_extension.WrappersMP
        traced = model.clone()
        traced.add_wrapper_with_key(wrappers.SAMPLER_SAMPLE, "trace", self._start)
        traced.add_wrapper_with_key(wrappers.APPLY_MODEL, "trace", self._call)
        return traced

    def _start(self, executor, guider, sigmas, *args, **kwargs):
        self.sigmas, self.conds = sigmas.tolist(), dict(guider.conds)
        for name, conds in guider.conds.items():
            for cond in conds:
                mark = cond.get("safree")
                self.roles[cond["uuid"]] = mark["role"] if mark else name
        return executor(guider, sigmas, *args, **kwargs)

    def _call(self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
        roles = [self.roles.get(key, "another") for key in transformer_options.get("uuids", ())]
        self.calls.append((float(transformer_options["sigmas"][0]), roles))
        if self.on_call:
            self.on_call()
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)


@contextlib.contextmanager
def block_calls(model):
    """Yields {'input': n, 'middle': n, 'output': n}: calls of the UNet's first input, middle and last output block."""
    unet = model.model.diffusion_model
    counts = dict.fromkeys(("input", "middle", "output"), 0)
    blocks = {"input": unet.input_blocks[0], "middle": unet.middle_block, "output": unet.output_blocks[-1]}

    def counter(name):
        # a layer inside the block: ComfyUI iterates over the block instead of calling it
        def hook(*_):
            counts[name] += 1

        return hook

    handles = [block[0].register_forward_pre_hook(counter(name)) for name, block in blocks.items()]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()
