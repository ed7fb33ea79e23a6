"""The latent guard in the real UNet: no trace while nothing shows, damping where it does, clear errors."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tracing import Trace, sample

STEPS = 3


def presence(pack, empty, clean: float, widths=(640, 640, 640, 320)):
    """Random probes; what clean pictures measure is `clean`, so that everything or nothing counts as the concept."""
    probes = pack.safree.presence
    draw = torch.Generator().manual_seed(1)

    def probe(width):
        weight = torch.randn(width, generator=draw) / 10
        return probes.Probe(weight, 0.0, weight / (weight @ weight))

    levels = tuple({block: probe(width) for block, width in enumerate(widths)} for _ in range(2))
    measured = torch.full((2, 2, 16), clean)
    return probes.ConceptPresence("star", ("a star",), (14.0, 0.5), levels, measured, measured, empty[0][0])


@pytest.fixture
def always(pack, empty):
    return presence(pack, empty, -1e3)


@pytest.fixture
def never(pack, empty):
    return presence(pack, empty, 1e3)


@pytest.fixture
def guard(pack):
    """LatentGuardPatch's function: (model, concepts, strength) -> model."""

    def guard(model, *concepts, strength=0.2):
        return pack.host.latent.latent_guard.patch(model, concepts, strength)

    return guard


@pytest.fixture
def run(comfy_nodes, empty, latent):
    def run(model, positive, **kwargs):
        return sample(
            comfy_nodes, model, positive, kwargs.pop("negative", empty), kwargs.pop("latent", latent), **kwargs
        )

    return lambda *args, **kwargs: run(*args, **{"steps": STEPS, **kwargs})


def heard(pack, model):
    """(a clone of a guarded `model`, a list that gets what each of its runs saw)."""
    latent_guard, runs = pack.host.latent.latent_guard, []
    return latent_guard.guarded_by(model, latent_guard.guard_of(model), runs.append), runs


def test_a_picture_without_the_concept_is_not_changed_bit_for_bit(run, guard, model, cat, never):
    assert torch.equal(run(guard(model, never), cat), run(model, cat))


def test_strength_zero_is_the_unpatched_model(run, guard, model, cat, always):
    off = guard(model, always, strength=0.0)
    assert off.wrappers == model.wrappers
    assert not off.attachments


def test_once_found_the_concept_is_damped_in_the_steps_that_follow(pack, run, guard, model, cat, always):
    patched, runs = heard(pack, guard(model, always))
    assert (run(patched, cat) - run(model, cat)).abs().max() > 0.05
    (seen,) = runs[-1]
    assert (seen["found_at"], seen["damped"], len(seen["steps"])) == (1, STEPS - 1, STEPS)
    assert len(seen["map"]) == len(seen["map"][0]) == 8


def test_a_run_of_one_step_is_seen_but_not_damped(pack, run, guard, model, cat, always):
    patched, runs = heard(pack, guard(model, always))
    assert torch.equal(run(patched, cat, steps=1), run(model, cat, steps=1))
    assert runs[-1][0]["found_at"] == 1


def test_runs_and_clones_of_one_model_cannot_see_each_other(pack, run, guard, model, cat, pistol, always):
    """A cached MODEL is sampled again and again: each run has a record of its own, and the settings never change."""
    patched, runs = heard(pack, guard(model, always))
    settings = pack.host.latent.latent_guard.guard_of(patched)
    before = (settings.strength, settings.always, settings.clears)
    first = run(patched, cat)
    run(patched.clone(), pistol, steps=1)
    assert torch.equal(run(patched, cat), first)
    assert [len(seen[0]["steps"]) for seen in runs] == [STEPS, 1, STEPS]
    assert runs[0] == runs[2]
    assert runs[0][0] is not runs[2][0]
    assert (settings.strength, settings.always, settings.clears) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.strength = 0.0


def test_it_works_without_guidance(run, guard, model, cat, always):
    assert (run(guard(model, always), cat, cfg=1.0) - run(model, cat, cfg=1.0)).abs().max() > 0.01


def test_each_picture_of_a_batch_is_judged_by_itself(pack, run, guard, model, cat, always):
    patched, runs = heard(pack, guard(model, always))
    run(patched, cat, latent={"samples": torch.zeros(2, 4, 8, 8)})
    assert [seen["picture"] for seen in runs[-1]] == [0, 1]


