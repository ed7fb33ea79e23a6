"""Latent re-attention: equal to a full third branch whatever else is in the graph, and free once the filter is off."""

from __future__ import annotations

import pytest
import torch
from host_nodes import HostNodes
from third_branch import with_third_branch
from tracing import Trace, block_calls, sample

STEPS = 3


@pytest.fixture
def run(comfy_nodes, empty, latent):
    def run(model, positive, **kwargs):
        return sample(comfy_nodes, model, positive, kwargs.pop("negative", empty), latent, steps=STEPS, **kwargs)

    return run


@pytest.fixture
def agree(run, patch, pistol):
    """Assert that the patch and the full third branch give the same picture, and another one than no re-attention."""

    def agree(model, positive, plain=None, **kwargs):
        ours = run(patch(model), positive, **kwargs)
        wanted = run(with_third_branch(model, pistol[0][0]), plain or positive, **kwargs)
        without = run(model, positive, **kwargs)
        torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)
        assert (ours - without).abs().max() > 0.05

    return agree


@pytest.mark.matrix
def test_strength_zero_is_the_unpatched_model_bit_for_bit(pack, run, model, guarded):
    node = pack.nodes.reattention_patch.ReAttentionPatch
    (off,) = node.execute(model, 0.0, 0.9, 0.2, 0.0).result
    assert torch.equal(run(off, guarded), run(model, guarded))
    assert off.wrappers == model.wrappers


def test_unguarded_prompts_pass_unchanged(run, patch, model, cat):
    assert torch.equal(run(patch(model), cat), run(model, cat))


@pytest.mark.matrix
def test_result_equals_a_full_third_branch(agree, model, guarded, cat):
    agree(model, guarded, plain=cat)


def test_result_equals_a_full_third_branch_without_guidance(agree, model, guarded, cat):
    agree(model, guarded, plain=cat, cfg=1.0)


def test_a_batch_of_an_uneven_size_equals_a_full_third_branch(comfy_nodes, patch, model, guarded, cat, pistol, empty):
    latent = {"samples": torch.zeros(2, 4, 8, 10)}
    ours = sample(comfy_nodes, patch(model), guarded, empty, latent, steps=2)
    wanted = sample(comfy_nodes, with_third_branch(model, pistol[0][0]), cat, empty, latent, steps=2)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)


def test_conds_run_one_by_one_give_the_same_picture(agree, run, patch, model, guarded, cat, monkeypatch):
    import comfy.model_management

    together = run(patch(model), guarded)

    def none_free(device=None, torch_free_too=False):
        return (0, 0) if torch_free_too else 0

    monkeypatch.setattr(comfy.model_management, "get_free_memory", none_free)
    trace = Trace()
    split = run(patch(trace.attach(model)), guarded)
    assert all(len(roles) == 1 for _, roles in trace.calls)  # the host did split them
    torch.testing.assert_close(split, together, atol=1e-3, rtol=1e-4)


@pytest.mark.matrix
def test_order_of_the_conds_does_not_matter(run, patch, model, guarded):
    import comfy.patcher_extension

    def reverse(executor, inner, conds, *args, **kwargs):
        return executor(inner, conds[::-1], *args, **kwargs)[::-1]

    reversed_model = model.clone()
    reversed_model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.CALC_COND_BATCH, "reverse", reverse)
    torch.testing.assert_close(run(patch(reversed_model), guarded), run(patch(model), guarded), atol=1e-3, rtol=1e-4)


def test_the_negative_prompt_stays_when_an_area_makes_the_host_copy_the_positive_one_into_it(
    comfy_nodes, agree, model, guarded, cat
):
    def place(conditioning):
        return comfy_nodes.ConditioningSetArea().append(conditioning, 64, 64, 0, 0, 1.0)[0]

    agree(model, place(guarded), plain=place(cat))


def test_a_guarded_negative_prompt_is_damped_against_its_own_original(
    pack, run, patch, model, guarded, cat, pistol, empty
):
    negative = pack.host.conditioning.entries.guarded(empty, pistol, share=1.0, steps=50.0)
    only_positive = run(patch(model), guarded, negative=empty)
    both = run(patch(model), guarded, negative=negative)
    assert (both - only_positive).abs().max() > 0.05


