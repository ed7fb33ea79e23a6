"""A tree of meanings, and what it says of a word beside what an encoder does."""

from __future__ import annotations

import math

import pytest
import torch

from safree import kinds
from safree.calibration import BROAD, DICTIONARY, Calibration, HarmlessWindow
from safree.decision import Rule, View, decide
from safree.discriminant import Everyday
from safree.kinds import Kin, Tree

TREE = Tree.of(
    [
        "athing",
        "bgun",
        "crevolver six-gun",
        "crifle",
        "bbow3 longbow",
        "bknot",
        "cbow7 bow_tie",
        "bfruit",
        "cpear apple",
    ]
)
GUNS = Kin(TREE, {"revolver": 0.9, "bow": 0.3, "tie rack": 0.2})


def test_a_kind_ends_before_the_next_line_that_lies_no_deeper():
    assert [TREE.ends[n] - n for n in (0, 1, 2, 5, 7)] == [9, 3, 1, 2, 2]
    assert list(TREE.kinds_of(3)) == [3, 1, 0]


def test_a_kind_too_large_to_be_a_concept_is_none(monkeypatch):
    monkeypatch.setattr(kinds, "LARGEST", 5)
    assert list(TREE.kinds_of(3)) == [3, 1]


def test_a_word_has_each_of_its_meanings_as_far_as_it_is_used_so():
    assert TREE.find("bow") == [(4, 0.3), (6, 0.7)]
    assert TREE.find("revolver") == [(2, 1.0)]
    assert TREE.find("nothing") == []


@pytest.mark.parametrize("text", ["Revolvers", "six gun", "six - guns", "six-gun", "sixgun"])
def test_inflections_and_spellings_of_a_compound_are_found(text):
    assert TREE.find(text) == [] if text == "sixgun" else TREE.find(text) == [(2, 1.0)]


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("mice", "mouse"),
        ("knives", "knife"),
        ("women", "woman"),
        ("flies", "fly"),
        ("running", "run"),
        ("geese", "goose"),
    ],
)
def test_forms_of_a_word_hold_its_base(text, base):
    assert base in kinds.forms(text)


def test_what_is_meant_is_shifted_up_by_its_log_odds_and_what_is_known_otherwise_down():
    expected = kinds.NAT * (math.log(9) - math.log(kinds.LEAST / (1 - kinds.LEAST)))
    assert GUNS.shift("revolver") == pytest.approx(expected)
    assert GUNS.shift("revolvers") == pytest.approx(expected)
    assert 0 < GUNS.shift("bow") < expected
    assert GUNS.shift("apple") == -kinds.FOREIGN
    assert GUNS.shift("glock") == 0


def test_evidence_counts_by_its_weight():
    half = Kin(TREE, GUNS.words, 0.5)
    assert [half.shift(word) for word in ("revolver", "apple")] == [
        pytest.approx(GUNS.shift(word) / 2) for word in ("revolver", "apple")
    ]


def test_inside_a_compound_of_the_dictionary_a_word_is_what_the_compound_is():
    words = ["a", "bow", "tie", "and", "a", "bow"]
    assert GUNS.shift_within(words, (1,)) == -kinds.FOREIGN
    assert GUNS.shift_within(words, (2,)) == -kinds.FOREIGN
    assert GUNS.shift_within(words, (5,)) == GUNS.shift("bow")
    assert GUNS.shift_within(["six", "-", "guns"], (2,)) == -kinds.FOREIGN


@pytest.mark.parametrize(("shift", "flagged"), [(0.0, False), (1.0, True)])
def test_a_word_with_evidence_is_flagged_where_its_surroundings_do_not_speak_against_it(shift, flagged):
    rule = Rule([-0.6, -0.9], -0.5, [shift, 0.0])
    found = list(decide([rule], [View((0, 1))], [[-0.4]], lambda wanted: [[-1.0]] * len(wanted), [False, False]))
    assert [verdict.flagged for verdict in found] == [flagged, False]
    plain = list(decide([rule], [View((0, 1))], [[-1.0]], lambda wanted: [[-1.0]] * len(wanted), [False, False]))
    assert not any(verdict.flagged for verdict in plain)  # the text around it says something else


def word(number: int) -> str:
    return "w" + chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def everyday_language() -> Calibration:
    generator = torch.Generator().manual_seed(3)
    words = torch.randn(300, 24, generator=generator)
    texts = torch.randint(0, 300, (120, 6), generator=generator)
    prompts = words[texts].mean(1)
    windows = [HarmlessWindow(tuple(word(n) for n in t), 300 + i, tuple(set(t))) for i, t in enumerate(texts.tolist())]
    phrases = tuple(((word(n),), n) for n in range(300))
    return Calibration(Everyday(torch.cat([words, prompts]), 300), phrases, tuple(windows))


def test_the_limit_knows_what_the_dictionary_adds_and_what_it_means_is_no_harmless_word():
    known = everyday_language()
    concepts = known.everyday.embeddings[:3] + 0.1
    tree = Tree.of(["a" + " ".join(word(n) for n in range(300))])
    names, none = ("one", "two", "three"), concepts[:0]
    plain = known.contrast(concepts, names, none)
    likely = known.contrast(concepts, names, none, kin=Kin(tree, {word(n): 0.4 for n in range(300)}))
    shift = likely.kin.shift(word(9))
    assert shift > 0.5
    limits = [contrast.tail.limit(8) for contrast in (plain, likely)]
    assert limits[1] - limits[0] == pytest.approx(shift, abs=0.1)  # all harmless words are shifted: so is the limit
    meant = known.contrast(concepts, names, none, kin=Kin(tree, {word(n): 0.9 for n in range(0, 300, 2)}))
    assert meant.tail.limit(8) < limits[0]  # half of the words mean the concept and are left out, the rest is foreign


def test_a_dictionary_counts_the_less_the_more_is_named_and_half_at_least():
    known = everyday_language()
    concepts = known.everyday.embeddings[:BROAD] + 0.1
    names = tuple(f"name {n}" for n in range(BROAD))
    kin = Kin(TREE, {word(1): 0.9})
    assert known.contrast(concepts, names, concepts[:0]).kin is None
    assert known.contrast(concepts, names, concepts[:0], kin=kin).kin.weight == DICTIONARY
    assert known.contrast(concepts[:5], names[:5], concepts[:0], kin=kin).kin.weight == 1 - 5 / BROAD
