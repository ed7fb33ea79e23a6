"""Which language the host takes words for: English that other languages write alike stays English."""

from __future__ import annotations

import pytest

ALIKE = ["man", "a man", "hat", "car", "old man", "a red car", "logo", "stare", "double exposure", "plus size"]


@pytest.fixture
def recognise(pack):
    profiles = pack.host.data.languages.profiles()
    return lambda text: pack.safree.languages.recognise(pack.safree.plan.pieces(text), profiles)


@pytest.mark.parametrize("text", ALIKE)
def test_an_english_word_that_is_a_function_word_elsewhere_is_english(recognise, text):
    assert recognise(text) == "en"


@pytest.mark.parametrize(
    ("text", "code"),
    [("ein Mann im Garten", "de"), ("une rue sous la neige", "fr"), ("un gato con sombrero", "es"), ("die Frau", "de")],
)
def test_a_sentence_with_its_own_function_words_is_of_its_language(recognise, text, code):
    assert recognise(text) == code


def test_everyday_phrases_are_english(pack, recognise):
    others = {phrase for phrase in pack.host.data.vocabulary.load().phrases if recognise(phrase) != "en"}
    assert others == {"pain au chocolat"}


def test_phrases_of_words_that_two_languages_share_are_english(pack):
    of_phrases = pack.host.prompt.by_language.of_phrases
    assert set(of_phrases(("car crash", "accident", "wrecked car"))) == {"en"}
    assert set(of_phrases(("accident de voiture", "voiture brûlée"))) == {"fr"}
