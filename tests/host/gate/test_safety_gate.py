"""SafetyGate: what shows a concept does not leave, what does not leaves bit for bit, nothing passes unjudged."""

from __future__ import annotations

import base64
import io
import json

import pytest
import torch
from PIL import Image

SHOWN = tuple(range(40, 50))
UNSAFE = 1.0  # the brightness that the judges of these tests take for the concept


class BrightJudge:
    """Sees 'light' in a picture whose upper left pixel is white; with `box` only there."""

    name = "bright"

    def __init__(self, pack, box=None, score=None):
        self.finding, self.box, self.score, self.asked = pack.host.gate.judges.judge.Finding, box, score, []

    def judge(self, images):
        self.asked.append(len(images))
        scores = images[:, 0, 0, 0].tolist() if self.score is None else [self.score] * len(images)
        return [self.finding("light", n, score, 0.9, self.box) for n, score in enumerate(scores)]


@pytest.fixture
def judge(pack):
    return lambda **options: BrightJudge(pack, **options)


@pytest.fixture
def gate(pack):
    def gate(images, *judges, **settings):
        module = pack.host.gate.safety_gate
        return module.gate(images, judges, module.Settings(**settings))

    return gate


def video(count: int = 81, shown=SHOWN, size: int = 32) -> torch.Tensor:
    frames = torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(2)) * 0.8
    frames[list(shown), 0, 0] = UNSAFE
    return frames


@pytest.mark.parametrize("every", [1, 5, 10])
@pytest.mark.parametrize("action", ["blur", "mosaic", "blank"])
def test_of_a_video_of_81_frames_those_ten_are_acted_on_and_none_else(gate, judge, every, action):
    frames = video()
    done = gate(frames, judge(), action=action, every=every)
    touched = [n for n in range(81) if not torch.equal(done.images[n], frames[n])]
    assert touched == done.acted_on == list(range(40, 50))
    assert not done.safe
    assert sum(one["found"] for one in done.report["findings"]) <= 10


def test_a_safe_batch_leaves_as_the_same_tensor(gate, judge):
    frames = video(shown=())
    done = gate(frames, judge())
    assert done.images is frames
    assert done.safe
    assert done.report["state"] == "clear"


def test_pass_says_it_and_changes_nothing(gate, judge):
    frames = video()
    done = gate(frames, judge(), action="pass")
    assert done.images is frames
    assert done.acted_on == list(range(40, 50))


@pytest.mark.fault(
    "an unsafe picture at SafetyGate with action 'stop'", "SafreeError names the concept; nothing leaves"
)
def test_stop_raises_and_names_the_concept(pack, gate, judge):
    with pytest.raises(pack.safree.SafreeError, match=r"light in 10 of 81 pictures\. Nothing is passed on"):
        gate(video(), judge(), action="stop")


class StubbornJudge(BrightJudge):
    """Sees 'light' in whatever has more than `cells` different pixels in a row: in pictures, and in weak blurs."""

    name = "stubborn"

    def __init__(self, pack, cells):
        super().__init__(pack)
        self.cells = cells

    def judge(self, images):
        different = [len(image[0, :, 0].unique()) for image in images]
        return [self.finding("light", n, float(count), self.cells) for n, count in enumerate(different)]


