"""The law of harmless scores: its moments are those of the scores, and its limits have the stated probability."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safree.calibration import CEILING, FLOOR, OTHER_FLOOR, Calibration, Contrast, HarmlessWindow, floor_of
from safree.discriminant import Everyday
from safree.tail import Tail

FAST = settings(max_examples=25, deadline=None)


def scores(seed: int, power: float) -> torch.Tensor:
    """Bounded by 1, with a tail of shape -power."""
    return 1 - torch.rand(20_000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** power


@FAST
@given(st.integers(0, 2**31), st.floats(0.03, 0.07), st.sampled_from([0.03, 0.1]))
def test_the_fitted_law_has_the_mean_and_the_variance_of_what_lies_above_its_start(seed, power, share):
    found = scores(seed, power)
    tail = Tail.of(found, share)
    assert tail.start == pytest.approx(float(found.quantile(1 - share)))
    assert tail.share == share
    above = found[found > tail.start] - tail.start
    assert float(above.mean()) == pytest.approx(tail.scale / (1 - tail.shape))
    by_moments = 0.5 * (1 - float(above.mean()) ** 2 / float(above.var()))
    if -0.1 < by_moments < 0:
        assert tail.shape < 0
        variance = tail.scale**2 / ((1 - tail.shape) ** 2 * (1 - 2 * tail.shape))
        assert float(above.var()) == pytest.approx(variance)


def test_scores_with_a_heavier_tail_than_the_exponential_law_get_that_law():
    found = torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** -0.5
    assert Tail.of(found).shape == 0


def test_three_scores_above_the_start_are_enough_for_a_law():
    found = torch.cat([torch.zeros(97), torch.tensor([1.0, 2.0, 3.0])])
    assert Tail.of(found, 0.03).scale != 0.1
    assert Tail.of(found[:-1], 0.025).scale == 0.1
    assert Tail.of(torch.zeros(0)) == Tail.of(torch.zeros(50)) == Tail(0.0, 0.03, 0.1, 0.0)


@pytest.mark.parametrize("count", [700, 7000, 70_000])
def test_few_harmless_scores_make_up_no_end_of_the_law(count):
    """With doubt limits rise, the more the fewer scores there are; the mean of what lies above the start stays."""
    found = scores(3, 0.4)[:: 20_000 // count] if count < 20_000 else scores(3, 0.4)
    plain, doubted = Tail.of(found), Tail.of(found, doubt=20)
    above = int((found > plain.start).sum())
    assert doubted.shape == pytest.approx(plain.shape * above / (above + 20))
    assert doubted.scale / (1 - doubted.shape) == pytest.approx(plain.scale / (1 - plain.shape))
    assert doubted.limit(100) > plain.limit(100)


def test_with_a_part_of_everyday_language_less_is_believed():
    assert floor_of(FLOOR, 1.0) == FLOOR
    assert floor_of(FLOOR, 1 / 3) == pytest.approx(OTHER_FLOOR)  # as in languages of which so much is known
    assert FLOOR < floor_of(FLOOR, 0.5) < floor_of(FLOOR, 0.25) < floor_of(FLOOR, 0.01) == CEILING


@FAST
@given(st.floats(-1, 0.5), st.floats(0.01, 0.5), st.floats(-0.8, 0), st.integers(1, 500), st.floats(0.001, 0.02))
def test_a_harmless_word_is_above_a_limit_with_its_share_of_the_rate(start, scale, shape, tests, rate):
    shape = 0.0 if shape > -0.01 else shape
    tail = Tail(start, 0.03, scale, shape)
    beyond = (tail.limit(tests, rate) - start) / scale
    chance = math.exp(-beyond) if shape == 0 else (1 + shape * beyond) ** (-1 / shape)
    assert 0.03 * chance * tests == pytest.approx(rate, rel=1e-6)


def test_limits_stay_between_everyday_language_and_the_concepts_own_phrases():
    assert Contrast(None, Tail(-3.0, 0.03, 0.01, 0.0)).limit(5) == FLOOR
    assert Contrast(None, Tail(3.0, 0.03, 0.01, 0.0)).limit(5) == CEILING
    middle = Tail(-0.5, 0.03, 0.01, 0.0)
    assert Contrast(None, middle).limit(5) == middle.limit(5)


@pytest.fixture(scope="module")
def everyday():
    """(calibration, concept [70, D]): 300 words w0 to w299, of which w0, x and y are read alike, and 60 windows."""
    draw = torch.Generator().manual_seed(0)
    words, meaning = torch.randn(300, 48, generator=draw), torch.randn(48, generator=draw)
    picks = torch.randint(0, 300, (60, 6), generator=draw).tolist()
    rows = torch.cat([words, torch.stack([words[pick].sum(0) for pick in picks])])
    phrases = [((f"w{n}",), n) for n in range(300)] + [(("x",), 0), (("y",), 0), (("w1",), 1), (("w1",), 1)]
    windows = [HarmlessWindow(tuple(f"w{n}" for n in pick), 300 + i, tuple(pick)) for i, pick in enumerate(picks)]
    concept = torch.nn.functional.normalize(meaning + 0.5 * torch.randn(70, 48, generator=draw), dim=-1)
    return Calibration(Everyday(torch.nn.functional.normalize(rows, dim=-1)), tuple(phrases), tuple(windows)), concept


def tail(calibration: Calibration, concept: torch.Tensor, retained: tuple[str, ...] = ()) -> Tail:
    names = tuple(f"concept {n}" for n in range(len(concept)))
    return calibration.contrast(concept, names, concept[:0], retained).tail


def with_units(calibration: Calibration, change) -> Calibration:
    windows = [dataclasses.replace(window, units=change(window.units)) for window in calibration.windows]
    return dataclasses.replace(calibration, windows=tuple(windows))


def test_a_row_that_three_different_phrases_share_is_how_unknown_words_are_read(everyday):
    assert everyday[0].unknown.tolist() == [0]  # w1, said three times, is one phrase


def test_unknown_words_are_no_harmless_words(everyday):
    calibration, concept = everyday
    full = with_units(calibration, lambda units: (*units, 0))
    assert tail(full, concept) == tail(with_units(calibration, lambda units: tuple(n for n in units if n)), concept)
    assert tail(with_units(calibration, lambda units: (*units, 1)), concept) != tail(calibration, concept)


def test_texts_with_a_retained_phrase_are_no_harmless_texts(everyday):
    calibration, concept = everyday
    word = calibration.windows[0].words[0]
    rest = tuple(window for window in calibration.windows if word not in window.words)
    without = dataclasses.replace(calibration, windows=rest)
    assert 0 < len(rest) < len(calibration.windows)
    assert tail(calibration, concept, (word,)) == tail(without, concept) != tail(calibration, concept)


def test_a_calibration_without_prompts_has_a_law_all_the_same(everyday):
    calibration, concept = everyday
    assert tail(dataclasses.replace(calibration, windows=()), concept) == Tail.of(torch.zeros(0))


def test_leanings_end_at_1_on_both_sides_of_everyday_language():
    rule = SimpleNamespace(left_out=torch.tensor([-3.0, 0.5, 3.0]), phrases_left_out=torch.tensor([-3.0, 0.5, 3.0]))
    rule.lean = lambda embeddings: rule.left_out
    found = Contrast(rule, Tail(0.0, 0.03, 0.1, 0.0))
    for leanings in (found.lean(torch.zeros(3, 2)), found.lean_everyday(), found.lean_phrases()):
        assert leanings.tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("unnamed", [0.25, 0.5, 1.0])
def test_nearness_and_the_rule_share_a_leaning_by_how_little_the_phrases_name(unnamed):
    rule = SimpleNamespace(left_out=torch.tensor([0.5, -1.0]))
    near = SimpleNamespace(lean_everyday=lambda: torch.tensor([-0.5, 1.0]))
    found = Contrast(rule, Tail(0.0, 0.03, 0.1, 0.0), near=near, unnamed=unnamed)
    assert found.lean_everyday().tolist() == pytest.approx([0.5 - unnamed, 2 * unnamed - 1])
