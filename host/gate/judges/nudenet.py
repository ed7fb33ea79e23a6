"""NudeNet, where the user has installed it: boxes of exposed body parts. Its model is part of the wheel."""

from __future__ import annotations

from torch import Tensor

from ....safree import SafreeError
from ..actions import Box
from .judge import Finding

NAME = "NudeNet (installed package)"
THRESHOLD = 0.5
# NudeNet's classes that count; covered parts, feet, bellies and faces do not.
CLASSES = frozenset(
    {
        "BUTTOCKS_EXPOSED",
        "FEMALE_BREAST_EXPOSED",
        "FEMALE_GENITALIA_EXPOSED",
        "ANUS_EXPOSED",
        "MALE_GENITALIA_EXPOSED",
    }
)


class NudeNetJudge:
    """threshold: probability above which a part counts; 0 for THRESHOLD."""

    name = "NudeNet"

    def __init__(self, threshold: float = 0.0):
        try:
            from nudenet import NudeDetector
        except ImportError as error:
            raise SafreeError(
                f"the package nudenet is not installed in ComfyUI's environment ({error}). Install it there yourself: "
                "pip install nudenet==3.4.2"
            ) from error
        self.detector, self.threshold = NudeDetector(), threshold or THRESHOLD

    def judge(self, images: Tensor) -> list[Finding]:
        return [finding for number, image in enumerate(images) for finding in self._judge(number, image)]

    def parts(self, image: Tensor) -> list[dict]:
        """The exposed parts in a picture [H, W, 3], however unsure: NudeNet's own {'class', 'score', 'box'}."""
        pixels = (image * 255).round().byte().flip(-1).contiguous().numpy()  # blue first, as NudeNet takes them
        return [part for part in self.detector.detect(pixels) if part["class"] in CLASSES]

    def _judge(self, number: int, image: Tensor) -> list[Finding]:
        seen, size = self.parts(image), image.shape[:2]
        found = [Finding("nudity", number, part["score"], self.threshold, _shares(part["box"], size)) for part in seen]
        return found or [Finding("nudity", number, 0.0, self.threshold)]


def _shares(box: list[int], size: tuple[int, int]) -> Box:
    """A box of NudeNet (left, top, width, height in pixels) as shares of the picture."""
    (left, top, wide, high), (height, width) = box, size
    return left / width, top / height, (left + wide) / width, (top + high) / height
