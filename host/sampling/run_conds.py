"""The conds of one sampling run, known by a tag in every copy that others make of them."""

from __future__ import annotations

import dataclasses

import torch

TAG = "safree_run"  # in a cond's dict: its Tag
STANDBY = "safree_negative_standby"  # branch of conds that are prepared with the others, to take their place


@dataclasses.dataclass(eq=False)
class Tag:
    """Which cond of a run this is.

    unguarded: each step has to draw away from it
    standby: uuid of the guarded form that takes its place where a step does not, None where there is none
    """

    branch: str
    unguarded: bool
    standby: object = None


class RunConds:
    """The conds of a guider while it samples, and the tags that were given to them."""

    def __init__(self, guider):
        self.guider = guider
        self.tags: set[Tag] = set()

    def tag(self, cond: dict, branch: str, unguarded: bool = False, standby: object = None) -> dict:
        """A copy of a cond that is known from now on."""
        tag = Tag(branch, unguarded, standby)
        self.tags.add(tag)
        return {**cond, TAG: tag}

    def knows(self, cond: dict) -> bool:
        return cond.get(TAG) in self.tags

    def all(self) -> list[dict]:
        return [cond for part in self.guider.conds.values() for cond in part]

    @property
    def any_unguarded(self) -> bool:
        return any(tag.unguarded for tag in self.tags)

    @property
    def any_standby(self) -> bool:
        return any(tag.standby is not None for tag in self.tags)

    def tag_copies(self) -> None:
        """Once the host has prepared the conds: tell apart what it made of one that has an area.

        In other branches it puts a copy of the cond with the content of one of their own.
        """
        for branch, conds in self.guider.conds.items():
            own = [cond for cond in conds if TAG in cond and cond[TAG].branch == branch]
            for cond in conds:
                if TAG in cond and cond[TAG].branch != branch:
                    tag = next((one[TAG] for one in own if _same_content(one, cond)), Tag(branch, unguarded=True))
                    self.tags.add(tag)
                    cond[TAG] = tag

    def use_standby(self) -> bool:
        """Put guarded negative prompts in the place of their own words from now on; whether there were any."""
        standby = {cond["uuid"]: cond["model_conds"] for cond in self.guider.conds.get(STANDBY, ())}
        replaced = {tag for tag in self.tags if tag.unguarded and tag.standby in standby}
        for cond in self.all():
            if cond.get(TAG) in replaced:
                cond["model_conds"] = standby[cond[TAG].standby]
        for tag in replaced:
            tag.unguarded = False
        return len(replaced) > 0


def any_unguarded(conds: list[dict] | None) -> bool:
    """Whether one of the conds that are evaluated together is not guarded."""
    return any(TAG in cond and cond[TAG].unguarded for cond in conds or ())


def has_negative_weight(cond: dict) -> bool:
    """Whether a strength or a mask turns round what this cond does."""
    mask = cond.get("mask")
    lowest = float(mask.min()) if torch.is_tensor(mask) and mask.numel() > 0 else 0.0
    return min(cond.get("strength", 1.0), cond.get("mask_strength", 1.0), lowest) < 0


def _same_content(one: dict, other: dict) -> bool:
    return all(other["model_conds"].get(key) is value for key, value in one["model_conds"].items())
