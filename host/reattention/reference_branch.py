"""The original prompt of a filtered cond beside it in a sampling run, and its skip features from the encoder alone."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import uuid

import torch

from ..conditioning.marks import KEY, Mark, read, role
from ..features.unet_decoder import with_patch

REFERENCES = "safree_reference"  # key of the original prompts among a run's conds


class _EncoderDone(Exception):
    """Ends the reference branch once the last skip feature that is needed is there."""


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


def encode(executor, stages, references, rows, x, timesteps, context, y, control, transformer_options, kwargs):
    """Skip features {input block: [rows, C, H, W]} of the reference prompts for `rows` of the batch.

    Runs the UNet's own forward up to the last input block that is needed: patches of other nodes apply, wrappers
    (which may cache or skip whole calls) do not.
    """
    count, skips = len(rows) // len(references), {}

    def keep(h, options):
        block = options["block"][1]
        if block in stages.needed:
            skips[block] = h
        if block == stages.last:
            raise _EncoderDone
        return h

    def prepared(name: str, like: torch.Tensor) -> torch.Tensor:
        first, *others = (cond["model_conds"][name].process_cond(batch_size=count, area=None) for cond in references)
        return first.concat(others).to(device=like.device, dtype=like.dtype)

    def select(value):
        return value[rows] if torch.is_tensor(value) and value.shape[:1] == x.shape[:1] else value

    options = with_patch(transformer_options, "input_block_patch", keep, first=False)
    options["uuids"] = [cond["uuid"] for cond in references]
    options["cond_or_uncond"] = [0] * len(references)
    own = {name: [select(value) for value in values] for name, values in control.items()} if control else None
    with contextlib.suppress(_EncoderDone):
        executor.original(
            x[rows],
            timesteps[rows],
            prepared("c_crossattn", context),
            None if y is None else prepared("y", y),
            own,
            options,
            **{name: select(value) for name, value in kwargs.items()},
        )
    stages.control = own.get("output", []) if own else []  # the encoder half takes none of these
    return skips
