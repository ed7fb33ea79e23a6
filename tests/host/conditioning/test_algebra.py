"""Guarded conditioning through ComfyUI's own conditioning nodes; what is refused by default is in test_fail_closed."""

from __future__ import annotations

import pytest
import torch

PROMPT = "a cat and a pistol"
STEPS, FILTERED = 4, 2


@pytest.fixture(scope="module")
def guarded(pack, clip):
    """(guarded conditioning, the plain conditioning, a benign plain one)."""
    (subspaces,) = pack.ConceptSubspace.execute(clip, "weapons", "", 1.0).args
    conditioning, *_ = pack.SafreeConditioning.execute(clip, subspaces, PROMPT, "adaptive", 1.0, 0.0, "auto").args
    encode = lambda text: clip.encode_from_tokens_scheduled(clip.tokenize(text))  # noqa: E731
    return conditioning, encode(PROMPT), encode("a house")


def recording(pack, model):
    """(a clone of `model`, a list that gets the roles of the positive conds at every evaluation)."""
    import comfy.patcher_extension
    import comfy.samplers

    seen = []

    def calc(executor, inner, conds, x, timestep, options):
        active = [c for c in conds[0] if comfy.samplers.get_area_and_mult(c, x, timestep) is not None]
        seen.append([pack.host.conditioning.marks.role(c) for c in active])
        return executor(inner, conds, x, timestep, options)

    clone = model.clone()
    clone.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.CALC_COND_BATCH, "record", calc)
    return clone, seen


def roles(pack, comfy_nodes, model, positive, negative, filtered=FILTERED):
    """Roles that ran at each step, with the filter fixed to the first `filtered` of STEPS."""
    clone, seen = recording(pack, model)
    switch = pack.host.sampling.switching.Switch("share", filtered, on_problem="warn")
    patched = pack.host.sampling.run.self_validating(clone, switch)
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    (out,) = comfy_nodes.common_ksampler(patched, 1, STEPS, 4.0, "euler", "normal", positive, negative, latent)
    assert torch.isfinite(out["samples"]).all()
    return seen


SWITCHED = [["filtered"], ["filtered"], ["original"], ["original"]]


def apply(name, comfy_nodes, conditioning, other):
    mask = torch.zeros(1, 64, 64)
    mask[:, :32] = 1
    nodes = comfy_nodes.NODE_CLASS_MAPPINGS
    if name == "SetArea":
        return nodes["ConditioningSetArea"]().append(conditioning, 32, 64, 0, 0, 1.0)[0]
    if name == "SetAreaPercentage":
        return nodes["ConditioningSetAreaPercentage"]().append(conditioning, 0.5, 1.0, 0.0, 0.0, 1.0)[0]
    if name == "SetMask":
        return nodes["ConditioningSetMask"]().append(conditioning, mask, "default", 1.0)[0]
    if name == "Strength":
        return nodes["ConditioningSetAreaStrength"]().append(conditioning, 0.7)[0]
    if name == "Combine":
        return nodes["ConditioningCombine"]().combine(conditioning, other)[0]
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["SetArea", "SetAreaPercentage", "SetMask", "Strength"])
def test_what_a_node_adds_holds_for_the_filtered_and_the_original_part(pack, comfy_nodes, model, guarded, name):
    conditioning, _, benign = guarded
    changed = apply(name, comfy_nodes, conditioning, benign)
    assert roles(pack, comfy_nodes, model, changed, benign) == SWITCHED


def test_a_combined_plain_prompt_runs_beside_both_parts(pack, comfy_nodes, model, guarded):
    conditioning, _, benign = guarded
    combined = apply("Combine", comfy_nodes, conditioning, benign)
    assert roles(pack, comfy_nodes, model, combined, benign) == [[*step, None] for step in SWITCHED]


def test_two_guarded_prompts_combine(pack, comfy_nodes, model, guarded):
    conditioning, _, benign = guarded
    both = comfy_nodes.ConditioningCombine().combine(conditioning, conditioning)[0]
    assert roles(pack, comfy_nodes, model, both, benign) == [step * 2 for step in SWITCHED]


def test_a_users_timestep_range_is_kept(pack, comfy_nodes, model, guarded):
    conditioning, _, benign = guarded
    (late,) = comfy_nodes.ConditioningSetTimestepRange().set_range(conditioning, 0.4, 1.0)
    seen = roles(pack, comfy_nodes, model, [*late, *benign], benign)
    assert [set(step) - {None} for step in seen] == [set(), set(), {"original"}, {"original"}]


@pytest.mark.parametrize("node", ["ConditioningAverage", "ConditioningConcat"])
def test_edited_tensors_stay_filtered_and_are_refused_where_the_original_would_be_needed(
    pack, comfy_nodes, model, guarded, node
):
    conditioning, _, benign = guarded
    if node == "ConditioningAverage":
        (edited,) = comfy_nodes.ConditioningAverage().addWeighted(conditioning, benign, 0.8)
    else:
        (edited,) = comfy_nodes.ConditioningConcat().concat(conditioning, benign)
    assert roles(pack, comfy_nodes, model, edited, benign, filtered=STEPS) == [["filtered"]] * STEPS
    with pytest.raises(pack.safree.SafreeError, match="edited after SafreeConditioning"):
        roles(pack, comfy_nodes, model, edited, benign)


def test_paper_mode_keeps_both_parts_of_an_edited_prompt(pack, comfy_nodes, model, clip, guarded):
    (subspaces,) = pack.ConceptSubspace.execute(clip, "(phrases only)", "pistol", 1.0).args
    conditioning, *_ = pack.SafreeConditioning.execute(clip, subspaces, PROMPT, "paper", 1.0, 0.0, "auto").args
    (edited,) = comfy_nodes.ConditioningConcat().concat(conditioning, guarded[2])
    assert len(edited) == 2
    assert roles(pack, comfy_nodes, model, edited, guarded[2]) == SWITCHED
