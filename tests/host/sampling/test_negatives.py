"""The negative side: what stands there may say anything while every step draws away from it, whatever patches do."""

from __future__ import annotations

import copy

import pytest
import torch
from host_nodes import HostNodes
from tracing import SEED, Trace, sample

WEAPONS = {"weapons": "1"}
STEPS = 3
fault = pytest.mark.fault
REFUSED = "the sampler stops and says why; with `warn` report and log say `guard not active`"


@pytest.fixture
def latent():
    return {"samples": torch.zeros(1, 4, 8, 8)}


@pytest.fixture
def clear(pack, cat):
    """'a cat', guarded, nothing flagged."""
    return pack.host.conditioning.entries.mark(cat, "clear", WEAPONS)


@pytest.fixture
def guarded_negative(pack, empty, pistol):
    """'a pistol', guarded as a whole: '' in its place."""
    return pack.host.conditioning.entries.guarded(empty, pistol, 1.0, 50.0, WEAPONS)


@pytest.fixture
def run(pack, model, clear, latent):
    """SelfValidatingSampler on a traced model: (samples, report, trace)."""

    def run(negative, cfg=4.0, patched=None, on_problem="error", negatives="subtracting", positive=None, steps=STEPS):
        trace = Trace()
        switch = pack.host.sampling.switching.Switch(on_problem=on_problem, negatives=negatives)
        settings = (SEED, steps, cfg, "euler", "normal", positive or clear, negative, latent, 1.0)
        out, report = pack.host.sampling.run.sample(switch, trace.attach(patched or model), *settings)
        return out["samples"], report.data(), trace

    return run


@pytest.fixture
def refused(pack, run):
    """That a run is refused with `match`; with 'warn' it goes on and is called not active."""

    def refused(match, *args, **kwargs):
        with pytest.raises(pack.safree.SafreeError, match=f"^guard not active.*{match}.*on_problem"):
            run(*args, **kwargs)
        _, report, trace = run(*args, **kwargs, on_problem="warn")
        assert report["verdict"].startswith("Guard not active")
        assert not report["active"]
        assert len(trace.calls) >= STEPS

    return refused


@fault("an unguarded negative prompt at CFG below 1, where it is the prompt", REFUSED)
@pytest.mark.parametrize("cfg", [0.0, 0.3, 0.95])
def test_a_plain_negative_that_is_drawn_towards_is_refused(refused, pistol, cfg):
    refused(rf"step 1 of 3 .*'negative' \(guidance weight {cfg:.2f}", pistol, cfg)


@pytest.mark.parametrize("cfg", [1.0, 1.05, 5.0, 30.0])
def test_a_plain_negative_that_is_drawn_away_from_is_the_stock_run(run, comfy_nodes, model, cat, pistol, latent, cfg):
    samples, report, _ = run(pistol, cfg)
    assert torch.equal(samples, sample(comfy_nodes, model, cat, pistol, latent, cfg=cfg, steps=STEPS))
    assert report["active"]
    noted = [float(note.split("weight ")[1].split()[0]) for note in report["notes"]]
    assert noted == ([] if cfg == 1 else [pytest.approx(cfg, rel=0.01)])  # at 1 it is not evaluated


def fresca(model, low, high, cutoff=20):
    return HostNodes("nodes_fresca").FreSca(model, low, high, cutoff)[0]


def apg(model, eta, threshold, momentum):
    return HostNodes("nodes_apg").APG(model, eta, threshold, momentum)[0]


def tonemap(model, multiplier):
    operation = HostNodes("nodes_latent").LatentOperationTonemapReinhard(multiplier)[0]
    return HostNodes("nodes_latent").LatentApplyOperationCFG(model, operation)[0]


@fault("patches of the guidance that turn it round: FreSca, APG, tone mapping", REFUSED)
@pytest.mark.parametrize(
    "patch",
    [
        lambda model: fresca(model, 0.0, 0.0),
        lambda model: fresca(model, 1.0, 0.0, 1),
        lambda model: apg(model, -10.0, 0.0, -5.0),
        lambda model: tonemap(model, 0.05),
    ],
    ids=["FreSca 0", "FreSca high 0", "APG", "tone map"],
)
def test_patches_that_turn_the_guidance_round_are_noticed_by_what_they_do(refused, model, pistol, patch):
    refused("drawn towards", pistol, 5.0, patch(model), steps=8)


@pytest.mark.parametrize(
    "patch",
    [
        lambda model: fresca(model, 1.0, 1.25),
        lambda model: tonemap(model, 1.0),
        lambda model: HostNodes("nodes_cfg").CFGZeroStar(model)[0],
        lambda model: HostNodes("nodes_mahiro").Mahiro(model)[0],
        lambda model: HostNodes("nodes_tcfg").TCFG(model)[0],
        lambda model: HostNodes("nodes_pag").PerturbedAttentionGuidance(model, 3.0)[0],
    ],
    ids=["FreSca", "tone map", "CFGZeroStar", "Mahiro", "TCFG", "PAG"],
)
def test_patches_that_keep_drawing_away_run_with_a_plain_negative(run, model, pistol, patch):
    assert run(pistol, 5.0, patch(model))[1]["active"]


