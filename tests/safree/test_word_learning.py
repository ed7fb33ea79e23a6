"""Which kind a few phrases name: the smallest that holds them, or several, by the meanings that go together."""

from __future__ import annotations

import itertools
import string

import pytest

from safree.kinds import Tree
from safree.word_learning import members


def tree(*more: str) -> Tree:
    """Animals (dogs, cats, many birds), food, athletes, vehicles and a great many minerals."""
    kinds = {"dog": ["pug", "hound", "corgi", "boxer5", "setter", "spaniel", "terrier", "beagle", "collie"]}
    kinds["cat"] = ["tabby", "manx", "persian", "angora", "calico"]
    kinds["bird"] = [f"bird{one}{two}" for one in string.ascii_lowercase for two in "abcdefghij"]
    lines = ["athing", "banimal"]
    for kind, words in kinds.items():
        lines += [f"c{kind}", *(f"d{word}" for word in words)]
    lines += ["bfood", *(f"c{word}" for word in ("bread", "butter", "cheese", "jam", "soup", "pie"))]
    lines += ["bmineral", *(f"cmineral{one}{two}" for one in string.ascii_lowercase for two in string.ascii_lowercase)]
    lines += ["bathlete", "cboxer5", "crunner", "cswimmer", "bvehicle", "ccar", "dtaxi", "dcab", "ctruck"]
    return Tree.of([*lines, *more])


def test_phrases_of_one_kind_stand_for_it():
    found = members(tree(), ["pug", "hound", "corgi"])
    assert all(found[word] > 0.5 for word in ("spaniel", "terrier", "dog"))
    assert all(found.get(word, 0) < 0.1 for word in ("tabby", "bread", "birdaa"))


def test_the_more_phrases_the_surer_is_the_kind():
    shares = [
        members(tree(), ["pug", "hound", "corgi", "setter", "beagle"][:n]).get("terrier", 0) for n in (1, 2, 3, 5)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] > 0.8


def test_phrases_of_a_wider_kind_stand_for_that():
    found = members(tree(), ["pug", "tabby", "birdaa", "hound", "birdza"])
    assert all(found[word] > 0.3 for word in ("calico", "birdca", "terrier"))
    assert found.get("bread", 0) < 0.1


def test_a_concept_may_be_of_several_kinds():
    found = members(tree(), ["pug", "hound", "corgi", "bread", "butter", "cheese"])
    assert all(found[word] > 0.5 for word in ("terrier", "soup"))
    assert found.get("tabby", 0) < 0.3
    assert found.get("runner", 0) < 0.05


def test_a_word_has_the_meaning_that_goes_with_the_others():
    dogs, sport = (members(tree(), phrases) for phrases in (["boxer", "pug", "hound"], ["boxer", "runner", "swimmer"]))
    assert dogs["terrier"] > 0.5 > dogs.get("athlete", 0)
    assert sport["athlete"] > 0.5 > sport.get("terrier", 0)


def test_a_word_counts_as_far_as_it_is_used_so():
    found = members(tree(), ["pug", "hound", "corgi", "terrier"])
    assert found["boxer"] == pytest.approx(found["spaniel"] / 2, abs=0.01)


def test_a_synonym_of_a_phrase_is_meant_even_if_the_phrase_is_alone():
    found = members(tree("bpistol handgun", "bsoup_bowl"), ["pistol"])
    assert found == {"handgun": pytest.approx(1.0)}


def test_what_a_phrase_is_about_bears_out_a_kind_but_names_none():
    alone = members(tree(), ["wrecked car", "accident"])
    assert alone.get("taxi", 0) < 0.05
    several = members(tree(), ["wrecked car", "burning car", "old car on a road"])
    assert several["taxi"] > 0.3
    less, more = (members(tree(), ["pug", "hound", *names])["beagle"] for names in ((), ("happy dog", "big corgi")))
    assert more > less


def test_phrases_are_not_among_their_kin_in_any_form_and_unknown_ones_tell_nothing():
    found = members(tree(), ["Pugs", "hounds", "corgi"])
    assert not {"pug", "hound", "corgi"} & found.keys()
    assert found["terrier"] > 0.5
    assert members(tree(), ["Pennywise", "Glock"]) == {}


def test_probabilities_stay_probabilities_whatever_the_phrases():
    words = ["pug", "tabby", "birdaa", "boxer", "bread", "runner", "car", "taxi", "thing"]
    for phrases in itertools.combinations(words, 4):
        assert all(0 < value <= 1 for value in members(tree(), phrases).values())