def test_two_concepts_are_watched_apart(pack, run, guard, model, cat, always, never):
    patched, runs = heard(pack, guard(model, always, dataclasses.replace(never, name="moon")))
    run(patched, cat)
    assert [(seen["concept"], bool(seen["found_at"])) for seen in runs[-1]] == [
        ("star", True),
        ("moon", False),
    ]


def test_conds_run_one_by_one_give_the_same_picture(run, guard, model, cat, always, monkeypatch):
    import comfy.model_management

    together = run(guard(model, always), cat)

    def none_free(device=None, torch_free_too=False):
        return (0, 0) if torch_free_too else 0

    monkeypatch.setattr(comfy.model_management, "get_free_memory", none_free)
    torch.testing.assert_close(run(guard(model, always), cat), together, atol=1e-3, rtol=1e-4)


def test_the_negative_prompt_is_not_judged(pack, run, guard, model, cat, pistol, never):
    patched, runs = heard(pack, guard(model, never))
    run(patched, cat, steps=1)
    run(patched, cat, negative=pistol, steps=1)
    assert runs[0][0]["steps"] == pytest.approx(runs[1][0]["steps"], abs=0.02)


def test_reattention_and_the_latent_guard_work_on_one_model(run, guard, patch, model, guarded, always):
    alone = run(guard(model, always), guarded)
    both, turned = run(guard(patch(model), always), guarded), run(patch(guard(model, always)), guarded)
    assert (both - alone).abs().max() > 0.01
    torch.testing.assert_close(turned, both, atol=1e-3, rtol=1e-4)


def test_after_an_interrupt_the_model_is_as_before(pack, run, guard, model, cat, always):
    import comfy.model_management

    trace, (patched, runs) = Trace(), heard(pack, guard(model, always))
    before, options = run(model, cat), dict(patched.model_options["transformer_options"])

    def stop():
        if len(trace.calls) == 2:
            raise comfy.model_management.InterruptProcessingException

    trace.on_call = stop
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(trace.attach(patched), cat)
    assert patched.model_options["transformer_options"] == options
    assert len(runs[-1][0]["steps"]) == 1  # what was seen until then
    assert torch.equal(run(model, cat), before)


def test_another_kind_of_model_is_refused_by_name(pack, guard, model, always):
    other = model.clone()
    other.add_object_patch("diffusion_model", torch.nn.Linear(1, 1))
    with pytest.raises(pack.safree.SafreeError, match="LatentGuardPatch does not read a Linear: "):
        guard(other, always)


def test_a_picture_that_is_given_is_cleared_of_what_it_shows(pack, run, guard, model, cat, always):
    picture = run(model, cat)
    latent_guard, runs = pack.host.latent.latent_guard, []
    clearing = latent_guard.guard_of(guard(model, always))
    cleared, left = (
        run(latent_guard.guarded_by(model, own, runs.append), cat, latent={"samples": picture}, denoise=0.5)
        for own in (clearing, dataclasses.replace(clearing, clears=False))
    )
    assert not torch.equal(cleared, left)
    (seen,), (kept,) = runs
    assert (seen["given"], seen["damped"]) == (True, STEPS)
    assert not kept["given"]


def test_a_picture_that_is_given_without_the_concept_is_not_changed(run, guard, model, cat, never):
    given = {"samples": run(model, cat)}
    plain = run(model, cat, latent=given, denoise=0.5)
    assert torch.equal(run(guard(model, never), cat, latent=given, denoise=0.5), plain)