def test_a_guarded_negative_keeps_all_its_words_while_it_is_drawn_away_from(
    run, comfy_nodes, model, cat, pistol, guarded_negative, latent
):
    samples, report, _ = run(guarded_negative)
    assert torch.equal(samples, sample(comfy_nodes, model, cat, pistol, latent, cfg=4.0, steps=STEPS))
    assert report["active"]
    assert "kept all its words" in report["notes"][0]


@pytest.mark.parametrize("cause", ["cfg 0", "FreSca"])
def test_a_guarded_negative_goes_without_its_flagged_words_where_it_would_be_drawn(
    run, comfy_nodes, model, cat, empty, guarded_negative, latent, cause
):
    cfg, patched = (0.0, model) if cause == "cfg 0" else (4.0, fresca(model, 0.0, 0.0))
    samples, report, _ = run(guarded_negative, cfg, patched)
    assert torch.equal(samples, sample(comfy_nodes, patched, cat, empty, latent, cfg=cfg, steps=STEPS))
    assert report["active"]
    assert "From step 1 on the flagged words were taken out" in report["notes"][0]


@fault(
    "graphs of strangers, who combine the latents of several samplers", "negative prompts have to be guarded or zero"
)
def test_negatives_that_have_to_be_guarded_are_filtered_or_zero(
    pack, run, refused, comfy_nodes, model, cat, empty, pistol, guarded_negative, latent
):
    refused("for 1 of 1 negative prompts", pistol, negatives="guarded")
    refused("for 1 of 2 negative prompts", guarded_negative + pistol, negatives="guarded")
    less = pack.host.conditioning.entries.guarded(empty, pistol, 1.0, 50.0, {"another": "2"})
    refused("for 1 of 1 negative prompts", less, negatives="guarded")
    samples, report, _ = run(guarded_negative, negatives="guarded")
    assert torch.equal(samples, sample(comfy_nodes, model, cat, empty, latent, cfg=4.0, steps=STEPS))
    assert report["filtered_steps"] == [STEPS]
    (zeros,) = comfy_nodes.ConditioningZeroOut().zero_out(pistol)
    assert run(zeros, 0.0, negatives="guarded")[1]["active"]


def test_zeros_may_be_drawn_on_either_side(run, comfy_nodes, pistol):
    (zeros,) = comfy_nodes.ConditioningZeroOut().zero_out(pistol)
    assert run(zeros, 0.0)[1]["active"]
    assert run(zeros, positive=zeros)[1]["active"]


@fault("a model patch that brings conditioning of its own (PerpNeg)", REFUSED)
def test_conditioning_that_the_run_did_not_start_with_is_refused(refused, model, clear, pistol, guarded_negative):
    for own in (pistol, clear):
        patched = HostNodes("nodes_perpneg").PerpNeg(model, own, 1.0)[0]
        refused("did not start with.*PerpNeg", guarded_negative, 4.0, patched)


def guide(pack, model, sigmas, build, **settings):
    """SamplerCustomAdvanced with the guider that `build` makes of a model with SelfValidationPatch."""
    import comfy.samplers

    (patched,) = pack.SelfValidationPatch.execute(model, "share", -1, **settings).args
    noise = torch.randn(1, 4, 8, 8, generator=torch.manual_seed(SEED))
    return build(patched).sample(noise, torch.zeros_like(noise), comfy.samplers.ksampler("euler"), sigmas)


FALLING = torch.tensor([14.0, 7.0, 2.0, 0.0])


@fault("sigmas that rise, so that a step goes towards the negative prompt", REFUSED)
def test_rising_sigmas_are_refused_with_a_plain_negative(pack, model, clear, pistol, guarded_negative):
    from comfy.samplers import CFGGuider

    def guider(negative):
        def build(patched):
            made = CFGGuider(patched)
            made.set_conds(clear, negative)
            made.set_cfg(4.0)
            return made

        return build

    assert torch.isfinite(guide(pack, model, FALLING, guider(pistol))).all()
    rising = torch.tensor([0.5, 2.0, 7.0])
    with pytest.raises(pack.safree.SafreeError, match=r"^SelfValidationPatch: guard not active.*sigmas rise"):
        guide(pack, model, rising, guider(pistol))
    assert torch.isfinite(guide(pack, model, rising, guider(guarded_negative))).all()


@fault("a second negative branch with a positive weight (PerpNegGuider's empty prompt)", REFUSED)
def test_every_branch_of_a_guider_is_weighed(pack, model, clear, pistol, empty):
    guarded_empty = pack.host.conditioning.entries.mark(empty, "clear", WEAPONS)

    def guider(nothing):
        return lambda patched: HostNodes("nodes_perpneg").PerpNegGuider(
            patched, clear, guarded_empty, nothing, 2.0, 5.0
        )[0]

    assert torch.isfinite(guide(pack, model, FALLING, guider(guarded_empty))).all()
    with pytest.raises(pack.safree.SafreeError, match="empty_negative_prompt"):
        guide(pack, model, FALLING, guider(pistol))


