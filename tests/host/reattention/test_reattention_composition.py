"""Re-attention beside what else patches a model: equal to a full third branch under the same patches, nothing left."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from host_nodes import HostNodes
from third_branch import with_third_branch
from torch.utils._python_dispatch import TorchDispatchMode
from tracing import Trace, block_calls, sample

STEPS = 3


@pytest.fixture
def run(comfy_nodes, empty, latent):
    def run(model, positive, latent=latent, steps=STEPS):
        return sample(comfy_nodes, model, positive, empty, latent, steps=steps)

    return run


def perturbed_attention(model):
    return HostNodes("nodes_pag").PerturbedAttentionGuidance(model, 2.0)[0]


def hypertile(model):
    return HostNodes("nodes_hypertile").HyperTile(model, 32, 1, 1, False)[0]


def image_prompt(model):
    """As IP-Adapter does it: cross-attention replaced in every block, other values for each row by cond_or_uncond."""

    def attention(q, k, v, extra_options):
        from comfy.ldm.modules.attention import optimized_attention

        branches = extra_options["cond_or_uncond"]
        rows = len(q) // len(branches)
        added = torch.tensor([0.3 if branch == 0 else -0.1 for branch in branches]).repeat_interleave(rows)
        return optimized_attention(q, k, v, extra_options["n_heads"]) + added[:, None, None]

    patched = model.clone()
    for block in [("input", 1), ("input", 2), ("middle", 0), ("output", 1), ("output", 2), ("output", 3)]:
        patched.set_model_attn2_replace(attention, *block)
    return patched


def cached_every_other_call(model):
    """As DeepCache and EasyCache do it: a wrapper that gives every other call the output of the one before."""
    import comfy.patcher_extension

    last = []

    def wrapper(executor, *args, **kwargs):
        if last:
            return last.pop()
        last.append(executor(*args, **kwargs))
        return last[0]

    patched = model.clone()
    patched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "cache", wrapper)
    return patched


def compiled(model):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    patched = model.clone()
    set_torch_compile_wrapper(patched, backend="eager")
    return patched


def guarded_by_no_option(model):
    """As newer versions of TorchCompileModel do it: a compiled model is used again whatever its options say."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    def without_options(guards):
        return ["transformer_options" not in guard.name for guard in guards]

    patched = model.clone()
    set_torch_compile_wrapper(patched, backend="eager", options={"guard_filter_fn": without_options})
    return patched


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("other", [perturbed_attention, hypertile, image_prompt, cached_every_other_call, compiled])
def test_result_equals_a_full_third_branch_whichever_node_comes_first(
    run, patch, model, guarded, cat, pistol, other, ours_first
):
    steps = 4 if other is cached_every_other_call else 2
    ours = run(other(patch(model)) if ours_first else patch(other(model)), guarded, steps=steps)
    third = with_third_branch(model, pistol[0][0]) if ours_first else other(model)
    wanted = run(other(third) if ours_first else with_third_branch(third, pistol[0][0]), cat, steps=steps)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)
    assert (ours - run(other(model), cat, steps=steps)).abs().max() > 0.02


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("benign_first", [True, False])
def test_a_compiled_model_is_re_attended_in_filtered_runs_alone_in_either_order(
    run, patch, model, guarded, cat, benign_first, ours_first
):
    patched = guarded_by_no_option(patch(model)) if ours_first else patch(guarded_by_no_option(model))
    prompts = [cat, guarded, cat] if benign_first else [guarded, cat, guarded]
    for prompt in prompts:
        torch.testing.assert_close(run(patched, prompt), run(patch(model), prompt), atol=1e-3, rtol=1e-4)
    assert (run(patch(model), guarded) - run(patch(model), cat)).abs().max() > 0.02


