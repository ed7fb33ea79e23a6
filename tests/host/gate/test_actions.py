"""What becomes of pictures: nothing that is smaller than a cell is left, nothing outside is touched."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def actions(pack):
    return pack.host.gate.actions


@pytest.fixture
def pictures():
    return torch.rand(3, 48, 64, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("action", ["blur", "mosaic", "blank"])
def test_two_pictures_with_equal_cells_look_the_same_afterwards(actions, action):
    """What distinguishes them is below a cell, so that nobody can tell which one it was."""
    one = torch.zeros(1, 64, 64, 3)
    one[:, ::2] = 1
    other = one.roll(1, dims=1)
    assert not torch.equal(one, other)
    assert torch.allclose(actions.act(one, action, 8), actions.act(other, action, 8), atol=1e-6)


@pytest.mark.parametrize("action", ["pass", "stop"])
def test_pass_and_stop_leave_the_pictures_bit_for_bit(actions, pictures, action):
    assert actions.act(pictures, action, 8) is pictures


@pytest.mark.parametrize("action", ["blur", "mosaic", "blank"])
@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (2, 17, 301, 4), (1, 300, 16, 3)])
def test_shape_and_range_are_kept_whatever_the_size(actions, action, shape):
    done = actions.act(torch.rand(*shape), action, 12)
    assert done.shape == shape
    assert 0 <= float(done.min()) <= float(done.max()) <= 1


def test_only_the_box_and_its_margin_are_touched(actions, pictures):
    image = pictures[0]  # [48, 64]
    done = actions.act_inside(image, [(0.25, 0.25, 0.5, 0.5)], "blank", 8, margin=0.5)
    touched = (done != image).any(-1)
    inside = torch.zeros_like(touched)
    inside[6:30, 8:40] = True  # 12 to 24 and 16 to 32, half a box more on each side
    assert torch.equal(touched, inside)


def test_boxes_that_leave_the_picture_are_cut(actions):
    assert actions.mask([(-0.5, -0.5, 2.0, 0.5)], (4, 4), 0.2).int().sum(1).tolist() == [4, 4, 4, 0]


@pytest.mark.parametrize("every", [1, 3, 8, 10])
@pytest.mark.parametrize("start", [0, 7, 40, 71])
def test_a_stretch_as_long_as_the_looks_are_apart_is_found_to_the_frame(actions, every, start):
    count, shown = 81, set(range(start, start + 10))
    found = {frame: frame in shown for frame in actions.first_looks(count, every)}
    found |= {frame: frame in shown for frame in actions.second_looks(found, count)}
    assert actions.stretches(found, count) == sorted(shown)
    if every > 1:
        assert len(found) < count / 2 + 2 * every


def test_frames_around_a_stretch_stay_inside_the_video(actions):
    assert actions.stretches({0: True, 1: False, 2: True}, 3, around=5) == [0, 1, 2]
