"""SafetyReportPlot: real reports of each node become a picture of bounded size, anything else a clear error."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from tracing import encode

LIMIT = 4000  # pixels of height


@pytest.fixture(scope="module")
def draw(pack):
    """IMAGE of a report, as the node draws it."""

    def draw(report) -> torch.Tensor:
        text = report if isinstance(report, str) else json.dumps(report)
        (image,) = pack.SafetyReportPlot.execute(text).args
        assert image.dtype == torch.float32
        assert image.shape[0] == 1
        assert image.shape[2:] == (768, 3)
        assert image.shape[1] <= LIMIT
        assert image.min() >= 0
        assert image.max() <= 1
        return image

    return draw


@pytest.fixture(scope="module")
def guard(pack, clip, weapons):
    """The report of SafreeConditioning about a prompt, as text."""

    @functools.cache
    def guard(text: str) -> str:
        return pack.SafreeConditioning.execute(clip, (weapons,), text, "adaptive", 1.0, 0.0, "auto").args[1]

    return guard


def red(image: torch.Tensor) -> int:
    """How many pixels are nearly the colour of flagged words and of the bar."""
    return int((image - torch.tensor([229, 72, 77]) / 255).abs().amax(-1).lt(0.2).sum())


def test_flagged_words_are_red_and_others_are_not(draw, guard):
    assert red(draw(guard("a cat and a pistol"))) > 1000
    assert red(draw(guard("a guitar and a rabbit"))) == 0


def test_a_share_of_the_schedule_is_a_shorter_bar(draw, guard):
    report = json.loads(guard("a cat and a pistol"))
    report["t_prime"]["share"] = 0.2
    assert red(draw(report)) < red(draw(guard("a cat and a pistol"))) - 1000


def test_a_report_of_the_filter_names_positions_and_what_it_could_not_do(pack, clip, weapons, draw):
    filtered = pack.SafreeFilterConditioning.execute(encode(clip, "a cat and a pistol"), (weapons,), 1.0, 0.0)
    report = json.loads(filtered.args[1])
    assert report["flagged"]
    assert draw(report).shape[1] > draw(report | {"notes": []}).shape[1] + 60


def test_a_report_of_the_sampler_is_a_bar_of_its_steps(pack, model, swapped, empty, latent, draw):
    settings = ("share", -1)
    run = {"model": model, "seed": 1, "steps": 5, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"}
    run |= {"positive": swapped, "negative": empty, "latent_image": latent, "denoise": 1.0}
    report = json.loads(pack.SelfValidatingSampler.execute(*settings, **run).args[1])
    assert report["filtered_steps"] == [2]
    assert red(draw(report | {"filtered_steps": [4]})) == pytest.approx(2 * red(draw(report)), rel=0.1)


@pytest.mark.parametrize(
    "prompt",
    ["🔫 a cat 🐈 ﷽", "<b>pistol</b><img src=x onerror=alert(1)>", "pistol\u2028gun\x0bknife\x00\t."],
    ids=["emoji", "html", "control characters"],
)
def test_any_text_is_drawn(draw, guard, prompt):
    draw(guard(prompt))


def test_2000_words_and_2000_flagged_words_stay_within_bounds(draw, guard):
    report = json.loads(guard("a cat and a pistol"))
    (flagged,) = [token for token in report["tokens"] if token["flagged"]]
    words = [flagged | {"text": f"pistol{n}"} for n in range(2000)]
    verdict = f"Flagged {', '.join(word['text'] for word in words)} as weapons."
    draw(report | {"tokens": words, "verdict": verdict})
    draw(report | {"tokens": [word | {"flagged": False, "score": 0.1} for word in words]})
    long = {"text": "x" * 5000, "concept": "y" * 5000}
    draw(report | {"tokens": [flagged | long], "verdict": "z" * 5000, "notes": ["n" * 5000]})


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("", "is not JSON"),
        ("a cat", "is not JSON"),
        ("[1]", "holds no verdict"),
        ('{"prompt": "a cat"}', "holds no verdict"),
        ('{"verdict": "fine"}', "has version None, not 1 or 2"),
        ('{"verdict": "fine", "version": 0}', "has version 0, not 1 or 2. Run the workflow again"),
        ('{"verdict": "fine", "version": 99}', "has version 99, not 1 or 2"),
        ('{"verdict": 5, "version": 1}', "is damaged"),
        ('{"verdict": "", "version": 1, "tokens": [{"text": "cat"}]}', "is damaged"),
        ('{"verdict": "", "version": 1, "tokens": "cat"}', "is damaged"),
        ('{"verdict": "", "version": 1, "flagged": 1}', "is damaged"),
        ('{"verdict": "", "version": 1, "flagged": 1, "t_prime": {"share": Infinity}}', "is damaged"),
        ('{"verdict": "", "version": 1, "steps": 0, "filtered_steps": [1]}', "is damaged"),
        ('{"verdict": "", "version": 2}', "is damaged"),
    ],
)
def test_anything_else_is_an_error_of_this_node(pack, draw, report, message):
    with pytest.raises(pack.safree.SafreeError, match=f"SafetyReportPlot: .*{message}"):
        draw(report)
