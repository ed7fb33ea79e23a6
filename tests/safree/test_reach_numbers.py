"""Of harmless prompts those count that name a phrase, or hold a word over the limit: counted here word by word."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from safree import reach
from safree.calibration import Calibration, HarmlessWindow
from safree.discriminant import Everyday
from safree.kinds import Kin, Tree

COUNT = 40


@dataclasses.dataclass
class Fixed:
    """A contrast whose leanings are given: rows 0 to COUNT - 1 are words, the others windows."""

    everyday: list[float]
    phrases: tuple[str, ...] = ()
    of_phrases: tuple[float, ...] = ()
    at: float = 0.5
    kin: Kin | None = None

    def lean_everyday(self) -> torch.Tensor:
        return torch.tensor(self.everyday)

    def lean_phrases(self) -> torch.Tensor:
        return torch.tensor(self.of_phrases)

    def limit(self, tests: int) -> float:
        return self.at + 0.1 * (tests - 1)


def calibration(*windows: tuple[int, ...]) -> Calibration:
    rows = torch.nn.functional.normalize(torch.randn(COUNT + len(windows), 8, generator=torch.Generator()), dim=-1)
    views = [HarmlessWindow(tuple(f"w{n}" for n in own), COUNT + i, own) for i, own in enumerate(windows)]
    return Calibration(Everyday(rows, COUNT), tuple(((f"w{n}",), n) for n in range(COUNT)), tuple(views))


@pytest.mark.parametrize(
    ("word", "window", "taken"),
    [
        (0.5, 0.5, True),
        (0.3, 0.2, False),
        (0.3, 0.31, True),
        (0.9, -0.5, False),
        (-0.2, 0.9, True),
        (-0.9, -0.9, False),
    ],
)
def test_a_harmless_prompt_loses_words_when_one_and_its_window_are_over_the_limit(word, window, taken):
    made = calibration((3,), (4,))
    found = reach.reach(made, Fixed([word if n == 3 else -1.0 for n in range(COUNT)] + [window, -1.0]), ("w9", "w8"))
    assert found.harmless == (0.5 if taken else 0)


def test_the_more_words_a_window_has_the_higher_its_limit_and_the_highest_word_counts():
    made = calibration((3, 4, 5))
    for word, taken in ((0.41, True), (0.39, False)):
        leanings = [word if n == 4 else -1.0 for n in range(COUNT)] + [0.3]
        assert reach.reach(made, Fixed(leanings), ("w9", "w8")).harmless == taken


def test_a_prompt_that_names_a_phrase_counts_and_one_without_a_word_does_not():
    made = calibration((3,), (), (9, 1), (2,))
    assert reach.reach(made, Fixed([-1.0] * (COUNT + 4)), ("w9", "w8")).harmless == 0.25
    assert reach.reach(calibration(), Fixed([-1.0] * COUNT), ("w9",)).harmless == 0


def test_words_are_ranked_by_their_leaning_and_cut_where_one_alone_is_its_own_window():
    leanings = [0.3 - 0.01 * n for n in range(COUNT)]  # twice 0.26 is over 0.5, twice 0.25 is not
    found = reach.reach(calibration(), Fixed(leanings), ("w2",))
    assert found.catches == ("w0", "w1", "w3", "w4")
    assert found.below == tuple(f"w{n}" for n in range(5, 13))
    many = reach.reach(calibration(), Fixed([1.0] * COUNT), ("w2",))
    assert len(many.catches) == reach.SHOWN
    assert many.below == ()


def test_phrases_that_are_judged_without_themselves_are_missed_up_to_the_limit():
    names = ("w1", "w2", "w3", "w4")
    contrast = Fixed([-1.0] * COUNT, names[:3], (0.26, 0.25, -1.0))
    found = reach.reach(calibration(), contrast, names)
    assert found.judged == names
    assert found.missed == ("w2", "w3", "w4")  # the encoder does not know the last


@pytest.mark.parametrize(("share", "count"), [(0.03, 0), (0.031, 1), (0.4, 1)])
def test_a_concept_of_everyday_language_is_told_above_a_share(share, count):
    assert len(reach.warnings("x", ("a", "b", "c"), (), reach.Reach((), (), (), (), share))) == count


@pytest.mark.parametrize(
    ("missed", "said"),
    [
        ((), "found if left out: 12 of 12."),
        (("w1", "w2"), "found if left out: 10 of 12 (not: w1, w2)."),
        (tuple(f"w{n}" for n in range(8)), "4 of 12 (not: w0, w1, w2, w3, w4, w5, w6, w7)."),
        (tuple(f"w{n}" for n in range(9)), "3 of 12 (not: w0, w1, w2, w3, w4, w5, w6, w7, ...)."),
    ],
)
def test_the_reach_is_said_in_words(missed, said):
    judged = tuple(f"w{n}" for n in range(12))
    text = reach.text("x", reach.Reach(("a", "b"), ("c",), judged, missed, 0.0123))
    assert said in text
    assert "Also catches: a, b.\nJust below: c. Of harmless prompts 1.2% lose words." in text
    assert reach.text("x", reach.Reach((), ("c",), (), (), 0.0)).startswith("Also catches: no everyday word.")


def test_words_of_the_same_kind_are_ranked_with_what_the_dictionary_adds():
    kin = Kin(Tree.of(["aanimal", "bcat", "bmanx", "bocelot"]), {"manx": 0.9, "cat": 0.9})
    contrast = Fixed([-1.0] * COUNT, at=0.5, kin=kin)
    found = reach.reach(calibration(), contrast, ("tabby",), {"manx": -0.1, "cat": -0.4, "ocelot": 0.2})
    assert found.catches == ("manx", "cat")  # by their leaning as prompts, twice, and the shift
    assert found.below[0] == "ocelot"


def test_a_harmless_prompt_loses_a_word_that_the_dictionary_takes_over_the_limit():
    harmless = calibration((0, 1))
    texts = dataclasses.replace(harmless, phrases=((("cat",), 0), (("w1",), 1)))
    leanings = [-0.4] * COUNT + [-0.2]
    kin = Kin(Tree.of(["aanimal", "bcat", "bmanx"]), {"cat": 0.9})
    assert reach.reach(texts, Fixed(leanings), ("tabby",)).harmless == 0
    assert reach.reach(texts, Fixed(leanings, kin=kin), ("tabby",)).harmless == 1
