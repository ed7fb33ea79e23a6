"""Pooled embeddings of short texts, kept for each text encoder in memory and on disk, so that none is encoded twice.

What is kept is found again by a digest of its token ids, so the files hold no text. It belongs to an encoder by what
that makes of a few phrases, and by a digest of its token table: another one may differ in a few words alone.
"""

from __future__ import annotations

import collections
import hashlib
import logging
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...safree import storage
from .. import folders
from .encoders import Encoder, tokenize
from .encoding import Row, encode_pooled, identity

FORMAT = "safree-calibration-2"  # 1 knew no token table; its files have other names, and are left alone
PROBES = (
    "a photo",
    "an old red bicycle leaning on a wall",
    "two people",
)  # recognise an encoder; the first also a file
SAME = 2e-3  # relative distance of probes up to which two encoders are one; a LoRA or another precision lies above
BYTES = 128 << 20  # of kept embeddings in memory, for each encoder
FEWEST = 16_384  # embeddings that are kept however wide they are: the vocabulary is about 5,000
STORES = 6  # encoders whose embeddings stay in memory
UNSAVED = 400  # embeddings after which the file is written again
TABLE_ROWS = 8192  # of a token table that are hashed at a time


class Embeddings:
    """The kept embeddings of one text encoder in one state (weights, LoRA, clip skip).

    table: digest of its token table; '' for one that cannot be told, of which nothing goes to the disk
    """

    def __init__(self, key: str, probes: torch.Tensor, table: str = "", capacity: int | None = None):
        self.key, self.probes, self.table = key, probes, table
        self.capacity = capacity or max(FEWEST, BYTES // (2 * probes.shape[1]))
        self._kept: collections.OrderedDict[bytes, tuple[torch.Tensor, float]] = collections.OrderedDict()
        self._unsaved = 0
        self.calibrations: dict = {}  # by languages, set by host.prompt.calibration
        self.reads: dict[str, bool] = {}  # languages, set by host.prompt.by_language
        self.contrasts: collections.OrderedDict[bytes, object] = collections.OrderedDict()  # likewise

    def __len__(self) -> int:
        return len(self._kept)

    def embed(self, encoder: Encoder, rows: Sequence[Row]) -> torch.Tensor:
        """Pooled embeddings [n, D] (float32) of `rows`; only those that are not kept yet are encoded, in few calls."""
        digests = [digest(row) for row in rows]
        missing = {d: row for d, row in zip(digests, rows, strict=True) if d not in self._kept}
        if missing:
            found = encode_pooled(encoder, list(missing.values()))
            scales = found.abs().amax(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
            for name, value, scale in zip(missing, found, scales.tolist(), strict=True):
                self._kept[name] = ((value / scale).half(), scale)  # rounded at once: warm and cold give the same
            self._unsaved += len(missing)
        out = torch.stack([self._kept[d][0] for d in digests]).float()
        out *= torch.tensor([self._kept[d][1] for d in digests])[:, None]
        for d in digests:
            self._kept.move_to_end(d)
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        if self._unsaved >= UNSAVED:
            self.save()
        return out

    def same(self, probes: torch.Tensor, table: str) -> bool:
        """Whether an encoder with this token table that gives `probes` [p, D] is this one."""
        if not table or self.table != table or self.probes.shape != probes.shape:
            return False
        return bool(((self.probes - probes).norm(dim=-1) <= SAME * probes.norm(dim=-1)).all())

    def save(self) -> None:
        """Write what is kept to disk, whole or not at all; a disk that refuses costs a warning, and time next time."""
        if not self._unsaved or not self.table:
            return
        names = b"".join(self._kept)
        tensors = {
            "digests": torch.frombuffer(bytearray(names), dtype=torch.uint8).view(len(self._kept), -1),
            "values": torch.stack([value for value, _ in self._kept.values()]),
            "scales": torch.tensor([scale for _, scale in self._kept.values()]),
            "probes": self.probes,
        }
        name = hashlib.blake2b(self.probes.numpy().tobytes(), digest_size=6).hexdigest()
        path = folders.calibration() / f"{_start(self.key, self.probes, self.table)}-{name}.safetensors"
        try:
            storage.write(tensors, {"format": FORMAT, "encoder": self.key, "table": self.table}, path)
        except (OSError, SafetensorError) as error:
            logging.warning(
                "SAFREE: %s could not be written (%s): words are encoded anew after a restart.", path, error
            )
        self._unsaved = 0

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """Read a file written by `save`; ValueError for another format or a damaged one."""
        with safe_open(str(path), framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(f"format {header.get('format')!r}, not {FORMAT!r}")
            names, values, scales, probes = (file.get_tensor(n) for n in ("digests", "values", "scales", "probes"))
        whole = names.ndim == values.ndim == probes.ndim == 2 and len(names) == len(values) == len(scales)
        if not whole or values.shape[1] != probes.shape[1] or values.dtype != torch.float16:
            raise ValueError("its tensors disagree")
        if not all(torch.isfinite(t).all() for t in (values, scales, probes)):
            raise ValueError("it holds NaN or infinity")
        store = cls(header.get("encoder", ""), probes.float(), header.get("table", ""))
        entries = zip(names, values, scales.tolist(), strict=True)
        store._kept.update((bytes(name.tolist()), (value, scale)) for name, value, scale in entries)
        return store


def digest(row: Row) -> bytes:
    """16 bytes that stand for a row's tokens."""
    hashed = hashlib.blake2b(repr((row.first, row.end)).encode(), digest_size=16)
    for token in row.tokens:
        if isinstance(token, torch.Tensor):
            hashed.update(token.detach().float().cpu().numpy().tobytes())
        else:
            hashed.update(f" {identity(token)}".encode())
    return hashed.digest()


def table_digest(encoder: Encoder) -> str:
    """Hex digest of the token table of an encoder, made once for a loaded model.

    '' where a LoRA changes the table, or its weights have a form whose bytes cannot be read.
    """
    model, table = encoder.clip.cond_stage_model, encoder.table
    name = next((name for name, weight in model.named_parameters() if weight is table), None)
    if name is None or name in encoder.clip.patcher.patches:
        return ""
    known = _tables.setdefault(model, {})
    if name not in known:
        known[name] = _hashed(table)
    return known[name]


def _hashed(table: torch.Tensor) -> str:
    hashed = hashlib.blake2b(f"{table.dtype} {tuple(table.shape)}".encode(), digest_size=16)
    try:
        for rows in table.detach().split(TABLE_ROWS):
            hashed.update(rows.cpu().contiguous().view(torch.uint8).numpy())
    except (RuntimeError, TypeError, NotImplementedError) as error:
        logging.info("SAFREE: the token table of a text encoder has no bytes to read (%s): nothing is kept.", error)
        return ""
    return hashed.hexdigest()


def _start(key: str, probes: torch.Tensor, table: str) -> str:
    """How the names of the files of an encoder begin."""
    return f"{key}-{probes.shape[1]}-{table[:12]}"


_tables: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # text model -> {name of the table: digest}
_stores: list[Embeddings] = []  # the least recently used first
_of_clips: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # text model -> {state: Embeddings}


def embeddings_of(encoder: Encoder) -> Embeddings:
    """The kept embeddings of an encoder: those in memory, those on disk, or none yet.

    Recognised by its token table and by what it makes of a few phrases, once for each state of a loaded clip.
    """
    clip = encoder.clip
    states = _of_clips.setdefault(clip.cond_stage_model, {})
    state = (encoder.key, clip.layer_idx, getattr(clip.patcher, "patches_uuid", None))
    if state not in states:
        rows = [encoder.row(encoder.words(tokenize(clip, encoder.kind.before + p)[encoder.key])) for p in PROBES]
        while len(states) >= STORES:
            states.pop(next(iter(states)))
        probes = encode_pooled(encoder, rows)  # also loads the weights
        states[state] = _find(encoder.key, probes, table_digest(encoder))
    store = states[state]
    if store in _stores:
        _stores.remove(store)
    _stores.append(store)
    del _stores[:-STORES]
    return store


def _find(key: str, probes: torch.Tensor, table: str) -> Embeddings:
    for store in _stores:
        if store.key == key and store.same(probes, table):
            return store
    for path in sorted(folders.calibration().glob(f"{_start(key, probes, table)}-*.safetensors")) if table else ():
        try:
            store = Embeddings.load(path)
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            logging.warning("SAFREE: calibration file %s is damaged or foreign (%s) and is not used.", path.name, error)
            continue
        if store.same(probes, table):
            return store
    return Embeddings(key, probes, table)