def mixing(model):
    """As NAG does it: attention of the positive rows is mixed with that of the negative ones in the same batch."""

    def output(n, options):
        branches = options["cond_or_uncond"]
        if {0, 1} <= set(branches):
            rows = n.chunk(len(branches))
            n = torch.cat([rows[branches.index(1)]] * len(branches))
        return n

    patched = model.clone()
    patched.set_model_attn2_output_patch(output)
    return patched


@fault("attention patches that mix the negative prompt into the positive one (NAG)", "both are evaluated apart")
def test_patches_never_see_a_plain_negative_beside_a_guarded_prompt(run, model, cat, pistol, comfy_nodes, latent):
    samples, report, trace = run(pistol, patched=mixing(model))
    assert all(len(set(roles)) == 1 for _, roles in trace.calls)
    assert any("evaluated apart" in note for note in report["notes"])
    expected = sample(comfy_nodes, model, cat, pistol, latent, cfg=4.0, steps=STEPS)
    torch.testing.assert_close(samples, expected, atol=5e-3, rtol=1e-2)
    mixed = sample(comfy_nodes, mixing(model), cat, pistol, latent, cfg=4.0, steps=STEPS)
    assert (mixed - expected).abs().max() > 0.05


@fault("guarded prompts that cover a part of the picture or of the steps only", REFUSED)
def test_a_plain_negative_does_not_draw_what_the_guarded_prompt_leaves_out(refused, comfy_nodes, clear, pistol):
    mask = torch.zeros(1, 64, 64)
    mask[..., :32] = 1
    (part,) = comfy_nodes.ConditioningSetMask().append(clear, mask, "default", 1.0)
    refused("leave out a part of the picture", pistol, positive=part)
    (early,) = comfy_nodes.ConditioningSetTimestepRange().set_range(clear, 0.0, 0.4)
    refused("leave out a part of the picture", pistol, positive=early)


def test_a_copy_that_the_host_makes_for_an_area_is_not_taken_for_the_guarded_prompt(
    refused, run, comfy_nodes, clear, pistol, guarded_negative
):
    (placed,) = comfy_nodes.ConditioningSetArea().append(clear, 32, 64, 0, 0, 1.0)
    refused("drawn towards", pistol, 0.0, positive=clear + placed)
    assert run(pistol, positive=clear + placed)[1]["active"]
    assert "taken out" in run(guarded_negative, 0.0, positive=clear + placed)[1]["notes"][0]


@fault("a negative strength or mask at a negative prompt", REFUSED)
def test_a_negative_strength_does_not_turn_a_subtraction_round(refused, comfy_nodes, empty, pistol):
    (turned,) = comfy_nodes.ConditioningSetAreaStrength().append(pistol, -0.5)
    refused("strength or a mask below 0", empty + turned)


@fault("prompts of one sampler that were checked against different concepts", REFUSED)
def test_prompts_are_checked_against_the_same_concepts(pack, refused, run, clear, cat, empty):
    other = pack.host.conditioning.entries.mark(copy.deepcopy(cat), "clear", {"nudity": "2"})
    refused("against nudity, weapons for 2 of 2 prompts", empty, positive=clear + other)
    both = pack.host.conditioning.entries.mark(copy.deepcopy(cat), "clear", {**WEAPONS, "nudity": "2"})
    refused("for 1 of 2 prompts", empty, positive=clear + both)
    assert run(empty, positive=both + both)[1]["active"]


@fault("NaN in the model's prediction beside a plain negative prompt", "a clear error")
def test_a_prediction_that_is_not_finite_is_named(pack, run, model, pistol):
    broken = model.clone()
    broken.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * float("nan"))
    with pytest.raises(pack.safree.SafreeError, match=r"NaN or infinity.*higher precision"):
        run(pistol, patched=broken)


def test_an_unknown_choice_of_negatives_is_refused(pack):
    with pytest.raises(
        pack.safree.SafreeError, match=r"negatives 'never' is unknown\. Choose one of subtracting, guarded"
    ):
        pack.host.sampling.switching.Switch(negatives="never")


@pytest.mark.parametrize("cfg", [0.0, 4.0])
def test_cleaned_filters_a_guarded_negative_at_every_step_and_no_less(run, guarded_negative, cfg):
    """What a server with a policy for strangers sets: like 'guarded', but a plain negative may be drawn away from."""
    wanted = run(guarded_negative, cfg, negatives="guarded")[0]
    assert torch.equal(run(guarded_negative, cfg, negatives="cleaned")[0], wanted)


def test_cleaned_measures_a_plain_negative(run, refused, pistol):
    assert torch.equal(run(pistol, negatives="cleaned")[0], run(pistol)[0])
    refused("drawn towards", pistol, cfg=0.0, negatives="cleaned")
