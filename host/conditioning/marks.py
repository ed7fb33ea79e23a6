"""The mark that this pack writes into CONDITIONING: plain data that says what was checked, and against what."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Iterator

import torch

from ...safree.subspace import ConceptSubspace

KEY = "safree"  # in the dict of a conditioning entry
OTHERS = "conditioning_"  # of further encoders: llama3 (HiDream), mt5xl (HunyuanDiT), byt5small (HunyuanImage)
# Entries of a dict that hold pictures, sound or where something is, and no text.
PICTURES = re.compile("latent|image|mask|video|audio|pose|face|frame|pixels|camera|motion|concat|prior|noise|track")
IDS = ("t5xxl_ids", "t5xxl_weights")  # of the prompt's tokens, which Anima's diffusion model reads
ROLES = ("filtered", "original", "clear", "unchecked", "reference")  # see Mark
GUARDED = ("filtered", "clear")  # roles of encodings that the guard made or let pass
REMEMBERED = 2**16  # digests, of the encodings seen last; some 20 MB

Concepts = dict[str, str]  # name of a subspace -> its fingerprint

# Digests of guarded encodings and what they were checked against: ConditioningConcat keeps one mark of the two, so the
# other part has to be known by its content. Plain data, bounded, and emptied by no cache and no garbage collection.
_seen: collections.OrderedDict[str, frozenset[tuple[str, str]]] = collections.OrderedDict()


@dataclasses.dataclass(frozen=True, eq=False)
class Mark:
    """What stands under KEY, read from the plain dict that is stored there (`torch.save` with weights_only takes it).

    role: 'filtered' (the guard steers here), 'original' (the unfiltered prompt for the steps after t'), 'clear'
        (checked, nothing flagged), 'unchecked' (strength 0) or 'reference' (re-attention's own, inside a sampling run)
    share: t' as a share of the schedule, 0 to 1;  steps: t' in steps of the paper's 50-step schedule
    pair: names a filtered entry and its original
    span: the range in percent that scheduled encoding gave the entry
    tokens, digest, pooled: how many token states the entry has, and digests of them and of the pooled output ('' for
        none), with what `others` gives; others in their place mean that a node edited the conditioning afterwards
    concepts: what it was checked against
    original: for 'filtered' the unfiltered (tensor, pooled tensor or None, what `others` gives)
    """

    role: str
    share: float = 1.0
    steps: float = 0.0
    pair: str = ""
    span: tuple[float, float] = (0.0, 1.0)
    tokens: int = 0
    digest: str = ""
    pooled: str = ""
    concepts: Concepts = dataclasses.field(default_factory=dict)
    original: tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]] | None = None

    def stored(self) -> dict:
        """The plain dict to put under KEY."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def read(options: dict) -> Mark | None:
    """The mark of a conditioning entry's dict, or of a cond of a sampling run; None if it has none that can be read."""
    stored = options.get(KEY)
    if not isinstance(stored, dict) or stored.get("role") not in ROLES:
        return None
    known = {field.name for field in dataclasses.fields(Mark)}
    return Mark(**{name: value for name, value in stored.items() if name in known})


def role(options: dict) -> str | None:
    """The role that an entry's dict, or a cond of a sampling run, is marked with; None if it has none."""
    mark = read(options)
    return mark.role if mark else None


def write(tensor: torch.Tensor, options: dict, mark: Mark) -> dict:
    """A copy of `options` with `mark` and the digests of `tensor` [B, T, D] and of the pooled output in it."""
    rows = _rows(tensor)
    mark = dataclasses.replace(mark, tokens=len(rows), digest=_joined(rows), pooled=_beside(options))
    if mark.role in GUARDED:
        _remember(mark.digest, mark.concepts)
    return {**options, KEY: mark.stored()}


def checked_against(tensor: torch.Tensor | None, options: dict) -> Concepts | None:
    """What all of a marked entry was checked against; None where a part of it is not what the guard made.

    Other guarded prompts concatenated to it are fine, and count with what they were checked against.
    """
    mark = read(options)
    if mark is None or not torch.is_tensor(tensor) or _beside(options) != mark.pooled:
        return None
    rows = _rows(tensor)
    if len(rows) < mark.tokens or _joined(rows[: mark.tokens]) != mark.digest:
        return None
    return _rest(rows, mark.tokens, mark.concepts)


def intact(tensor: torch.Tensor | None, options: dict) -> bool:
    """Whether a marked entry holds what the guard made of it, and nothing else.

    Zeros (ConditioningZeroOut) say nothing that could be unsafe.
    """
    return is_zero(tensor, options) or checked_against(tensor, options) is not None


def is_zero(tensor: torch.Tensor | None, options: dict) -> bool:
    """Whether an entry says nothing: its states are zero, and so is every tensor beside them that is no picture.

    ConditioningZeroOut knows the states and the pooled output; models with further encoders keep theirs beside those.
    """
    said = [value for name, value in options.items() if name not in (KEY, "cross_attn") and not PICTURES.search(name)]
    return torch.is_tensor(tensor) and not tensor.any() and not any(part.any() for part in _tensors(said))


def _tensors(values) -> Iterator[torch.Tensor]:
    """Every tensor in lists and dicts within each other."""
    for value in values:
        if torch.is_tensor(value):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())


def others(options: dict) -> dict[str, torch.Tensor]:
    """What else of an entry says the prompt: states of further encoders (conditioning_llama3, ...) and token ids."""
    names = sorted(name for name in options if name.startswith(OTHERS) or name in IDS)
    return {name: options[name] for name in names if torch.is_tensor(options[name])}


def _beside(options: dict) -> str:
    """A digest of what an entry says beside its token states: that of the pooled output where there is no more."""
    pooled, rest = digest(options.get("pooled_output")), others(options)
    if not rest:
        return pooled
    return _joined([pooled.encode(), *(f"{name} {digest(tensor)}".encode() for name, tensor in rest.items())])


def fingerprints(subspaces: tuple[ConceptSubspace, ...]) -> Concepts:
    """Name -> digest of phrases and directions, by which two subspaces of one name are told apart."""
    return {subspace.name: _fingerprint(subspace) for subspace in subspaces}


def _fingerprint(subspace: ConceptSubspace) -> str:
    found = hashlib.blake2b("\n".join((*subspace.phrases, *subspace.names)).encode("utf-8", "replace"), digest_size=8)
    for key, space in sorted(subspace.encoders.items()):
        found.update((key + digest(space.concepts) + digest(space.common)).encode())
    return found.hexdigest()


def digest(tensor: torch.Tensor | None) -> str:
    """A digest of a tensor's shape and bits; '' for None."""
    if tensor is None:
        return ""
    return hashlib.blake2b(_bits(tensor), digest_size=16, person=str(tuple(tensor.shape)).encode()[:16]).hexdigest()


def _bits(tensor: torch.Tensor):
    return tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy()


def _rows(tensor: torch.Tensor) -> list[bytes]:
    """A digest of each token's states of `tensor` [B, T, D]; of any other shape, one of the whole."""
    if tensor.ndim != 3:
        return [digest(tensor).encode()]
    return [bytes.fromhex(digest(states)) for states in tensor.detach().cpu().unbind(1)]


def _joined(rows: list[bytes]) -> str:
    return hashlib.blake2b(b"".join(rows), digest_size=16).hexdigest()


def _remember(key: str, concepts: Concepts) -> None:
    _seen[key] = _seen.get(key, frozenset()) | set(concepts.items())  # one text may be checked again, against others
    _seen.move_to_end(key)
    if len(_seen) > REMEMBERED:
        _seen.popitem(last=False)


def _rest(rows: list[bytes], start: int, concepts: Concepts) -> Concepts | None:
    """What `rows` from `start` on and `concepts` have in common; None if they are no guarded encodings end to end.

    Each way to part the rows is followed once, so the time grows with their number alone.
    """
    reached = {start: concepts}
    for at in range(start, len(rows)):
        if at not in reached:
            continue
        prefix = hashlib.blake2b(digest_size=16)
        for end in range(at + 1, len(rows) + 1):
            prefix.update(rows[end - 1])
            key = prefix.hexdigest()
            if key in _seen and end not in reached:
                _seen.move_to_end(key)
                known = _seen[key]
                reached[end] = {name: mark for name, mark in reached[at].items() if (name, mark) in known}
    return reached.get(len(rows))