@pytest.mark.parametrize("cells", [1, 3, 7])
def test_what_is_still_seen_in_a_mosaic_gets_fewer_cells_until_it_is_not(pack, gate, cells):
    """The judges are asked again about what they would let go: a silhouette can outlive a blur."""
    frames, judge = video(3, [0]), StubbornJudge(pack, cells)
    done = gate(frames, judge, action="mosaic", cells=8)
    assert not any(one.found for one in judge.judge(done.images))
    assert all(len(image[0, :, 0].unique()) > cells // 3 for image in done.images)


def test_the_input_is_never_changed(gate, judge):
    frames = video()
    before = frames.clone()
    gate(frames, judge(), action="blank")
    assert torch.equal(frames, before)


@pytest.mark.parametrize(("agree", "acted_on"), [("any", 10), ("all", 0)])
def test_several_judges_any_or_all(gate, judge, agree, acted_on):
    assert len(gate(video(), judge(), judge(score=0.1), agree=agree).acted_on) == acted_on


def test_regions_keep_the_rest_only_where_all_that_saw_something_say_where(gate, judge):
    frames = video(1, [0])
    box = (0.0, 0.0, 0.5, 0.5)
    done = gate(frames, judge(box=box), regions=True, margin=0.0, action="blank").images
    assert torch.equal(done[0, 16:], frames[0, 16:])
    assert (done[0, :16, :16] == 0.5).all()
    whole = gate(frames, judge(box=box), judge(), regions=True, action="blank").images
    assert (whole == 0.5).all()


def test_the_panel_gets_a_dozen_pictures_of_a_few_pixels(gate, judge):
    done = gate(video(size=64), judge(), around=10)
    assert len(done.acted_on) == 30
    assert len(done.thumbnails) == 12
    for shown in done.thumbnails:
        head, data = shown["image"].split(",")
        assert head == "data:image/png;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= 7
    assert "thumbnails" not in done.report


def test_pictures_with_alpha_keep_it_where_nothing_is_found(gate, judge):
    frames = torch.cat([video(), torch.ones(81, 32, 32, 1)], -1)
    done = gate(frames, judge())
    assert done.images.shape == frames.shape
    assert len(done.acted_on) == 10


@pytest.mark.fault("pictures that SafetyGate cannot judge", "SafreeError that says what is wrong with them")
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(0, 32, 32, 3), "the batch is empty"),
        (torch.rand(1, 1, 1, 3), "1 x 1 pixels"),
        (torch.rand(1, 32, 8, 3), "8 x 32 pixels"),
        (torch.full((1, 32, 32, 3), torch.nan), "NaN or infinity"),
        (torch.rand(32, 32, 3), "shape"),
        (torch.rand(1, 32, 32, 1), "shape"),
    ],
    ids=["empty", "pixel", "narrow", "nan", "three dimensions", "one channel"],
)
def test_pictures_that_cannot_be_judged_are_errors(pack, gate, judge, images, message):
    with pytest.raises(pack.safree.SafreeError, match=message):
        gate(images, judge())


@pytest.mark.fault("a judge whose score is NaN", "SafreeError names the judge: it would count as nothing seen")
def test_a_judge_that_answers_no_number_is_an_error(pack, gate, judge):
    with pytest.raises(pack.safree.SafreeError, match="judge 'bright' gave the score nan"):
        gate(video(2, [0]), judge(score=float("nan")))


@pytest.mark.parametrize(
    "settings", [{"action": "hide"}, {"agree": "most"}, {"cells": 0}, {"every": 0}, {"around": -1}, {"margin": 1.5}]
)
def test_settings_out_of_range_are_errors(pack, gate, judge, settings):
    with pytest.raises(pack.safree.SafreeError):
        gate(video(2, [0]), judge(), **settings)


def test_no_judge_is_an_error(pack, gate):
    with pytest.raises(pack.safree.SafreeError, match="no judge is connected"):
        gate(video(2, [0]))


def test_the_node_gives_pictures_boolean_number_and_report(pack, judge):
    node = pack.nodes.safety_gate.SafetyGate
    done = node.execute(video(), (judge(),), "blur", "any", 12, False, 0.2, 8, 0)
    images, safe, acted_on, report = done.args
    assert (safe, acted_on, json.loads(report)["kind"]) == (False, 10, "gate")
    assert json.loads(report)["looked_at"] < 40
    assert len(done.ui["safree_gate"][0]["thumbnails"]) == 10
    assert images.shape == (81, 32, 32, 3)
    with pytest.raises(pack.safree.SafreeError, match=r"^SafetyGate: the batch is empty"):
        node.execute(torch.rand(0, 32, 32, 3), (judge(),), "blur", "any", 12, False, 0.2, 1, 0)
