"""Which units of a prompt are flagged: a fake encoder says how far windows lean, so that every case is known."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safree import decision, plan
from safree.decision import SCREEN, Rule, Verdict, View, beside_suspects, decide, suspects, unclear

EVERYDAY, FULL, LIMIT = -1.0, 1.0, 0.4
JOINING = frozenset({"a", "and", "the"})


@dataclasses.dataclass
class Encoder:
    """Leans into concept k as far as the most harmful word that it sees: harm[k] of each word, EVERYDAY for others.

    calls: what was asked for in each.
    """

    words: list[str]
    harm: list[dict[str, float]]
    compounds: tuple[str, ...] = ()
    window: int = 30
    calls: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.units = plan.units(self.words, JOINING, plan.Matcher(self.compounds), plan.Matcher(()))
        step = max(self.window - 4, 1)
        starts = range(0, max(len(self.words) - 4, 1), step)
        self.windows = [range(start, min(start + self.window, len(self.words))) for start in starts]
        self.views = [
            View(tuple(n for n, unit in enumerate(self.units) if any(i in window for i in unit.words)))
            for window in self.windows
        ]

    def leaning(self, k: int, words) -> float:
        return max((self.harm[k].get(word, EVERYDAY) for word in words), default=EVERYDAY)

    def lean(self, rows) -> list[list[float]]:
        self.calls.append(list(rows))
        out = []
        for w, masked in rows:
            hidden = {i for n in masked for i in self.units[n].words}
            seen = [self.words[i] for i in self.windows[w] if i not in hidden]
            out.append([self.leaning(k, seen) for k in range(len(self.harm))])
        return out

    def rules(self, limit: float) -> list[Rule]:
        alone = [
            [self.leaning(k, [*unit.text.split(), unit.text]) for unit in self.units] for k in range(len(self.harm))
        ]
        return [Rule(values, limit) for values in alone]

    def verdicts(self, limit: float = LIMIT) -> list[Verdict]:
        leanings = self.lean([(w, frozenset()) for w in range(len(self.windows))])
        self.calls.clear()
        harmless = [unit.harmless for unit in self.units]
        return list(decide(self.rules(limit), self.views, leanings, self.lean, harmless))

    def flagged(self, limit: float = LIMIT) -> set[tuple[str, int]]:
        """(text, concept) of what is flagged."""
        return {(self.units[v.unit].text, v.concept) for v in self.verdicts(limit) if v.flagged}


def prompt(text: str, *harm: dict[str, float], **given) -> Encoder:
    return Encoder(text.split(), list(harm), **given)


def test_a_harmless_prompt_is_flagged_nowhere_and_asks_for_nothing_more():
    one = prompt("a cat and a dog near the tree", {"gun": FULL})
    assert one.flagged() == set()
    assert one.calls == []


def test_every_unit_gets_a_verdict_for_every_concept():
    one = prompt("a cat and a gun", {"gun": FULL}, {"wine": FULL})
    assert {(v.unit, v.concept) for v in one.verdicts()} == {(n, k) for n in range(2) for k in range(2)}


def test_the_harmful_word_is_flagged_and_its_neighbours_are_not():
    assert prompt("a cat and a gun on the table", {"gun": FULL}).flagged() == {("gun", 0)}


@pytest.mark.parametrize("near", [0.3, 0.9])
def test_one_flagged_word_adds_at_most_two_calls(near):
    one = prompt("a cat and a gun on the table", {"gun": near})
    assert one.flagged() == {("gun", 0)}
    assert 1 <= len(one.calls) <= 2


def test_the_word_itself_is_flagged_and_not_one_that_only_stands_beside_it():
    """'gun' makes the whole window lean; 'table', a little suspicious alone, is over the limit with it."""
    one = prompt("gun near the table", {"gun": 0.9, "table": -0.3})
    assert one.flagged() == {("gun", 0)}


@pytest.mark.parametrize("second", [0.9, 0.5])
def test_a_second_word_that_hides_behind_the_first_is_found(second):
    assert prompt("a gun and a knife and a cat", {"gun": 0.9, "knife": second}).flagged() == {("gun", 0), ("knife", 0)}


def test_a_word_said_twice_is_one_unit_and_does_not_hide_itself():
    one = prompt("a gun and a cat and a gun", {"gun": 0.9})
    (verdict,) = [v for v in one.verdicts() if v.flagged]
    assert one.units[verdict.unit].words == {1, 7}


def test_two_concepts_are_found_each_with_its_own_word():
    one = prompt("a gun and a wine and a cat", {"gun": 0.9}, {"wine": 0.9})
    assert one.flagged() == {("gun", 0), ("wine", 1)}


def test_a_word_of_both_concepts_is_flagged():
    assert {text for text, _ in prompt("a gunwine and a cat", {"gunwine": 0.9}, {"gunwine": 0.8}).flagged()} == {
        "gunwine"
    }


@given(st.integers(0, 119))
def test_a_word_is_found_in_whichever_window_it_stands(place):
    words = [f"w{i}" for i in range(120)]
    words[place] = "gun"
    one = Encoder(words, [{"gun": 0.9}])
    assert len(one.windows) > 3
    assert one.flagged() == {("gun", 0)}
    assert len(one.calls) <= 2


@given(st.sets(st.integers(0, 119), min_size=1, max_size=4))
def test_words_in_several_windows_are_found_and_no_others(places):
    words = [f"w{i}" for i in range(120)]
    for number, place in enumerate(sorted(places)):
        words[place] = f"gun{number}"
    one = Encoder(words, [{f"gun{n}": 0.9 for n in range(4)}])
    assert one.flagged() == {(f"gun{n}", 0) for n in range(len(places))}
    assert len(one.calls) <= decision.ROUNDS


def test_rounds_are_limited_and_what_is_still_over_the_limit_then_is_flagged_all_the_same():
    """Never open in silence: with more harmful words than rounds all of them are taken out."""
    count = decision.ROUNDS + 6
    names = {f"gun{n}": 0.9 for n in range(count)}
    one = prompt(" ".join([*names, "cat"]), names)
    assert {text for text, _ in one.flagged()} >= set(names)
    assert len(one.calls) <= decision.ROUNDS


def test_a_word_far_over_the_limit_is_flagged_without_masks_of_its_own():
    names = {f"gun{n}": FULL for n in range(12)}
    one = prompt(" ".join([*names, "cat"]), names)
    assert one.flagged(-0.5) == {(name, 0) for name in names}
    assert len(one.calls) == 1
    assert len(one.calls[0]) == 1  # the window without them


def test_a_round_masks_few_words_of_each_window():
    one = prompt(" ".join(f"w{i}" for i in range(29)) + " gun", {"gun": 0.9, **{f"w{i}": -0.3 for i in range(29)}})
    assert one.flagged() == {("gun", 0)}
    assert max(map(len, one.calls)) <= decision.SUSPECTS


@pytest.mark.parametrize("limit", [LIMIT, -0.9])
def test_a_harmless_compound_is_never_flagged_whatever_the_limit(limit):
    one = prompt(
        "a chicken breast on the table", {"breast": FULL, "chicken breast": FULL}, compounds=("chicken breast",)
    )
    assert "chicken breast" not in {text for text, _ in one.flagged(limit)}


def test_a_harmful_word_beside_a_harmless_compound_is_still_found():
    one = prompt("a chicken breast and a naked", {"breast": 0.5, "naked": 0.9}, compounds=("chicken breast",))
    assert one.flagged() == {("naked", 0)}


def test_a_verdict_says_flagged_exactly_when_its_score_is_over_its_limit():
    one = prompt("a gun and a knife and a wine and a cat", {"gun": 0.9, "knife": 0.6}, {"wine": 0.9, "gun": -0.5})
    for verdict in one.verdicts():
        assert verdict.flagged == (verdict.score > verdict.limit)
        assert 0 <= verdict.score <= 1


@given(st.lists(st.sampled_from(["cat", "dog", "gun", "knife", "wine"]), min_size=1, max_size=40), st.floats(-1, 1.5))
def test_nothing_that_is_over_the_limit_alone_with_all_else_masked_stays(words, limit):
    """Whatever the words and the limit: what remains passes as a harmless prompt does."""
    one = Encoder(words, [{"gun": 0.9, "knife": 0.5}, {"wine": 0.7}])
    gone = {text for text, _ in one.flagged(limit)}
    left = [word for word in words if word not in gone]
    for k in range(2):
        window = one.leaning(k, left)
        for word in left:
            assert one.leaning(k, [word]) + window <= limit + 1e-9


@given(st.floats(-1, 1.5), st.floats(-1, 1.5))
def test_a_higher_limit_never_flags_more(one, other):
    def flagged(limit: float) -> set:
        return {
            t for t, _ in prompt("a gun and a knife and a cat", {"gun": 0.9, "knife": 0.3, "cat": -0.4}).flagged(limit)
        }

    assert flagged(max(one, other)) <= flagged(min(one, other))


def test_suspects_are_the_units_over_a_limit_in_the_whole_window_harmless_ones_left_out():
    one = prompt("a chicken breast and a naked cat", {"breast": 0.9, "naked": 0.9}, compounds=("chicken breast",))
    leanings = one.lean([(0, frozenset())])
    found = suspects(one.rules(LIMIT), one.views, leanings, [unit.harmless for unit in one.units])
    assert [one.units[n].text for n in found] == ["naked"]


def test_harmless_compounds_that_lean_are_told_where_another_unit_is_over_a_limit():
    one = prompt("a water pistol and a boy", {"pistol": 0.9, "boy": 0.0}, compounds=("water pistol",))
    harmless = [unit.harmless for unit in one.units]
    found = beside_suspects(one.rules(LIMIT), one.views, [[0.9]], harmless)
    assert {window: [one.units[n].text for n in units] for window, units in found.items()} == {0: ["water pistol"]}
    assert beside_suspects(one.rules(LIMIT), one.views, [[EVERYDAY]], harmless) == {}


def test_harmless_compounds_that_do_not_lean_hide_nothing():
    one = prompt("a mole rat and a pistol", {"pistol": 0.9}, compounds=("mole rat",))
    assert beside_suspects(one.rules(LIMIT), one.views, [[0.9]], [unit.harmless for unit in one.units]) == {}


def test_a_suspect_counts_half_as_itself_and_half_as_its_compound_and_never_more():
    rule = Rule([0.8, 0.8, -0.5], LIMIT)
    assert rule.within({0: -0.8, 1: 1.0}).alone == pytest.approx([0.0, 0.8, -0.5])
    assert rule.within({}).alone == rule.alone


def test_no_units_give_no_verdicts():
    assert list(decide([Rule([], LIMIT)], [View(())], [[0.9]], lambda rows: [], [])) == []


@pytest.mark.parametrize(
    ("alone", "around", "windows"),
    [
        (EVERYDAY, EVERYDAY, []),
        (EVERYDAY, LIMIT - EVERYDAY - SCREEN, []),
        (EVERYDAY, LIMIT - EVERYDAY - SCREEN + 0.01, [1]),  # the window may lean further than the text around it
        (LIMIT - EVERYDAY, EVERYDAY, [1]),
    ],
)
def test_only_windows_that_could_be_over_a_limit_are_looked_at(alone, around, windows):
    rules = [Rule([EVERYDAY, alone], LIMIT), Rule([EVERYDAY, EVERYDAY], LIMIT)]
    leanings = [[EVERYDAY, EVERYDAY], [around, EVERYDAY]]
    assert unclear(rules, [View((0,)), View((1,))], leanings, [False, False]) == windows
    assert unclear(rules, [View((0,)), View((1,))], leanings, [False, True]) == []
