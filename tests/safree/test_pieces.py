"""Words of scripts whose vowels are marks are whole words."""

from __future__ import annotations

import pytest

from safree.plan import pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \u092c\u093f\u0932\u094d\u0932\u0940", 2),  # Hindi
        ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", 1),  # Hebrew with points
        ("cafe\u0301, na\u00efve", 3),
        ("a b", 2),
        ("a\u2014b", 3),
        ("a_b", 3),
        ("x2 3d", 2),
    ],
)
def test_marks_are_parts_of_their_words(text, words):
    assert len(pieces(text)) == words