def test_the_reference_of_a_refiner_has_the_aesthetic_score_of_its_branch(patch, model, guarded, cat):
    """SDXL's refiner scores a negative prompt 2.5 and others 6, by the name of the branch."""
    trace = Trace()
    from comfy.samplers import CFGGuider, ksampler

    guider = CFGGuider(patch(trace.attach(model)))
    guider.set_conds(cat, guarded)
    guider.set_cfg(4.0)
    noise = torch.zeros(1, 4, 4, 4)
    guider.sample(noise, noise, ksampler("euler"), torch.tensor([1.0, 0.0]))
    assert [cond["prompt_type"] for cond in trace.conds["safree_reference"]] == ["negative"]


def test_a_lora_hook_of_the_prompt_applies_to_the_reference_too(run, patch, model, guarded, cat, pistol):
    import comfy.hooks

    unet = model.model.diffusion_model
    weight = unet.input_blocks[1][1].transformer_blocks[0].attn2.to_v.weight
    generator = torch.Generator().manual_seed(0)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v"
    lora = {
        f"{name}.lora_up.weight": torch.randn(weight.shape[0], 2, generator=generator) * 0.2,
        f"{name}.lora_down.weight": torch.randn(2, weight.shape[1], generator=generator) * 0.2,
    }

    def hooked(conditioning):
        hooks = comfy.hooks.create_hook_lora(lora, 1.0, 0.0)
        return comfy.hooks.set_hooks_for_conditioning(conditioning, hooks)

    ours = run(patch(model), hooked(guarded))
    wanted = run(with_third_branch(model, pistol[0][0]), hooked(cat))
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)
    assert (ours - run(patch(model), guarded)).abs().max() > 0.02


@pytest.mark.parametrize("error", ["interrupt", "failure"])
def test_after_an_interrupt_or_an_error_the_model_is_as_before(run, patch, model, guarded, error):
    import comfy.model_management

    before, trace, patched = run(model, guarded), Trace(), patch(model)
    options = dict(patched.model_options["transformer_options"])

    def stop():
        if len(trace.calls) == 2:
            raise comfy.model_management.InterruptProcessingException if error == "interrupt" else ValueError

    trace.on_call = stop
    with pytest.raises((comfy.model_management.InterruptProcessingException, ValueError)):
        run(trace.attach(patched), guarded)
    assert patched.model_options["transformer_options"] == options
    assert torch.equal(run(model, guarded), before)
    with block_calls(model) as counts:
        run(model, guarded)
    assert counts == {"input": STEPS, "middle": STEPS, "output": STEPS}


def test_50_runs_leave_no_tensor_behind(run, patch, model, guarded):
    patched, tiny = patch(model), {"samples": torch.zeros(1, 4, 4, 4)}

    def tensors():
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    run(patched, guarded, tiny, steps=1)
    before = tensors()
    for _ in range(50):
        run(patched, guarded, tiny, steps=1)
    assert tensors() <= before


class Peak(TorchDispatchMode):
    """Most bytes that tensors made inside the block held at one time."""

    def __init__(self):
        super().__init__()
        self.live = self.most = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage):
        key = storage.data_ptr()
        if key in self.seen:
            return
        self.seen.add(key)
        self.live += (size := storage.nbytes())
        self.most = max(self.most, self.live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key, size):
        self.seen.discard(key)
        self.live -= size


def test_peak_memory_grows_by_no_more_than_one_encoder_pass(run, patch, model, guarded):
    def peak(model):
        with Peak() as peak:
            run(model, guarded, steps=1)
        return peak.most

    run(model, guarded, steps=1)
    unet, encoder = model.model.diffusion_model, Peak()
    with torch.no_grad(), encoder:
        h, kept = torch.zeros(1, 4, 16, 16), []
        emb, context = torch.zeros(1, unet.time_embed[-1].out_features), guarded[0][0]
        from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed

        for block in unet.input_blocks:
            h = forward_timestep_embed(block, h, emb, context, {"original_shape": [1, 4, 16, 16]})
            kept.append(h)
    with_patch, without = peak(patch(model)), peak(model)
    assert without < with_patch <= without + encoder.most
