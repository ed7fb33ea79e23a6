"""What becomes of a picture that shows a concept: pure functions on IMAGE tensors, [n, H, W, C] in 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

ACTIONS = ("blur", "mosaic", "blank", "pass", "stop")
GREY = 0.5
Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the picture


def act(images: Tensor, action: str, cells: int) -> Tensor:
    """`images` [n, H, W, C] blurred, in a mosaic or blank; as they are for 'pass' and 'stop'.

    cells: along the longer side; what is smaller than a cell cannot be seen any more.
    """
    if action == "blank":
        return torch.full_like(images, GREY)
    if action not in ("blur", "mosaic"):
        return images
    return _spread(_averages(images, cells), images.shape[1:3], "nearest" if action == "mosaic" else "bicubic")


def act_inside(image: Tensor, boxes: Sequence[Box], action: str, cells: int, margin: float = 0.0) -> Tensor:
    """One picture [H, W, C], acted on inside `boxes` alone, each larger by `margin` of its size on every side."""
    inside = mask(boxes, image.shape[:2], margin).to(image.device)
    return torch.where(inside[:, :, None], act(image[None], action, cells)[0], image)


def mask(boxes: Sequence[Box], size: tuple[int, int], margin: float = 0.0) -> Tensor:
    """[H, W] bool: the pixels that lie in a box, those at its edge too.

    >>> mask([(0.5, 0.0, 1.0, 0.5)], (2, 4)).int().tolist()
    [[0, 0, 1, 1], [0, 0, 0, 0]]
    """
    height, width = size
    inside = torch.zeros(height, width, dtype=torch.bool)
    for left, top, right, bottom in boxes:
        x, y = margin * (right - left), margin * (bottom - top)
        columns = slice(_floor((left - x) * width), _ceil((right + x) * width))
        inside[_floor((top - y) * height) : _ceil((bottom + y) * height), columns] = True
    return inside


def small(image: Tensor, cells: int) -> Tensor:
    """One picture [H, W, C] as [h, w, 3] with at most `cells` pixels along its longer side."""
    return _averages(image[None, :, :, :3], cells)[0].movedim(0, -1)


def first_looks(count: int, every: int) -> list[int]:
    """The frames that are looked at first: every nth and the last.

    >>> first_looks(10, 4)
    [0, 4, 8, 9]
    """
    return sorted({*range(0, count, every), count - 1}) if count else []


def second_looks(found: dict[int, bool], count: int) -> list[int]:
    """The frames between one that shows a concept and one that does not: where the stretch begins or ends.

    found: what the frames show that were looked at first.

    >>> second_looks({0: False, 4: True, 8: True, 9: False}, 10)
    [1, 2, 3]
    """
    looked = sorted(found)
    return [frame for a, b in pairwise(looked) if found[a] != found[b] for frame in range(a + 1, b)]


def stretches(found: dict[int, bool], count: int, around: int = 0) -> list[int]:
    """The frames to act on: those found, those between two that were found and next to each other in the looks, and
    `around` more on each side.

    >>> stretches({0: False, 1: True, 4: True, 5: False}, 9, around=1)
    [0, 1, 2, 3, 4, 5]
    """
    looked = sorted(found)
    hit = {frame for frame in looked if found[frame]}
    between = [range(a + 1, b) for a, b in pairwise(looked) if found[a] and found[b]]
    hit.update(frame for gap in between for frame in gap)
    wider = {frame + step for frame in hit for step in range(-around, around + 1)}
    return sorted(frame for frame in wider if 0 <= frame < count)


def _averages(images: Tensor, cells: int) -> Tensor:
    """[n, C, h, w] means of the cells of `images` [n, H, W, C]; cells are about square."""
    height, width = images.shape[1:3]
    longer = max(height, width)
    cells = min(cells, longer)
    size = (max(round(cells * height / longer), 1), max(round(cells * width / longer), 1))
    return adaptive_avg_pool2d(images.movedim(-1, 1).float(), size)


def _spread(cells: Tensor, size: tuple[int, int], how: str) -> Tensor:
    """[n, H, W, C] of the means [n, C, h, w]."""
    options = {} if how == "nearest" else {"align_corners": False}
    return interpolate(cells, size=tuple(size), mode=how, **options).clamp(0, 1).movedim(1, -1)


def _floor(value: float) -> int:
    return max(int(value // 1), 0)


def _ceil(value: float) -> int:
    return max(int(-(-value // 1)), 0)