@pytest.mark.parametrize("freeu_first", [True, False])
def test_freeu_acts_on_the_damped_features_whichever_node_comes_first(
    run, patch, model, guarded, cat, pistol, freeu_first
):
    def freeu(model):
        return HostNodes("nodes_freelunch").FreeU(model, b1=1.1, b2=1.2, s1=0.9, s2=0.5)[0]

    ours = run(patch(freeu(model)) if freeu_first else freeu(patch(model)), guarded)
    wanted = run(with_third_branch(freeu(model), pistol[0][0]), cat)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)


def controlled(conditioning):
    """`conditioning` with a ControlNet of the real base class that adds fixed features to the skips and the middle."""
    from comfy.controlnet import ControlBase

    def features(seed, rows, width, side):
        one = torch.randn(1, width, side, side, generator=torch.Generator().manual_seed(seed))
        return one * torch.arange(1, rows + 1)[:, None, None, None]  # rows differ, so that a mix-up of rows shows

    class FixedControl(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            skips = [(320, 8), (320, 8), (320, 4), (640, 4)]
            output = [features(seed, len(x_noisy), *skip) for seed, skip in enumerate(skips)]
            return {"input": [], "middle": [features(9, len(x_noisy), 640, 4)], "output": output}

    added = {"control": FixedControl(), "control_apply_to_uncond": True}
    return [[tensor, {**options, **added}] for tensor, options in conditioning]


def test_a_controlnet_is_part_of_both_sides_of_the_comparison(agree, model, guarded, cat):
    agree(model, controlled(guarded), plain=controlled(cat))


def test_several_patches_each_act_once(run, patch, model, guarded, cat, pistol):
    ours = run(patch(patch(model, (0.5, 1.0)), (1.0, 0.3)), guarded)
    wanted = run(with_third_branch(model, pistol[0][0], {640: 0.5, 320: 0.3}), cat)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)


@pytest.mark.matrix
def test_the_reference_branch_runs_the_encoder_half_only_and_only_while_the_filter_is_on(
    pack, run, patch, model, cat, pistol
):
    half = pack.host.conditioning.entries.guarded(cat, pistol, share=1 / 3, steps=17.0)
    switching = pack.host.sampling.run.self_validating(model, pack.host.sampling.switching.Switch())
    with block_calls(model) as plain:
        run(switching, half)
    with block_calls(model) as counts:
        run(patch(switching), half)
    assert plain == {"input": STEPS, "middle": STEPS, "output": STEPS}
    assert counts == {**plain, "input": STEPS + 1}  # one filtered step


@pytest.mark.matrix
def test_order_of_re_attention_and_self_validation_does_not_matter(pack, run, patch, model, cat, pistol):
    half = pack.host.conditioning.entries.guarded(cat, pistol, share=1 / 3, steps=17.0)

    def switching(model):
        return pack.host.sampling.run.self_validating(model, pack.host.sampling.switching.Switch())

    assert torch.equal(run(patch(switching(model)), half), run(switching(patch(model)), half))


def test_a_model_without_a_unet_is_refused_by_name(pack, model):
    node = pack.nodes.reattention_patch.ReAttentionPatch
    other = model.clone()
    other.add_object_patch("diffusion_model", torch.nn.Identity())
    with pytest.raises(pack.safree.SafreeError, match=r"^ReAttentionPatch: .*UNet.*Identity.*Remove this node"):
        node.execute(other, 1.0, 0.9, 0.2, 0.0)


@pytest.mark.matrix
def test_the_callers_model_is_not_patched(patch, model):
    before = {kind: dict(keyed) for kind, keyed in model.wrappers.items()}
    patch(model)
    assert {kind: dict(keyed) for kind, keyed in model.wrappers.items()} == before


def test_runs_after_a_run_with_re_attention_are_as_before(run, patch, model, guarded):
    before = run(model, guarded)
    run(patch(model), guarded)
    assert torch.equal(run(model, guarded), before)
