"""Scores of a presence, on numbers small enough to count by hand or against the textbook's formula."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from safree.presence import GRID, LOOK, ConceptPresence, Probe, discriminant, fit, on_grid, presence, recent, strongest
from safree.presence_calibration import calibrate

UNIT = Probe(torch.tensor([1.0, 0.0]), 0.0, torch.tensor([1.0, 0.0]))


def concept(clean: torch.Tensor, shown: torch.Tensor, sigmas=(4.0, 1.0)) -> ConceptPresence:
    """Of two noise levels, where only the measured scores matter: clean, shown [2, 2, pictures]."""
    return ConceptPresence("star", ("a star",), sigmas, ({0: UNIT}, {0: UNIT}), clean, shown, torch.zeros(1, 4, 2))


def test_a_picture_scores_the_mean_of_its_strongest_tenth_of_places():
    places = torch.arange(400.0).view(1, 20, 20)
    assert strongest(places).tolist() == [pytest.approx(sum(range(360, 400)) / 40)]
    assert strongest(torch.tensor([[[1.0, 5.0], [2.0, 3.0]]])).tolist() == [5]  # a tenth of four is one


def test_a_picture_is_scored_in_deviations_of_clean_pictures():
    probe = dataclasses.replace(UNIT, mean=2.0, deviation=4.0)
    assert probe.picture(torch.tensor([[[10.0]], [[2.0]]])).tolist() == [2, 0]
    assert UNIT.picture(torch.tensor([[[3.0]]])).tolist() == [3]  # before it is calibrated, as it is


def test_places_are_means_over_the_cells_of_a_grid():
    features = torch.randn(2, 3, 4 * GRID, 2 * GRID, generator=torch.Generator().manual_seed(0))
    cells = on_grid(features)
    assert cells.shape == (2, 3, GRID, GRID)
    torch.testing.assert_close(cells[1, 2, 3, 5], features[1, 2, 12:16, 10:12].mean())
    small = features[..., :5, :7]
    assert torch.equal(on_grid(small), small)


def test_a_place_is_weighed_and_the_offset_taken_off():
    probe = Probe(torch.tensor([2.0, -1.0]), 0.5, torch.tensor([1.0, 0.0]))
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert probe.places(features).tolist() == [[[2 * 3 - 4 - 0.5]]]


def test_damping_follows_the_excess_to_a_finer_picture():
    """Features of 32 x 32 have places of 2 x 2: where a place is over the limit, they lose, and far from it nothing."""
    features = torch.zeros(1, 2, 32, 32)
    features[:, 0, 8:16, 8:16] = 3
    damped = UNIT.damp(features, UNIT.places(features), torch.tensor([0.5]))
    lost = (features - damped)[0, 0]
    assert lost[10:14, 10:14].min() == pytest.approx((3 - 0.5) * 0.5)
    assert lost[:6].abs().max() == lost[18:].abs().max() == 0
    assert torch.equal(damped[0, 1], features[0, 1])


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7])
def test_the_discriminant_is_fishers_with_a_shrunk_covariance(shrinkage):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(40, 5)) * [1, 2, 3, 1, 1] + 1, rng.normal(size=(25, 5))
    centred = np.concatenate([one - one.mean(0), other - other.mean(0)])
    covariance = centred.T @ centred / len(centred)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 5 * np.eye(5)
    weight, direction = discriminant(torch.tensor(one), torch.tensor(other), shrinkage)
    np.testing.assert_allclose(direction, one.mean(0) - other.mean(0))
    np.testing.assert_allclose(weight, np.linalg.solve(shrunk, one.mean(0) - other.mean(0)))


def test_a_probe_scores_clean_places_around_0_with_deviation_1_and_its_direction_lowers_a_score_by_1():
    draw = torch.Generator().manual_seed(0)
    clean = 2 * torch.randn(50, 6, 4, 4, generator=draw) + 1
    shown = torch.randn(50, 6, 4, 4, generator=draw)
    shown[:, 0, :2] += 5
    probe = fit(shown, clean)
    scores = probe.places(clean)
    assert scores.mean() == pytest.approx(0, abs=1e-4)
    assert scores.std() == pytest.approx(1, abs=1e-4)
    assert probe.weight @ probe.direction == pytest.approx(1, abs=1e-5)


def test_presence_is_the_mean_over_blocks_and_recent_presence_that_of_the_last_two_steps():
    assert presence([torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])]).tolist() == [2, 2]
    history = torch.tensor([[8.0], [2.0], [4.0]])
    assert recent(history).tolist() == [3]
    assert recent(history[:1]).tolist() == [4]  # before the first step there was nothing


def test_limits_count_deviations_above_the_mean_of_what_clean_pictures_reach_during_a_run():
    clean = torch.zeros(2, 2, 3)
    clean[0] = torch.tensor([[4.0, 0.0, 2.0], [0.0, 2.0, 4.0]])  # recent: [2, 0, 1], then [2, 1, 3]
    found = concept(clean, torch.zeros(2, 2, 3))
    reached = torch.tensor([2.0, 1.0, 3.0])
    for deviations in (0.0, 1.0, 2.5):
        assert found.limit(deviations) == pytest.approx(float(reached.mean() + deviations * reached.std()))
    assert found.limit(0.0) < found.threshold < found.limit(3.0)


def test_sensitivity_is_the_share_of_the_asked_for_pictures_that_pass_the_threshold():
    clean = torch.zeros(2, 2, 3)
    clean[0, 1] = torch.tensor([0.0, 1.0, 2.0])
    shown = torch.zeros(2, 2, 4)
    shown[0, 0] = torch.tensor([20.0, 20.0, 0.0, 20.0])
    shown[1] = 99.0  # with the empty prompt, which nobody samples with
    assert concept(clean, shown).sensitivity == pytest.approx(0.75)


def test_a_finished_picture_is_held_against_clean_ones_with_the_empty_prompt():
    clean = torch.full((2, 2, 3), 99.0)
    clean[1] = torch.tensor([[1.0, 2.0, 6.0], [3.0, 0.0, 0.0]])
    found = concept(clean, torch.zeros(2, 2, 3))
    both = torch.tensor([2.0, 1.0, 3.0])
    assert found.look_threshold([0, 1]) == pytest.approx(float(both.mean() + LOOK * both.std()))
    assert found.look_threshold([1]) == pytest.approx(1 + LOOK * 3**0.5)


def test_every_picture_is_judged_by_probes_that_never_saw_it():
    """Another picture in a half moves the other half's probe, and so the scores of the other half alone."""
    draw = torch.Generator().manual_seed(0)
    shown, clean = (torch.randn(12, 4, 3, 3, generator=draw) for _ in range(2))

    def spread(clean: torch.Tensor, pictures: slice) -> torch.Tensor:
        """Ratios of differences, which a shared mean and deviation leave alone."""
        scores = calibrate({0: (shown, 2 * shown)}, {0: (clean, 3 * clean)})[1][0, pictures]
        return (scores - scores[0]) / (scores[1] - scores[0])

    for changed, others in ((2, slice(6, 12)), (8, slice(0, 6))):
        other = clean.clone()
        other[changed] += 7
        half = slice(6 * (changed // 6), 6 * (changed // 6) + 6)
        unmoved = [place for place in range(6) if place != changed % 6]
        torch.testing.assert_close(spread(other, half)[unmoved], spread(clean, half)[unmoved])
        assert not torch.allclose(spread(other, others), spread(clean, others), atol=1e-2)


def test_both_ways_of_asking_are_judged_with_their_own_features():
    draw = torch.Generator().manual_seed(1)
    shown, clean = (torch.randn(10, 4, 3, 3, generator=draw) for _ in range(2))
    with_prompt, empty = calibrate({0: (shown + 1, shown)}, {0: (clean, clean)})[2]
    assert not torch.allclose(with_prompt, empty)
    probes, without, _ = calibrate({0: (shown, shown)}, {0: (clean, clean)})
    torch.testing.assert_close(without[0], without[1])
    assert without.mean() == pytest.approx(0, abs=1e-5)
    assert without.std() == pytest.approx(1, abs=1e-5)
    assert (probes[0].mean, probes[0].deviation) != (0, 1)
