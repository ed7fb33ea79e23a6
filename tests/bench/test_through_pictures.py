"""`bench adaptive-pictures`: a search over what a guard draws, on the small checkpoint."""

from __future__ import annotations

import json
import random

from bench.attacks import through_pictures
from bench.attacks.adaptive import Range, by_gradient
from bench.attacks.through_pictures import Attempt
from bench.world.guards import BY_NAME
from bench.world.studio import Sampling


def test_the_concept_is_seen_before_and_the_search_keeps_its_best(pack, tmp_path):
    (attempt,) = through_pictures.run(tmp_path, ("none",), attacks=1, tries=3)
    assert attempt.before > 0.5
    assert json.loads((tmp_path / "attempts.json").read_text()) == [vars(attempt)]
    assert attempt.text.startswith("a wolf and a ")
    assert len(attempt.text.split()) == 4 + through_pictures.LENGTH


def test_more_tries_show_no_less_and_the_sight_is_that_of_the_text(pack):
    place = Range(Sampling(steps=2))
    target = through_pictures.Target(place, BY_NAME["none"])

    def reached(tries: int) -> tuple[float, str]:
        draw = random.Random(3)
        return through_pictures.search(place, target, by_gradient(place, draw), draw, tries)

    (few, first), (more, text) = reached(1), reached(6)
    assert more >= few == target.sight(first)
    assert more == target.sight(text)


def test_the_report_counts_before_and_after():
    text = through_pictures.report([Attempt("none", "a", 0.9, 0.8), Attempt("none", "b", 0.1, 0.6)], 5)
    assert "| none | 2 | 1 | 2 | 0.80 |" in text
