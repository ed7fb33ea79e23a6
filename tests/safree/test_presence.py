"""Probes of decoder features: they find a planted pattern and its place, take it out there alone, and know chance."""

from __future__ import annotations

import pytest
import torch

from safree import SafreeError, presence_storage
from safree.presence import DAMPED_FROM, ConceptPresence, Probe, by_frame, fit, on_grid, recent, strongest
from safree.presence_calibration import calibrate

WIDTH, SIDE = 24, 8


def pictures(count: int, seed: int, pattern: torch.Tensor | None = None):
    """Noise [count, WIDTH, SIDE, SIDE]; with `pattern` at one random place of each, and the places."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(count, WIDTH, SIDE, SIDE, generator=draw)
    at = torch.randint(SIDE, (count, 2), generator=draw)
    if pattern is not None:
        for features_of_one, (y, x) in zip(features, at.tolist(), strict=True):
            features_of_one[:, y, x] += pattern
    return features, at


@pytest.fixture(scope="module")
def pattern():
    return 9 * torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(9)), dim=0)


@pytest.fixture(scope="module")
def probe(pattern):
    return fit(pictures(120, 1, pattern)[0], pictures(120, 2)[0])


def test_a_probe_finds_where_a_planted_pattern_stands(probe, pattern):
    features, at = pictures(40, 3, pattern)
    places = probe.places(features)
    found = places.flatten(1).argmax(1)
    assert (found == at[:, 0] * SIDE + at[:, 1]).float().mean() > 0.9


def test_pictures_with_the_pattern_score_above_all_without_it(probe, pattern):
    having, without = (strongest(probe.places(pictures(40, 4, what)[0])) for what in (pattern, None))
    assert having.min() > without.max()


def test_scores_count_deviations_of_clean_places(probe):
    places = probe.places(pictures(60, 5)[0])
    assert places.mean().abs() < 0.2
    assert 0.8 < places.std() < 1.3


def test_damping_takes_the_pattern_out_where_it_stands_and_leaves_the_rest(probe, pattern):
    features, at = pictures(20, 6, pattern)
    places = probe.places(features)
    damped = probe.places(probe.damp(features, places, torch.ones(20)))
    here = torch.arange(20), at[:, 0], at[:, 1]
    torch.testing.assert_close(damped[here], places[here].clamp_max(DAMPED_FROM), atol=1e-3, rtol=0)
    low = places <= DAMPED_FROM
    assert torch.equal(damped[low], places[low])


def test_strength_decides_picture_by_picture(probe, pattern):
    features, _ = pictures(2, 7, pattern)
    damped = probe.damp(features, probe.places(features), torch.tensor([0.0, 1.0]))
    assert torch.equal(damped[0], features[0])
    assert not torch.equal(damped[1], features[1])


def test_damping_keeps_the_dtype_and_takes_any_size(probe):
    features = torch.randn(1, WIDTH, 20, 12).half()
    damped = probe.damp(features, probe.places(features), torch.ones(1))
    assert damped.dtype == torch.float16
    assert damped.shape == features.shape
    assert on_grid(features).shape == (1, WIDTH, 16, 12)


def calibrated(pattern) -> ConceptPresence:
    shown, clean = pictures(60, 10, pattern)[0], pictures(60, 11)[0]
    steps = [calibrate({0: (shown, shown)}, {0: (clean, clean)}) for _ in range(2)]
    probes, without, having = zip(*steps, strict=True)
    empty = torch.zeros(1, 4, 3)
    return ConceptPresence(
        "star", ("a star",), (2.0, 0.5), probes, torch.stack(without, 1), torch.stack(having, 1), empty
    )


def test_clean_pictures_are_judged_by_probes_that_never_saw_them(pattern):
    concept = calibrated(pattern)
    assert concept.clean.shape == concept.shown.shape == (2, 2, 60)
    assert concept.clean.mean().abs() < 1e-4  # the score of clean pictures is 0 deviations, by definition
    chance = calibrate({0: (pictures(60, 12)[0],) * 2}, {0: (pictures(60, 13)[0],) * 2})
    assert chance[2].mean() < 1  # without a pattern, what was asked for scores as what was not


def test_the_threshold_lets_few_clean_pictures_pass_and_finds_the_others(pattern):
    concept = calibrated(pattern)
    passing = (recent(concept.clean[0]) > concept.threshold).float().mean()
    assert passing < 0.15
    assert concept.sensitivity > 0.9


@pytest.mark.parametrize(("sigma", "level"), [(14.0, 0), (1.2, 0), (0.9, 1), (0.0, 1)])
def test_the_nearest_noise_level_is_chosen_by_ratio(pattern, sigma, level):
    assert calibrated(pattern).at(sigma) == level


def test_a_presence_file_gives_back_what_was_saved(pattern, tmp_path):
    concept = calibrated(pattern)
    presence_storage.save(concept, tmp_path / "star.safetensors")
    found = presence_storage.load(tmp_path / "star.safetensors")
    assert (found.name, found.phrases, found.sigmas) == (concept.name, concept.phrases, concept.sigmas)
    assert found.threshold == concept.threshold
    assert found.also == {}
    features = pictures(3, 14, pattern)[0]
    assert torch.equal(found.probes[1][0].places(features), concept.probes[1][0].places(features))


def test_an_existing_file_is_not_touched(pattern, tmp_path):
    path = tmp_path / "star.safetensors"
    path.write_text("mine")
    with pytest.raises(SafreeError, match=r"presence file 'star.safetensors' exists"):
        presence_storage.save(calibrated(pattern), path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: {"clean": torch.full_like(c.clean, float("nan"))}, "not finite"),
        (lambda c: {"sigmas": (0.5, 2.0)}, "noise levels"),
        (lambda c: {"clean": c.clean[:, :1]}, "calibration has shape"),
        (lambda c: {"probes": (c.probes[0], {})}, "differ from step to step"),
        (lambda c: {"probes": ({0: Probe(torch.ones(3), 0.0, torch.ones(4))},) * 2}, "wrong shape"),
        (lambda c: {"probes": ({0: Probe(torch.ones(3), 0.0, torch.ones(3), 0.0, -1.0)},) * 2}, "not positive"),
        (lambda c: {"empty": torch.zeros(3)}, "empty prompt"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(pattern, tmp_path, change, told):
    import dataclasses

    concept = calibrated(pattern)
    presence_storage.save(dataclasses.replace(concept, **change(concept)), tmp_path / "bad.safetensors")
    with pytest.raises(SafreeError, match=rf"'bad.safetensors' is damaged.*{told}"):
        presence_storage.load(tmp_path / "bad.safetensors")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(SafreeError, match="is damaged"):
        presence_storage.load(tmp_path / "bad.safetensors")


def video(count: int, seed: int, pattern: torch.Tensor | None = None, frames: int = 5, shown: tuple = (2, 3)):
    """Noise [count, WIDTH, frames, SIDE, SIDE]; with `pattern` at one place of the frames `shown`."""
    features = pictures(count * frames, seed)[0].unflatten(0, (count, frames)).movedim(1, 2)
    if pattern is not None:
        features[:, :, shown, 4, 5] += pattern[None, :, None]
    return features


def test_a_video_shows_what_two_frames_in_a_row_show(probe, pattern):
    having, without = (strongest(probe.places(video(20, 7, what))) for what in (pattern, None))
    once = strongest(probe.places(video(20, 7, pattern, shown=(2,))))
    assert having.min() > without.max()
    assert (once < having).all()


def test_a_video_is_damped_in_the_frames_and_places_that_show_it(probe, pattern):
    features = video(6, 8, pattern)
    places = probe.places(features)
    assert places.shape == (6, 5, SIDE, SIDE)
    damped = probe.damp(features, places, torch.ones(6))
    assert (probe.places(damped)[:, 2:4, 4, 5] < places[:, 2:4, 4, 5] - 3).all()
    assert torch.equal(damped[:, :, 0][(places[:, 0] < 0)[:, None].expand_as(damped[:, :, 0])],
                       features[:, :, 0][(places[:, 0] < 0)[:, None].expand_as(damped[:, :, 0])])  # fmt: skip


def test_a_video_of_one_frame_is_a_picture(probe, pattern):
    picture = pictures(4, 11, pattern)[0]
    assert torch.equal(by_frame(probe.places(picture[:, :, None]))[:, 0], strongest(probe.places(picture)))
