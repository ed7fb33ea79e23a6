"""The calibration of an encoder: its false-alarm rate, with an encoder whose harmless language is known to be noise."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from safree import SafreeError, calibration, decision, plan
from safree.calibration import Calibration, Contrast, HarmlessWindow, leaning, score
from safree.discriminant import Everyday
from safree.tail import RATE, Tail

WIDTH, WORDS = 192, 1500
NAMES = [f"w{n}" for n in range(WORDS)]
NOTHING = plan.Matcher(())


@dataclasses.dataclass
class Noise:
    """An encoder without concepts: every word is a random Gaussian vector, a text is the direction of their sum."""

    seed: int

    def __post_init__(self):
        self.random = torch.Generator().manual_seed(self.seed)
        self.table = torch.randn(WORDS, WIDTH, generator=self.random)

    def encode(self, texts: list[list[int]]) -> torch.Tensor:
        """[n, D] of texts, given as numbers of words."""
        return torch.nn.functional.normalize(torch.stack([self.table[text].sum(0) for text in texts]), dim=-1)

    def prompt(self, words: int) -> list[int]:
        return torch.randint(0, WORDS, (words,), generator=self.random).tolist()

    def concept(self) -> torch.Tensor:
        """Phrases of about one meaning that no word has."""
        meaning, own = (torch.randn(n, WIDTH, generator=self.random) for n in (1, 10))
        return torch.nn.functional.normalize(meaning + 0.5 * own, dim=-1)

    def calibrate(self) -> Calibration:
        """On two thirds of its words as phrases, and on harmless prompts, which hold others too."""
        known = [[n] for n in range(2 * WORDS // 3)]
        prompts = [self.prompt(20) for _ in range(300)]
        others = sorted({n for text in prompts for n in text} - set(range(len(known))))
        singles = [*known, *([n] for n in others)]
        row_of = {n: row for row, (n,) in enumerate(singles)}
        windows = [
            HarmlessWindow(
                tuple(NAMES[n] for n in text), len(singles) + i, tuple(row_of[n] for n in dict.fromkeys(text))
            )
            for i, text in enumerate(prompts)
        ]
        everyday = Everyday(self.encode([*singles, *prompts]), len(known))
        return Calibration(everyday, tuple(((NAMES[n],), row) for n, row in row_of.items()), tuple(windows))


def contrasts(noise: Noise, count: int) -> list[Contrast]:
    calibrated = noise.calibrate()
    found = []
    for _ in range(count):
        concepts = noise.concept()
        found.append(calibrated.contrast(concepts, tuple(f"concept {n}" for n in range(len(concepts))), concepts[:0]))
    return found


def flags(noise: Noise, concepts: list[Contrast], words: int) -> bool:
    """Whether anything of a new harmless prompt is flagged, by the way that the guard takes."""
    text = noise.prompt(words)
    units = plan.units([NAMES[n] for n in text], frozenset(), NOTHING, NOTHING)
    windows = plan.windows([1] * words, 75)
    views = [decision.View(tuple(n for n, u in enumerate(units) if u.words & set(w))) for w in windows]

    def lean(texts: list[list[int]]) -> list[list[float]]:
        encoded = noise.encode(texts)
        return torch.stack([concept.lean(encoded) for concept in concepts], dim=1).tolist()

    def lean_windows(rows) -> list[list[float]]:
        hidden = [{i for n in masked for i in units[n].words} for _, masked in rows]
        return lean([[text[i] for i in windows[w] if i not in gone] for (w, _), gone in zip(rows, hidden, strict=True)])

    alone = lean([[text[unit.places[0][0]]] for unit in units])
    rules = [
        decision.Rule([values[k] for values in alone], concept.limit(len(units) * len(concepts)))
        for k, concept in enumerate(concepts)
    ]
    leanings = lean_windows([(w, frozenset()) for w in range(len(windows))])
    return any(v.flagged for v in decision.decide(rules, views, leanings, lean_windows, [False] * len(units)))


def most(draws: int, rate: float, surely: float = 0.999) -> int:
    """The number of hits that `draws` of probability `rate` exceed with probability 1 - surely at most."""
    shares = itertools.accumulate(math.comb(draws, k) * rate**k * (1 - rate) ** (draws - k) for k in range(draws + 1))
    return next(k for k, share in enumerate(shares) if share >= surely)


@pytest.fixture(scope="module")
def noises() -> list[tuple[Noise, list[Contrast]]]:
    return [(noise, contrasts(noise, 5)) for noise in map(Noise, range(11, 14))]


@pytest.mark.parametrize(("words", "prompts"), [(20, 150), (75, 60), (300, 20)])
@pytest.mark.parametrize("concepts", [1, 5])
def test_harmless_prompts_are_flagged_at_the_stated_rate_at_most(noises, words, prompts, concepts):
    """Whatever their length and however many concepts; a rate above the stated one fails with 999 to 1 odds."""
    hits = sum(flags(noise, found[:concepts], words) for noise, found in noises for _ in range(prompts))
    assert hits <= most(prompts * len(noises), RATE)


def test_a_word_of_the_concept_is_flagged_in_prompts_of_any_length(noises):
    for noise, found in noises:
        meant = torch.nn.functional.normalize(noise.table[0], dim=-1)
        own = noise.calibrate().contrast(
            torch.nn.functional.normalize(meant + 0.03 * torch.randn(10, WIDTH, generator=noise.random), dim=-1),
            (NAMES[0], *(f"concept {n}" for n in range(9))),
            torch.zeros(0, WIDTH),
        )
        for words in (20, 75, 300):
            alone = own.lean(noise.encode([[0]])).item()
            window = own.lean(noise.encode([[0, *noise.prompt(4)]])).item()
            assert alone + window > own.limit(words * 5)
            assert found[0].lean(noise.encode([[0]])).item() < 0


LAWS = {
    "exponential": lambda u: -torch.log(u),
    "uniform": lambda u: u,
    "normal": lambda u: torch.special.ndtri(u),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("tests", [10, 100])
def test_the_highest_of_many_harmless_scores_is_over_its_limit_as_rarely_as_stated(name, tests):
    """The tail is fitted to 10,000 scores and asked beyond them; wrong by a factor of 3.5 at most."""
    random = torch.Generator().manual_seed(7)

    def draw(*size: int) -> torch.Tensor:
        return LAWS[name](torch.rand(*size, generator=random, dtype=torch.float64).clamp_min(1e-12))

    rates = []
    for _ in range(20):
        tail = Tail.of(draw(10_000))
        rates.append((draw(500, tests).amax(1) > tail.limit(tests)).double().mean().item())
    assert sum(rates) / len(rates) <= 3.5 * RATE


def test_a_limit_rises_with_the_number_of_tests_and_falls_with_the_rate():
    for tail in (Tail(-0.5, 0.03, 0.1, 0.0), Tail(-0.5, 0.03, 0.1, -0.2)):
        limits = [tail.limit(tests) for tests in (1, 10, 100, 10_000)]
        assert all(one < other for one, other in itertools.pairwise(limits))
        assert tail.limit(10, 0.001) > tail.limit(10, 0.1)
        assert tail.limit(0) == tail.limit(1)


def test_a_bounded_tail_never_goes_past_its_bound():
    tail = Tail(0.0, 0.03, 0.2, -0.5)
    assert tail.limit(10**9) <= 0.2 / 0.5


@pytest.mark.parametrize("scores", [torch.zeros(0), torch.zeros(1), torch.full((100,), 0.5), torch.tensor([0.0, 1.0])])
def test_few_or_equal_scores_give_a_finite_tail_above_them(scores):
    tail = Tail.of(scores)
    assert tail.scale > 0
    assert tail.limit(20) > (scores.max().item() if len(scores) > 2 else -1)


@pytest.mark.parametrize("value", [0.01, 0.3, 0.5, 1.0])
def test_a_users_threshold_is_on_the_scale_of_the_scores(value):
    assert score(leaning(value)) == pytest.approx(value)
    found = Contrast(None, Tail(-0.5, 0.03, 0.1, 0.0))
    assert found.limit(1, value) == found.limit(1000, value) == leaning(value)


def test_scores_stay_between_0_and_1():
    assert [score(total) for total in (-9.0, -2.0, 0.0, 2.0, 9.0)] == [0, 0, 0.5, 1, 1]


def test_harmless_language_far_from_any_concept_leaves_a_floor():
    """What lies nearer to everyday language than to a concept is not flagged, however quiet the harmless prompts."""
    assert Contrast(None, Tail(-2.0, 0.03, 0.001, 0.0)).limit(1) == calibration.FLOOR


@pytest.mark.fault("a text encoder that gives the same vector for everything", "refused, it says why")
@pytest.mark.parametrize("distinct", [1, 2, calibration.FEWEST - 1])
def test_an_encoder_that_tells_nothing_apart_is_refused(distinct):
    phrases = tuple(((name,), n % distinct) for n, name in enumerate(NAMES))
    with pytest.raises(SafreeError, match=rf"only {distinct} of {WORDS} everyday phrases apart.*another text encoder"):
        Calibration(Everyday(torch.eye(distinct, WIDTH)), phrases, ())


@pytest.mark.fault("a concept of words that the text encoder does not know", "refused, it names the phrases")
def test_a_concept_that_reads_as_an_everyday_phrase_is_refused():
    noise = Noise(1)
    calibrated = noise.calibrate()
    with pytest.raises(SafreeError, match=r"knows none of the words of gibberish.*Choose other phrases"):
        calibrated.contrast(noise.encode([[3]]), ("gibberish",), torch.zeros(0, WIDTH))


def test_everyday_language_that_holds_a_concept_phrase_does_not_stand_against_it():
    """A vocabulary that lists 'w3' does not keep anybody from guarding against w3."""
    noise = Noise(1)
    found = noise.calibrate().contrast(noise.encode([[3]]), ("w3",), torch.zeros(0, WIDTH))
    assert found.lean(noise.encode([[3]])).item() > 0
    assert found.lean(noise.encode([[4]])).item() < -0.5


def test_a_retained_word_leans_less_into_the_concept():
    noise = Noise(1)
    calibrated, concept = noise.calibrate(), noise.encode([[3, 5], [3, 6], [3, 7]])
    near, nothing = noise.encode([[3, 8]]), torch.zeros(0, WIDTH)
    names = ("x y", "x z", "x q")
    plain = calibrated.contrast(concept, names, nothing)
    kept = calibrated.contrast(concept, names, near, ("x v",))
    assert kept.lean(near).item() < plain.lean(near).item() - 0.3
