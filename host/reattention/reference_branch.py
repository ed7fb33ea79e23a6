"""The original prompt of a filtered cond beside it in a sampling run, and its skip features from the encoder alone."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import uuid
from collections.abc import Callable

import torch

from ..conditioning.marks import KEY, Mark, read, role
from ..features.unet_decoder import with_patch

REFERENCES = "safree_reference"  # key of the original prompts among a run's conds


@dataclasses.dataclass(frozen=True, eq=False)
class UNetCall:
    """What one call of a UNet's forward is given, in its order.

    control: what ControlNets add, lists of tensors by 'input', 'middle' and 'output'
    """

    x: torch.Tensor
    timesteps: torch.Tensor
    context: torch.Tensor
    y: torch.Tensor | None
    control: dict[str, list] | None
    options: dict
    others: dict

    def only(self, rows: list[int]) -> UNetCall:
        """The same for some rows of the batch alone."""
        size = self.x.shape[:1]

        def select(value):
            return value[rows] if torch.is_tensor(value) and value.shape[:1] == size else value

        control = self._control(lambda values: [select(value) for value in values])
        others = {name: select(value) for name, value in self.others.items()}
        return dataclasses.replace(
            self,
            x=self.x[rows],
            timesteps=self.timesteps[rows],
            context=select(self.context),
            y=select(self.y),
            control=control,
            others=others,
        )

    def run(self, forward):
        """What the UNet's `forward` returns; it takes tensors out of the lists in control."""
        control = self._control(list)
        return forward(self.x, self.timesteps, self.context, self.y, control, self.options, **self.others)

    def _control(self, change: Callable[[list], list]) -> dict[str, list] | None:
        if self.control is None:
            return None
        return {name: change(values) for name, values in self.control.items()}


@dataclasses.dataclass
class References:
    """State of one sampling run; lives in the run's own copy of the model options and goes with it."""

    guider: object
    reference_of: dict  # uuid of a filtered cond -> uuid of its reference
    branch_of: dict  # uuid of a filtered cond -> 'positive', 'negative', ...
    applied: bool = False

    def filtered(self, chunks) -> list[int]:
        """Which of the conds named `chunks`, by their place in a batch, are filtered prompts'."""
        return [i for i, key in enumerate(chunks) if key in self.reference_of]

    def reference(self, filtered: uuid.UUID) -> dict:
        wanted = self.reference_of[filtered]
        return next(cond for cond in self.guider.conds[REFERENCES] if cond["uuid"] == wanted)


def add(guider, key: str) -> References | None:
    """Put the original prompt of every filtered cond beside the run's conds, for the host to prepare like them.

    None where no cond is filtered.
    """
    references, reference_of, branch_of, roles = [], {}, {}, set()
    for branch, cond in ((branch, cond) for branch, conds in guider.conds.items() for cond in conds):
        roles.add(role(cond))
        if role(cond) != "filtered":
            continue
        tensor, pooled, *_ = read(cond).original  # a UNet reads no more
        reference = {**cond, "cross_attn": tensor, "uuid": uuid.uuid4(), KEY: Mark("reference").stored()}
        # or the host takes the name of REFERENCES for it, and the SDXL refiner's aesthetic score from that
        reference.setdefault("prompt_type", branch)
        if pooled is not None:
            reference["pooled_output"] = pooled
        reference_of[cond["uuid"]], branch_of[cond["uuid"]] = reference["uuid"], branch
        references.append(reference)
    if roles <= {None}:
        logging.warning("SAFREE: re-attention not active, no guarded conditioning reached this sampler.")
    if not references:
        return None
    guider.conds = {**guider.conds, REFERENCES: references}
    run = References(guider, reference_of, branch_of)
    guider.model_options["transformer_options"][key] = run
    return run


def tell_copies_apart(guider, key: str) -> None:
    """New uuids for what the host made of a filtered cond with an area in other branches: a copy, uuid included."""
    run = guider.model_options["transformer_options"].get(key)
    for branch, conds in guider.conds.items() if run else ():
        copied = [run.branch_of.get(cond["uuid"], branch) != branch for cond in conds]
        guider.conds[branch] = [
            {**cond, "uuid": uuid.uuid4()} if is_copy else cond for cond, is_copy in zip(conds, copied, strict=True)
        ]


def rows_of(chunks: list[int], size: int) -> list[int]:
    """Row numbers in the batch of the given chunks of `size` rows."""
    return [row for chunk in chunks for row in range(chunk * size, (chunk + 1) * size)]


class EncoderDone(Exception):
    """Ends the reference branch once the last skip feature that is needed is there."""


class SkipRecorder:
    """An input block patch that keeps the features of some blocks, {input block: [rows, C, H, W]}."""

    def __init__(self, needed: set[int]):
        self.needed, self.last = needed, max(needed)
        self.skips: dict[int, torch.Tensor] = {}

    def __call__(self, h: torch.Tensor, options: dict) -> torch.Tensor:
        block = options["block"][1]
        if block in self.needed:
            self.skips[block] = h
        if block == self.last:
            raise EncoderDone
        return h


def encode(forward, call: UNetCall, references: list[dict], needed: set[int]) -> dict[int, torch.Tensor]:
    """Skip features {input block: [rows, C, H, W]} of the reference prompts, for the latents of `call`.

    Runs the UNet's own forward up to the last input block that is needed: patches of other nodes apply, wrappers
    (which may cache or skip whole calls) do not.
    """
    recorder = SkipRecorder(needed)
    with contextlib.suppress(EncoderDone):
        _with_prompts(call, references, recorder).run(forward)
    return recorder.skips


def _with_prompts(call: UNetCall, references: list[dict], recorder: SkipRecorder) -> UNetCall:
    """`call` with the reference prompts in the place of its own, and with a recorder behind all other patches."""
    options = with_patch(call.options, "input_block_patch", recorder, first=False)
    options["uuids"] = [cond["uuid"] for cond in references]
    options["cond_or_uncond"] = [0] * len(references)
    pictures = len(call.x) // len(references)
    context = _prepared("c_crossattn", references, pictures, call.context)
    y = None if call.y is None else _prepared("y", references, pictures, call.y)
    return dataclasses.replace(call, context=context, y=y, options=options)


def _prepared(name: str, references: list[dict], pictures: int, like: torch.Tensor) -> torch.Tensor:
    """What the host has made of one entry of the reference prompts, for so many pictures each: [rows, ...]."""
    first, *others = (cond["model_conds"][name].process_cond(batch_size=pictures, area=None) for cond in references)
    return first.concat(others).to(device=like.device, dtype=like.dtype)
