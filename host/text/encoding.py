"""Encode many short rows with one text encoder of a CLIP, in few calls: states and pooled embeddings."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import numbers
from collections.abc import Iterator, Sequence

import comfy.model_management
import comfy.utils
import torch

from ...safree import SafreeError
from .. import compat
from . import families

# Tokens of one call, padding included: on a CPU a few seconds of a CLIP-L and fewer tokens of a larger encoder, so that
# Cancel is obeyed; a token of a call of 512 costs a CLIP-L 1.8 times as much as one of 2,048. Elsewhere few calls,
# because each may move the weights of a large encoder.
CPU_TOKENS, CPU_FEWEST, DEVICE_TOKENS = 2048, 512, 8192
CPU_WORK = 2e11  # multiplications of one call on a CPU
POSITIONS = "transformer.text_model.embeddings.position_embedding.weight"  # of a CLIP: one for each token of a row


@dataclasses.dataclass(frozen=True)
class Row:
    """One input of a text encoder, without padding: its tokens, and the user's among them, tokens[first:end]."""

    tokens: list
    first: int
    end: int


@contextlib.contextmanager
def ready(encoder, rows: Sequence[Row]) -> Iterator[None]:
    """Inside, its clip's weights, layer choice and device are in place for `rows`, as in CLIP.encode_from_tokens."""
    clip = encoder.clip
    clip.cond_stage_model.reset_clip_options()
    if clip.layer_idx is not None:
        clip.cond_stage_model.set_clip_options({"layer": clip.layer_idx})
    compat.load(clip, encoder.key, [row.tokens for row in rows])
    with compat.on_its_device(clip):
        yield


def encode_states(encoder, rows: Sequence[Row]) -> torch.Tensor:
    """Output states [n, tokens, D] (float32, CPU) of rows of one length, in the layer that the clip is set to.

    As the host itself encodes them. Raises SafreeError when a state is not finite.
    """
    with ready(encoder, rows):
        return _checked(encoder, _states(encoder.model, [row.tokens for row in rows]))


def encode_pooled(encoder, rows: Sequence[Row]) -> torch.Tensor:
    """Pooled embeddings [n, D] (float32, CPU) of rows of any length; equal rows are encoded once.

    Rows of about one length share a call. Padding never reaches an embedding: causal encoders read no token behind
    the last one that is pooled, the others get an attention mask. Between calls an interrupt of ComfyUI is obeyed.
    Raises SafreeError when an embedding is not finite.
    """
    unique: dict[tuple, int] = {}
    index = [unique.setdefault((row.first, row.end, *map(identity, row.tokens)), n) for n, row in enumerate(rows)]
    if encoder.kind.pooling == "end":  # causal: what follows the end token does not matter
        rows = [dataclasses.replace(row, tokens=row.tokens[: row.end + 1]) for row in rows]
    batches = list(_batches(rows, sorted(unique.values(), key=lambda n: len(rows[n].tokens)), _budget(encoder)))
    progress = comfy.utils.ProgressBar(len(batches)) if len(batches) > 1 else None
    out = {}
    with ready(encoder, rows[:1]):
        model = _reading(encoder)
        for batch in batches:
            comfy.model_management.throw_exception_if_processing_interrupted()
            part = [rows[n] for n in batch]
            longest = max(len(row.tokens) for row in part)
            pad = encoder.tokenizer.pad_token
            states = _checked(
                encoder, _states(model, [row.tokens + [pad] * (longest - len(row.tokens)) for row in part])
            )
            out.update(zip(batch, pool(encoder.kind.pooling, states, part), strict=True))
            if progress:
                progress.update(1)
    return torch.stack([out[n] for n in index])


def encode_projected(encoder, rows: Sequence[Row]) -> torch.Tensor:
    """Embeddings [n, D] (float32, CPU) of rows in the space that a CLIP shares with its picture encoder.

    Raises SafreeError when one is not finite.
    """
    batches, out = (
        _batches(rows, sorted(range(len(rows)), key=lambda n: len(rows[n].tokens)), _budget(encoder)),
        {},
    )
    with ready(encoder, rows[:1]):
        encoder.clip.cond_stage_model.set_clip_options({"projected_pooled": True})  # until the next call resets them
        for batch in batches:
            comfy.model_management.throw_exception_if_processing_interrupted()
            longest = max(len(rows[n].tokens) for n in batch)
            pad = encoder.tokenizer.pad_token
            padded = [rows[n].tokens + [pad] * (longest - len(rows[n].tokens)) for n in batch]
            out.update(zip(batch, _checked(encoder, _encode(encoder.model, padded)[1].float().cpu()), strict=True))
    return torch.stack([out[n] for n in range(len(rows))])


