"""Term lists: found by spelling in any script, as whole words, and by an age; nothing else is found."""

from __future__ import annotations

import pytest

from safree.terms import TermList, plain, words

CHURCHES = TermList.of(
    ["church", "old tower", "教会", "교회", "كنيسة", "गिरजाघर", "église"],
    ["year old", "歳", "lat"],
    100,
    ["church mouse"],
)


@pytest.mark.parametrize(
    "text",
    [
        "a church",
        "A CHURCH, at night",
        "(church:1.3) on a hill",
        "an old  tower",
        "an old-tower",
        "ｃｈｕｒｃｈ",
        "chu\u200brch",
        "chürch",
        "eglise",
        "古い教会の絵",
        "교회에서",
        "في الكنيسة",
        "एक गिरजाघर में",
        "a 12 year old wall",
        "a 12-year-old wall",
        "12歳",
        "a church mouse in a church",
    ],
)
def test_a_term_is_found_however_it_is_written(text):
    assert CHURCHES.finds(text)


@pytest.mark.parametrize(
    "text",
    [
        "churchyards",
        "an old grey tower",
        "tower old",
        "a church mouse",
        "a 120 year old wall",
        "12 churchmen",
        "1200歳",
        "",
        "12",
    ],
)
def test_other_words_are_not(text):
    assert not CHURCHES.finds(text)


def test_plain_keeps_the_vowel_signs_of_indian_scripts():
    assert plain("गिरजा") == "गिरजा"
    assert words(plain("दो घर")) == ("दो", "घर")
