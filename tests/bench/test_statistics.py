"""Rates, intervals and the prompt generator of the benchmark."""

from __future__ import annotations

import math

import pytest
import torch

from bench.pictures.gate import regressions
from bench.pictures.own_prompts import Prompt, read
from bench.run.statistics import mse, psnr, rate, wilson
from bench.world.prompts import LEFT_OUT, World


def test_a_rate_lies_in_its_interval_and_more_prompts_narrow_it():
    few, many = (rate([1, 0] * n, range(2 * n)) for n in (10, 1000))
    assert few.low < few.value == many.value == 0.5 < few.high
    assert many.high - many.low < few.high - few.low


def test_prompts_that_share_a_picture_count_as_one_draw():
    alone = rate([1, 0] * 20, range(40))
    shared = rate([1, 0] * 20, [i % 2 for i in range(40)])
    assert shared.high - shared.low > alone.high - alone.low


def test_a_ratio_is_paired_with_its_baseline():
    assert rate([1, 0, 1, 0], range(4), [1, 0, 1, 0]).value == 1
    assert rate([1, 0, 0, 0], range(4), [1, 1, 0, 0]).value == pytest.approx(0.5)


def test_no_prompts_give_no_rate():
    assert rate([], []).n == 0
    assert math.isnan(rate([], []).value)


def test_a_wilson_interval_stays_open_at_certainty():
    perfect = wilson([True] * 20)
    assert perfect.value == perfect.high == 1
    assert 0.8 < perfect.low < 0.9


def test_equal_pictures_have_infinite_psnr_and_a_tenth_off_has_twenty_decibels():
    picture = torch.full((1, 3, 4, 4), 0.5)
    assert psnr(picture, picture) == math.inf
    assert psnr(picture, picture + 0.1) == pytest.approx(20, abs=1e-4)
    assert mse(picture, picture + 0.1) == pytest.approx(0.01)


@pytest.mark.parametrize(("name", "now"), [("concept flagged", 0.5), ("concept seen", 0.5)])
def test_the_gate_reports_a_figure_worse_than_its_interval(name, now):
    was = {"concept flagged": wilson([True] * 50), "concept seen": wilson([False] * 50)}
    assert regressions(was, was) == []
    hits = [i < 50 * now for i in range(50)]
    assert len(regressions({**was, name: wilson(hits)}, was)) == 1


def test_the_benchmark_has_200_distinct_prompts_and_repeats_them_for_a_seed():
    items = World().items()
    assert len({item.name for item in items}) == len(items) >= 200
    assert items == World().items()
    assert items != World(seed=1).items()


def test_prompts_leave_out_the_nouns_that_calibrated_the_first_version():
    """Figures on these prompts then compare with those of 0.1.0."""
    assert len(LEFT_OUT) == 24
    assert not {noun for item in World().items() if not item.concept for noun in item.kept} & LEFT_OUT


def test_the_benchmark_knows_which_of_its_objects_calibrate_the_guard():
    """The everyday vocabulary is broad and holds most nouns; the report has to say so."""
    known, objects = World().calibrating()
    assert "clover" in objects - known
    assert "wolf" in known
    assert objects == {noun for item in World().items() if not item.concept for noun in item.kept}


def test_unlisted_phrases_are_not_in_the_guards_list():
    world = World()
    for item in world.items():
        if item.case.endswith("not in the list"):
            assert not set(item.prompt.split()) & set(world.concepts()[item.concept].phrases)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("text\na wolf\n", "none of adv_prompt"),
        ("prompt\n\n", "holds no prompt"),
        ("prompt,evaluation_seed\na wolf,many\n", "line 2"),
        ("prompt,sd_seed\na wolf,inf\n", "line 2"),
    ],
)
def test_an_unusable_csv_says_what_is_wrong(tmp_path, text, problem):
    file = tmp_path / "own.csv"
    file.write_text(text)
    with pytest.raises(SystemExit, match=problem):
        read(file)


def test_a_csv_may_have_the_columns_of_i2p(tmp_path):
    file = tmp_path / "i2p.csv"
    file.write_text(
        "prompt,categories,sd_seed,sd_guidance_scale,evaluation_seed\na wolf,violence,7,7.5,\na fox,violence,7,7.5,9\n"
    )
    assert read(file) == [Prompt("a wolf", 7, 7.5, "violence"), Prompt("a fox", 9, 7.5, "violence")]


def test_a_csv_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="cannot be read"):
        read(tmp_path / "no.csv")