def pool(how: str, states: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Pooled embeddings [n, D] of `states` [n, tokens, D]: the state at the closing end token, or the words' mean."""
    if how == "end":
        return torch.stack([state[row.end] for state, row in zip(states, rows, strict=True)])
    ends = [max(row.end, row.first + 1) for row in rows]
    return torch.stack([s[r.first : end].mean(0) for s, r, end in zip(states, rows, ends, strict=True)])


def identity(token) -> object:
    """What tells a token from others: its id, or the embedding tensor that stands for it."""
    return int(token) if isinstance(token, numbers.Integral) else id(token)


def size(encoder) -> int:
    """How many weights each token is multiplied with: all but the token table."""
    return sum(weights.numel() for weights in encoder.model.parameters()) - encoder.table.numel()


def _budget(encoder) -> int:
    if encoder.clip.patcher.load_device.type != "cpu":
        return DEVICE_TOKENS
    return int(min(max(CPU_WORK / max(size(encoder), 1), CPU_FEWEST), CPU_TOKENS))


def _batches(rows: Sequence[Row], order: list[int], budget: int) -> Iterator[list[int]]:
    """Numbers of rows that share a call; `order` goes from short to long."""
    batch: list[int] = []
    for n in order:
        if batch and (len(batch) + 1) * len(rows[n].tokens) > budget:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _reading(encoder):
    """The encoder's model, or a shallow copy that shares its weights, ignores padding and gives one layer of several.

    The middle one, where a language model's states say most of what is meant. Steering replaces tokens, so that the
    other layers are those of the cleaned prompt, too.
    """
    model, wanted = encoder.model, {}
    if not encoder.kind.causal and not model.enable_attention_masks:
        wanted["enable_attention_masks"] = True
    if hasattr(model, "selected_layers"):  # Lens, which also cuts its template off
        wanted |= {"selected_layers": (_middle(model.selected_layers, model),), "txt_offset": 0}
    elif families.returns_several_layers(model):
        wanted |= {"layer": "hidden", "layer_idx": _middle(model.layer, model)}
    if not wanted:
        return model
    reading = copy.copy(model)
    for name, value in wanted.items():
        setattr(reading, name, value)
    return reading


def _middle(layers, model) -> int:
    return model.num_layers // 2 if layers == "all" else layers[len(layers) // 2]


def _states(model, tokens: list[list]) -> torch.Tensor:
    """The host's encode, of rows shorter than a CLIP's too: they get the first of its positions."""
    if not hasattr(model, "encode"):  # Lens
        return model.encode_token_weights([[(token, 1.0) for token in row] for row in tokens])[0].detach().float().cpu()
    return _encode(model, tokens)[0].float().cpu()


def _encode(model, tokens: list[list]) -> tuple:
    """(states, pooled output) of the host's encode."""
    positions = dict(model.named_parameters()).get(POSITIONS)
    if positions is None or len(positions) <= len(tokens[0]):
        return model.encode(tokens)
    short = {POSITIONS: positions[: len(tokens[0])]}
    return torch.func.functional_call(model, short, (tokens,), tie_weights=False)


def _checked(encoder, states: torch.Tensor) -> torch.Tensor:
    if states.ndim > 3:
        raise SafreeError(
            f"text encoder {encoder.key!r} of this CLIP returns the states of several layers, shape "
            f"{tuple(states.shape)}, which is not supported. The guard cannot be applied here."
        )
    if not torch.isfinite(states).all():
        raise SafreeError(
            f"text encoder {encoder.key!r} returned NaN or infinity. Load it in another precision (for example start "
            "ComfyUI with --fp32-text-enc) or remove a damaged LoRA or embedding."
        )
    return states
