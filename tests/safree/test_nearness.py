"""What is near a concept's phrases counts, where the phrases are few; and what a concept catches is told."""

from __future__ import annotations

import pytest
import torch

from safree import reach
from safree.calibration import BROAD, Calibration, HarmlessWindow
from safree.discriminant import Everyday
from safree.nearness import Nearness

WIDTH, KINDS, MEMBERS = 64, 60, 10


class Kinds:
    """An encoder of words that come in kinds: each word is its kind's direction and one of its own."""

    def __init__(self):
        random = torch.Generator().manual_seed(5)
        kinds = torch.nn.functional.normalize(torch.randn(KINDS, 1, WIDTH, generator=random), dim=-1)
        own = torch.nn.functional.normalize(torch.randn(KINDS, MEMBERS, WIDTH, generator=random), dim=-1)
        self.words = torch.nn.functional.normalize(kinds + own, dim=-1)  # [kinds, members, D]
        self.hidden = KINDS - 1  # this kind is no everyday one
        plain = self.words[: self.hidden].reshape(-1, WIDTH)
        count = len(plain)
        texts = torch.randint(0, count, (200, 8), generator=random)
        prompts = torch.nn.functional.normalize(plain[texts].sum(1), dim=-1)
        windows = [
            HarmlessWindow(tuple(f"w{n}" for n in text), count + i, tuple(dict.fromkeys(text)))
            for i, text in enumerate(texts.tolist())
        ]
        everyday = Everyday(torch.cat([plain, prompts]), count)
        self.calibration = Calibration(everyday, tuple(((f"w{n}",), n) for n in range(count)), tuple(windows))

    def contrast(self, concepts: torch.Tensor, retain: torch.Tensor | None = None):
        names = tuple(f"concept {n}" for n in range(len(concepts)))
        return self.calibration.contrast(concepts, names, concepts[:0] if retain is None else retain)


@pytest.fixture(scope="module")
def kinds() -> Kinds:
    return Kinds()


def test_members_that_no_phrase_names_lean_more_than_everyday_words(kinds):
    own = kinds.words[kinds.hidden]
    found = kinds.contrast(own[:4])
    assert (2 * found.lean(own[4:]) > found.limit(8)).float().mean() >= 0.8
    everyday = 2 * found.lean_everyday()[: kinds.calibration.everyday.phrases]
    assert (everyday > found.limit(8)).float().mean() <= 0.02


def test_what_is_retained_takes_what_is_near_to_it_out_of_the_concept(kinds):
    own = kinds.words[kinds.hidden]
    without, retained = kinds.contrast(own[:4]), kinds.contrast(own[:4], own[5:6])
    assert retained.lean(own[5:6]).item() < without.lean(own[5:6]).item() - 0.5


def test_what_is_near_counts_less_the_more_phrases_there_are(kinds):
    one = kinds.words[kinds.hidden]
    few, many = kinds.contrast(one[:4]), kinds.contrast(one.repeat(7, 1)[:BROAD])
    assert few.unnamed == 1 - 4 / BROAD
    assert many.unnamed == 0
    assert many.near is None


def test_an_everyday_text_is_judged_as_if_it_were_not_among_them(kinds):
    everyday = kinds.calibration.everyday
    near = Nearness.of(
        everyday, everyday.standardize(kinds.words[kinds.hidden][:4]), torch.zeros(0, WIDTH), torch.arange(9)
    )
    again = near.lean(everyday.embeddings)
    assert torch.allclose(again, near.lean_everyday(), atol=1e-4)
    assert again.max() < 1


def test_reach_names_the_everyday_words_of_the_kind_and_judges_each_phrase_without_it(kinds):
    concepts = kinds.words[3][:4]  # an everyday kind: its other members are words 30 to 39
    names = tuple(f"w{n}" for n in range(30, 34))
    contrast = kinds.calibration.contrast(concepts, names, concepts[:0])
    found = reach.reach(kinds.calibration, contrast, names)
    members = {f"w{n}" for n in range(34, 40)}
    assert members == set((*found.catches, *found.below)[:6])
    assert found.judged == names
    assert len(found.missed) <= 1


def test_an_odd_phrase_is_the_one_that_is_not_found_without_it(kinds):
    own = kinds.words[kinds.hidden]
    concepts = torch.cat([own[:5], -own[6:7]])
    names = tuple(f"concept {n}" for n in range(6))
    contrast = kinds.calibration.contrast(concepts, names, concepts[:0])
    found = reach.reach(kinds.calibration, contrast, names)
    assert "concept 5" in found.missed


def test_warnings_name_few_phrases_contradictions_and_everyday_concepts():
    plain = reach.Reach((), (), (), (), 0.0)
    assert reach.warnings("gun", ("gun", "pistol", "rifle"), ("water pistol",), plain) == []
    assert "2 phrases" in reach.warnings("gun", ("gun", "pistol"), (), plain)[0]
    assert "retain" in reach.warnings("gun", ("gun", "pistol", "rifle"), ("Pistol",), plain)[0]
    everyday = reach.Reach((), (), (), (), 0.4)
    assert "40%" in reach.warnings("thing", ("thing", "object", "item"), (), everyday)[0]