def test_a_latent_that_is_noisy_already_is_no_picture(pack):
    given = pack.host.latent.source_picture.starts_from_picture
    noise, latent = torch.ones(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    assert given(noise, latent)
    assert not given(0 * noise, latent)
    assert not given(noise, 0 * latent)


def test_a_presence_of_another_model_is_refused(pack, guard, model, empty):
    with pytest.raises(pack.safree.SafreeError, match="learned with another kind of model"):
        guard(model, presence(pack, empty, 0.0, widths=(1280, 1280)))


def test_nothing_connected_is_an_error(pack, guard, model, always):
    with pytest.raises(pack.safree.SafreeError, match="no concept presence is connected"):
        guard(model)
    with pytest.raises(pack.safree.SafreeError, match="no MODEL is connected"):
        guard(None, always)
    with pytest.raises(pack.safree.SafreeError, match=r"strength is 3.0, outside 0 to 2"):
        guard(model, always, strength=3.0)


def look(pack, model, latent, concept, on_found="report"):
    return pack.nodes.latent_look.LatentLook.execute(model, latent, (concept,), on_found).result


def test_a_look_says_what_it_finds_and_changes_nothing(pack, model, latent, always, never):
    same, report, heat, found = look(pack, model, latent, always)
    assert same is latent
    assert found is True
    assert json.loads(report)["state"] == "found"
    assert heat.shape == (1, 256, 256, 3)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert look(pack, model, latent, never)[3] is False


def test_a_look_can_stop_the_workflow(pack, model, latent, always, never):
    with pytest.raises(pack.safree.SafreeError, match=r"^LatentLook: Found: star"):
        look(pack, model, latent, always, "error")
    look(pack, model, latent, never, "error")


def test_a_look_is_the_same_whatever_the_model_is_patched_with(pack, guard, model, latent, always):
    assert look(pack, guard(model, always), latent, always)[1] == look(pack, model, latent, always)[1]


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (torch.full((1, 4, 8, 8), float("nan")), "holds NaN or infinity"),
        (torch.zeros(1, 16, 8, 8), r"shape \[1, 16, 8, 8\], this model takes \[pictures, 4"),
        (torch.zeros(1, 4, 2, 8, 8), "this model takes"),
    ],
)
def test_a_latent_that_cannot_be_looked_at_is_refused(pack, model, always, samples, told):
    with pytest.raises(pack.safree.SafreeError, match=told):
        look(pack, model, {"samples": samples}, always)


