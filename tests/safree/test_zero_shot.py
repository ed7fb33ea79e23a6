"""Scores of pictures by the words for a concept, against CLIP's formula written out."""

from __future__ import annotations

import math

import pytest
import torch

from safree import SafreeError
from safree.tail import Tail
from safree.zero_shot import FEWEST, SHARE, ZeroShot

WIDTH = 12


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / one.norm() / other.norm())


@pytest.fixture
def judge() -> ZeroShot:
    return ZeroShot.of("star", 5 * rows(3, 0), 0.1 * rows(20, 1))


def test_a_score_is_the_log_of_the_odds_that_clip_gives_the_concept_against_everyday_things(judge):
    pictures = rows(4, 2)
    for picture, score in zip(pictures, judge.score(3 * pictures), strict=True):
        ours, others = (
            math.log(sum(math.exp(100 * cosine(picture, text)) for text in texts))
            for texts in (judge.concept, judge.everyday)
        )
        assert float(score) == pytest.approx(ours - others, abs=1e-3)


@pytest.mark.parametrize(("count", "kept"), [(20, 19), (50, 49), (100, 98), (200, 196), (1, 1)])
def test_the_everyday_texts_nearest_to_the_concept_are_left_out(count, kept):
    concept, everyday = rows(3, 0), rows(count, 1)
    found = ZeroShot.of("star", concept, everyday)
    assert len(found.everyday) == kept
    assert len(found.concept) == 3

    def nearness(text: torch.Tensor) -> float:
        """To the two nearest phrases."""
        return sum(sorted(cosine(text, phrase) for phrase in concept)[-2:]) / 2

    left = sorted(everyday, key=nearness)[:kept]
    wanted = [text / text.norm() for text in everyday if any(torch.equal(text, one) for one in left)]
    torch.testing.assert_close(found.everyday, torch.stack(wanted))


def test_one_phrase_is_a_concept_too():
    assert ZeroShot.of("star", rows(1, 0), rows(20, 1)).score(rows(2, 2)).shape == (2,)


@pytest.mark.parametrize(
    "texts", [torch.ones(5, WIDTH), torch.zeros(5, WIDTH), torch.cat([rows(4, 0), torch.zeros(1, WIDTH)])]
)
def test_an_encoder_that_tells_no_texts_apart_is_refused(texts):
    with pytest.raises(SafreeError, match="'star' and everyday ones not apart"):
        ZeroShot.of("star", texts[:2], texts[2:])
    ZeroShot.of("star", torch.ones(2, WIDTH), torch.ones(3, WIDTH) + 0.01 * rows(3, 0))


def test_a_limit_follows_from_the_upper_quarter_of_the_scores_of_everyday_pictures(judge):
    pictures = rows(40, 3)
    for rate in (0.1, 0.01):
        assert judge.limit(pictures, rate) == Tail.of(judge.score(pictures), SHARE).limit(1, rate)
    assert judge.limit(pictures, 0.01) > judge.limit(pictures, 0.1) > float(judge.score(pictures).median())
    judge.limit(pictures[:FEWEST], 0.1)
    with pytest.raises(SafreeError, match=rf"there are {FEWEST - 1} everyday pictures, fewer than {FEWEST}"):
        judge.limit(pictures[: FEWEST - 1], 0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_pictures_of_another_encoder_or_without_numbers_are_refused(judge, bad):
    with pytest.raises(SafreeError, match=rf"in 7 dimensions, the text encoder in {WIDTH}"):
        judge.score(torch.ones(2, 7))
    with pytest.raises(SafreeError, match="dimensions"):
        judge.score(torch.ones(WIDTH))
    pictures = rows(2, 2)
    pictures[1, 3] = bad
    with pytest.raises(SafreeError, match="NaN or infinity"):
        judge.score(pictures)
