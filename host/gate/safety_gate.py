"""Judge finished pictures, act on those that show a concept, and say what was done."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence

import comfy.model_management
import comfy.utils
import torch
from PIL import Image
from torch import Tensor

from ...safree import Refusal, SafreeError, check_choice
from ..report.reports import Report
from . import actions
from .judges.judge import Finding, Judge

AGREE = ("any", "all")
SMALLEST = 16  # pixels of a side: in less nothing can be seen, and a judge would say anything
AT_ONCE = 8  # pictures that a judge gets
SHOWN = 12  # pictures in the panel
THUMBNAIL = 7  # pixels along the longer side: the colours, and no more
DONE = {"blur": "blurred", "mosaic": "put in a mosaic", "blank": "blanked", "pass": "passed on as they are"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """action: of actions.ACTIONS. agree: how many judges must see it. cells: see actions.act.

    regions: act only where a judge says that it is, with `margin` of its size around
    every: frames of a video of which one is looked at first. around: frames beside a stretch that are acted on, too
    """

    action: str = "blur"
    agree: str = "any"
    cells: int = 8
    regions: bool = False
    margin: float = 0.2
    every: int = 1
    around: int = 0

    def __post_init__(self):
        check_choice("action", self.action, actions.ACTIONS)
        check_choice("agree", self.agree, AGREE)
        for name, value, least in (("cells", self.cells, 1), ("every_nth", self.every, 1), ("around", self.around, 0)):
            if value < least:
                raise SafreeError(f"{name} is {value}. Choose {least} or more.")
        if not 0 <= self.margin <= 1:
            raise SafreeError(f"margin is {self.margin}, outside 0 to 1. Choose a value in between.")


@dataclasses.dataclass(frozen=True)
class Gated:
    """images [n, H, W, C]; acted_on: numbers of the pictures that show something, or lie in a stretch that does."""

    images: Tensor
    acted_on: list[int]
    report: dict
    thumbnails: list[dict]

    @property
    def safe(self) -> bool:
        return not self.acted_on


def gate(images: Tensor, judges: Sequence[Judge], settings: Settings) -> Gated:
    """Pictures [n, H, W, C] as they may leave; those that show nothing leave bit for bit.

    SafreeError for pictures that cannot be judged, Refusal with action 'stop' where one shows something.
    """
    _check(images, judges)
    panel = _Panel(images, judges, settings)
    acted_on = panel.look()
    report = _report(panel, acted_on, settings)
    if acted_on and settings.action == "stop":
        raise Refusal(f"{report['verdict']} Nothing is passed on. Draw anew, or choose another action.")
    out = images if settings.action == "pass" else panel.hide(acted_on)
    shown = [{"picture": n, "image": _thumbnail(images[n])} for n in acted_on[:SHOWN]]
    return Gated(out, acted_on, report, shown)


def _check(images: Tensor, judges: Sequence[Judge]) -> None:
    if not judges:
        raise SafreeError("no judge is connected. Connect a LoadSafetyJudge, ClipSafetyJudge or LatentLookJudge.")
    if images.ndim != 4 or images.shape[-1] not in (3, 4):
        raise SafreeError(
            f"the pictures have shape {list(images.shape)}, not [pictures, height, width, 3 or 4]. Connect an IMAGE."
        )
    count, height, width = images.shape[:3]
    if not count:
        raise SafreeError("the batch is empty: there is no picture to judge. Check the node before.")
    if min(height, width) < SMALLEST:
        raise SafreeError(
            f"the pictures are {width} x {height} pixels, and in less than {SMALLEST} x {SMALLEST} nothing can be "
            "judged. Connect the pictures in their full size."
        )
    if not torch.isfinite(images).all():
        raise SafreeError("the pictures hold NaN or infinity. Check the VAE and its precision.")


class _Panel:
    """The judges before one batch of pictures: who saw what."""

    def __init__(self, images: Tensor, judges: Sequence[Judge], settings: Settings):
        self.images, self.judges, self.settings = images, judges, settings
        self.said: dict[int, list[list[Finding]]] = {}  # picture -> what each judge said of it

    def look(self) -> list[int]:
        """The numbers of the pictures to act on."""
        count = len(self.images)
        self._ask(actions.first_looks(count, self.settings.every))
        self._ask(actions.second_looks(self._verdicts(), count))
        return actions.stretches(self._verdicts(), count, self.settings.around)

    def hide(self, numbers: list[int]) -> Tensor:
        """The pictures, with those of `numbers` acted on until the judges see nothing in them any more.

        A silhouette can outlive a blur: then the whole picture is acted on, with ever fewer cells, in the end blank.
        """
        settings, out = self.settings, self.images.clone() if numbers else self.images
        for number in numbers:
            out[number] = _acted_on(out[number], self.boxes(number) if settings.regions else [], settings)
        cells = settings.cells if settings.regions else settings.cells // 2
        while settings.action != "blank" and (numbers := self._still_seen(out, numbers)):
            stronger = dataclasses.replace(settings, cells=cells, action=settings.action if cells > 1 else "blank")
            for number in numbers:
                out[number] = _acted_on(self.images[number], [], stronger)
            if stronger.action == "blank":
                break
            cells //= 2
        return out

    def _still_seen(self, out: Tensor, numbers: list[int]) -> list[int]:
        """Those of `numbers` in which the judges see something in `out`."""
        again = _Panel(out, self.judges, self.settings)
        again._ask(numbers)
        return [number for number in numbers if again.shows(number)]

    def shows(self, number: int) -> bool:
        """Whether one judge, or all of them, saw something in a picture that was looked at."""
        saw = [any(finding.found for finding in said) for said in self.said[number]]
        return all(saw) if self.settings.agree == "all" else any(saw)

    def boxes(self, number: int) -> list[actions.Box]:
        """Where something is in a picture; empty where a judge that saw something does not say where."""
        found = [finding for said in self.said.get(number, ()) for finding in said if finding.found]
        return [f.box for f in found] if found and all(f.box for f in found) else []

    def findings(self) -> list[dict]:
        """Of each judge and concept the surest finding in each picture, plain data."""
        surest: dict[tuple, Finding] = {}
        for number, said in sorted(self.said.items()):
            for judge, findings in zip(self.judges, said, strict=True):
                for finding in findings:
                    key = (judge.name, finding.concept, number)
                    surest[key] = max(surest.get(key, finding), finding, key=lambda f: f.score - f.limit)
        return [_data(judge, number, finding) for (judge, _, number), finding in surest.items()]

    def _verdicts(self) -> dict[int, bool]:
        return {number: self.shows(number) for number in self.said}

    def _ask(self, numbers: list[int]) -> None:
        parts = [numbers[at : at + AT_ONCE] for at in range(0, len(numbers), AT_ONCE)]
        bar = comfy.utils.ProgressBar(len(parts)) if len(parts) > 1 else None
        for part in parts:
            comfy.model_management.throw_exception_if_processing_interrupted()
            shown = self.images[part][..., :3].float().cpu().clamp(0, 1)
            for number in part:
                self.said[number] = []
            for judge in self.judges:
                self._note(judge, part, _judged(judge, shown))
            if bar:
                bar.update(1)

    def _note(self, judge: Judge, part: list[int], found: list[Finding]) -> None:
        for at, number in enumerate(part):
            self.said[number].append([finding for finding in found if finding.picture == at])


def _judged(judge: Judge, shown: Tensor) -> list[Finding]:
    """What a judge says; SafreeError where a score is no number, since that would count as nothing seen."""
    found = judge.judge(shown)
    for finding in found:
        if not torch.isfinite(torch.tensor([finding.score, finding.limit])).all():
            raise SafreeError(
                f"judge {judge.name!r} gave the score {finding.score} with the limit {finding.limit} for "
                f"'{finding.concept}'. Load the judge anew, or use another one."
            )
    return found


def _acted_on(image: Tensor, boxes: list[actions.Box], settings: Settings) -> Tensor:
    if boxes:
        return actions.act_inside(image, boxes, settings.action, settings.cells, settings.margin)
    return actions.act(image[None], settings.action, settings.cells)[0]


def _report(panel: _Panel, acted_on: list[int], settings: Settings) -> dict:
    findings, count = panel.findings(), len(panel.images)
    seen = dict.fromkeys(one["concept"] for one in findings if one["found"] and one["picture"] in acted_on)
    if not acted_on:
        verdict = f"Nothing found in {count} picture{'s' * (count > 1)}."
    elif settings.action == "stop":
        verdict = f"Found {', '.join(seen)} in {len(acted_on)} of {count} pictures."
    else:
        verdict = f"Found {', '.join(seen)}: {len(acted_on)} of {count} pictures {DONE[settings.action]}."
    fields = {
        "action": settings.action,
        "pictures": count,
        "looked_at": len(panel.said),
        "acted_on": acted_on,
        "concepts": list(seen),
        "judges": [judge.name for judge in panel.judges],
        "findings": findings,
    }
    return Report("gate", "found" if acted_on else "clear", verdict, fields=fields).data()


def _data(judge: str, number: int, finding: Finding) -> dict:
    box = None if finding.box is None else [round(share, 4) for share in finding.box]
    numbers = {"score": round(finding.score, 4), "limit": round(finding.limit, 4)}
    return {
        "judge": judge,
        "concept": finding.concept,
        "picture": number,
        **numbers,
        "found": finding.found,
        "box": box,
    }


def _thumbnail(image: Tensor) -> str:
    """A picture as a data URL of a few pixels, which an editor shows blurred."""
    pixels = (actions.small(image.cpu(), THUMBNAIL).clamp(0, 1) * 255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
