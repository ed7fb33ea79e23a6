"""Nearness to a concept's phrases against the crowd of everyday language, and its scale, written out."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from safree.discriminant import Everyday
from safree.nearness import NEAREST, TINY, Nearness


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def everyday() -> Everyday:
    return Everyday(rows(60, 0))


def gained(everyday: Everyday, direction: torch.Tensor, phrases: torch.Tensor, opposed: torch.Tensor) -> float:
    """Mean cosine to the two nearest phrases, less that to the crowd or to the nearest opposed text."""
    near = sorted((phrases @ direction).tolist())[-NEAREST:]
    crowd = float(everyday.crowd_around(direction[None]))
    return sum(near) / len(near) - max([crowd, *(opposed @ direction).tolist()])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("against", [0, 3])
def test_a_text_leans_by_how_much_nearer_it_is_to_the_phrases_than_to_what_is_around_it(everyday, count, against):
    phrases, opposed = rows(count, 1), rows(against, 2)
    ordinary = torch.tensor([3, 4, 5, 9, 9])
    found = Nearness.of(everyday, phrases, opposed, ordinary)
    middle = sorted(gained(everyday, everyday.standard[n], phrases, opposed) for n in ordinary.tolist())[2]
    assert found.usual == pytest.approx(middle, abs=1e-5)
    own = sum(gained(everyday, phrase, phrases, opposed) for phrase in phrases) / count
    assert found.own == pytest.approx(max(own, middle + TINY), abs=1e-5)
    texts = rows(20, 3)
    for text, leaning in zip(texts, found.lean(texts), strict=True):
        raw = gained(everyday, everyday.standardize(text), phrases, opposed)
        wanted = 2 * (raw - found.usual) / (found.own - found.usual) - 1
        assert float(leaning) == pytest.approx(min(max(wanted, -1), 1), abs=1e-3)


def test_phrases_that_are_no_nearer_than_everyday_language_have_a_scale_all_the_same(everyday):
    phrases = rows(3, 1)
    found = Nearness.of(everyday, phrases, phrases, torch.arange(60))
    assert found.own == pytest.approx(found.usual + TINY)
    assert torch.isfinite(found.lean(rows(5, 2))).all()


def test_leanings_run_from_everyday_language_to_the_concepts_own_phrases(everyday):
    phrases = rows(2, 1)
    found = dataclasses.replace(Nearness(everyday, phrases, rows(0, 2)), usual=-0.5, own=0.5)
    leanings = found.lean(rows(200, 3))
    assert -1 <= leanings.min() < 0 < leanings.max() <= 1
    middle = dataclasses.replace(found, usual=-9.0, own=9.0)
    assert middle.lean(rows(200, 3)).abs().max() < 0.2  # half-way between the two


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("against", [0, 3])
def test_a_phrase_leans_as_if_it_were_not_among_them(everyday, count, against):
    phrases, opposed = rows(count, 1), rows(against, 2)
    found = dataclasses.replace(Nearness(everyday, phrases, opposed), usual=-1.0, own=1.0)
    for n, leaning in enumerate(found.lean_phrases()):
        raw = gained(everyday, phrases[n], torch.cat([phrases[:n], phrases[n + 1 :]]), opposed)
        assert float(leaning) == pytest.approx(min(max(raw, -1), 1), abs=1e-5)


def test_a_phrase_that_is_alone_leans_like_everyday_language(everyday):
    assert Nearness(everyday, rows(1, 1), rows(0, 2)).lean_phrases().tolist() == [-1]