def sampled(pack, model, positive, empty, latent, on_problem):
    settings = {"seed": 7, "steps": STEPS, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    conds = {"positive": positive, "negative": empty, "latent_image": latent}
    switch = pack.host.sampling.switching.Switch(on_problem=on_problem)
    latents, report = pack.host.sampling.run.sample(switch, model=model, **settings, **conds)
    return latents, report.data()


def test_the_sampler_tells_what_the_latent_guard_saw(pack, guard, model, guarded, empty, latent, always, never):
    _, report = sampled(pack, guard(model, never), guarded, empty, latent, "warn")
    assert report["presence"][0]["found_at"] is None
    assert [finding["found"] for finding in report["second_look"]] == [False]
    assert "nothing found in the picture" in report["verdict"]
    _, report = sampled(pack, guard(model, always), guarded, empty, latent, "warn")
    assert report["second_look"][0]["found"]
    assert report["state"] == "inactive"
    assert "star found at step 1" in report["verdict"]
    assert "Star seen in the result" in report["verdict"]


def test_without_a_latent_guard_the_report_is_as_before(pack, model, guarded, empty, latent):
    _, report = sampled(pack, model, guarded, empty, latent, "error")
    assert not {"presence", "second_look"} & set(report)


def test_the_second_look_stops_the_run(pack, guard, model, guarded, empty, latent, always):
    with pytest.raises(pack.safree.SafreeError, match="star seen in the result"):
        sampled(pack, guard(model, always), guarded, empty, latent, "error")


def test_what_was_not_found_in_the_making_is_found_in_the_result(pack, guard, model, guarded, empty, latent, never):
    hidden = dataclasses.replace(never, clean=torch.stack([never.clean[0], -never.clean[1]]))
    plain, report = sampled(pack, guard(model, hidden), guarded, empty, latent, "warn")
    assert report["presence"][0]["found_at"] is None
    assert "nothing found while sampling. Star seen in the result." in report["verdict"]
    with pytest.raises(pack.safree.SafreeError, match="star seen in the result"):
        sampled(pack, guard(model, hidden), guarded, empty, latent, "error")
    again, _ = sampled(pack, guard(model, hidden), guarded, empty, latent, "again")
    assert not torch.equal(again["samples"], plain["samples"])


def test_again_samples_once_more_at_full_strength(pack, guard, model, guarded, empty, latent, always):
    patched, trace = guard(model, always), Trace()
    once, _ = sampled(pack, patched, guarded, empty, latent, "warn")
    twice, report = sampled(pack, trace.attach(patched), guarded, empty, latent, "again")
    assert sum(len(roles) > 1 for _, roles in trace.calls) == 2 * STEPS  # looking has no negative
    assert not torch.equal(once["samples"], twice["samples"])
    assert report["presence"]
    assert "once more" in report["notes"][-1]
    carried = pack.host.latent.latent_guard.guard_of(patched)
    assert (carried.strength, carried.always) == (0.2, False)


def test_again_replaces_only_pictures_that_still_show_it(pack, guard, model, empty, latent, always, monkeypatch):
    runs = iter((torch.zeros(2, 4, 8, 8), torch.ones(2, 4, 8, 8)))
    patched = guard(model, always)
    finding = {"concept": "star", "map": [[0.0]], "presence": 0.0, "threshold": 0.0}
    found = [{**finding, "picture": picture, "found": picture == 1} for picture in range(2)]
    monkeypatch.setattr(pack.host.latent.second_look, "look", lambda *_: found)
    latents, _ = pack.host.latent.second_look.sample(patched, lambda _: {"samples": next(runs)}, "again")
    assert latents["samples"].mean((1, 2, 3)).tolist() == [0.0, 1.0]


def test_the_report_is_drawn(pack, guard, model, guarded, empty, latent, always):
    _, report = sampled(pack, guard(model, always), guarded, empty, latent, "warn")
    drawn = pack.host.report.report_plot.plot(report)
    bare = pack.host.report.report_plot.plot({**report, "presence": [], "second_look": []})
    assert drawn.shape[1] > bare.shape[1]


def test_what_is_learned_finds_what_it_learned(pack, model, clip, weapons, kept_on_disk):
    """The whole way, at a size that says nothing about how well it works: bench/unasked/command.py does."""
    settings = pack.host.latent.learn_presence.PictureSettings(pictures=16, steps=2, width=64, height=64, batch=8)
    concept = pack.host.latent.learn_presence.learn(model, clip, weapons, settings)
    assert concept.name == "weapons"
    assert len(concept.sigmas) == 2
    assert set(concept.probes[0]) == {0, 1, 2, 3}
    assert concept.clean.shape == concept.shown.shape == (2, 2, 16)
    assert all(torch.isfinite(probe.weight).all() for probes in concept.probes for probe in probes.values())
    assert kept_on_disk() == []


@pytest.fixture
def kept_on_disk(tmp_path, monkeypatch):
    """What learning a presence left in ComfyUI's temporary folder, here one that no other test writes to."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))
    return lambda: list(tmp_path.glob("safree_*"))


def test_an_interrupt_leaves_no_features_on_the_disk(pack, model, clip, weapons, kept_on_disk, monkeypatch):
    import comfy.model_management as management

    record, calls = pack.host.latent.feature_files.Recorder._record, []

    def interrupted(self, *args):
        calls.append(kept_on_disk())
        if len(calls) == 6:
            management.interrupt_current_processing()
        return record(self, *args)

    monkeypatch.setattr(pack.host.latent.feature_files.Recorder, "_record", interrupted)
    with pytest.raises(management.InterruptProcessingException):
        pack.host.latent.learn_presence.learn(
            model, clip, weapons, pack.host.latent.learn_presence.PictureSettings(16, 3, width=64, height=64)
        )
    assert len(calls[-1]) == 1
    assert kept_on_disk() == []


def test_a_full_disk_is_an_error_that_says_what_helps(pack, model, clip, weapons, kept_on_disk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack.host.latent.feature_files, "_reserve", full)
    with pytest.raises(pack.safree.SafreeError, match=r"no room for the features of 16 pictures .*--temp-directory"):
        pack.host.latent.learn_presence.learn(
            model, clip, weapons, pack.host.latent.learn_presence.PictureSettings(16, 2, width=64, height=64)
        )
    assert kept_on_disk() == []


@pytest.mark.parametrize(
    ("change", "told"),
    [({"pictures": 4}, "pictures is 4, fewer than 16"), ({"steps": 1}, "steps is 1")],
)
def test_a_drawing_that_teaches_nothing_is_refused(pack, change, told):
    with pytest.raises(pack.safree.SafreeError, match=told):
        pack.host.latent.learn_presence.PictureSettings(**change)


def test_a_concept_without_phrases_is_refused(pack, model, clip, weapons):
    bare = dataclasses.replace(weapons, phrases=())
    with pytest.raises(pack.safree.SafreeError, match="subspace 'weapons' has no phrases to draw"):
        pack.host.latent.learn_presence.learn(model, clip, bare, pack.host.latent.learn_presence.PictureSettings())


def test_prompts_of_the_two_halves_share_no_word_of_the_concept(pack):
    phrases = ("gun", "knife", "axe", "bow and arrow")
    shown, clean = pack.host.latent.learn_presence.prompts(phrases, 40, 0)
    assert len(shown) == len(clean) == 40
    halves = [{phrase for phrase in phrases for text in part if phrase in text} for part in (shown[:20], shown[20:])]
    assert not halves[0] & halves[1]
    assert not any(phrase in text for phrase in phrases for text in clean)
