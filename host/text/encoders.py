"""Find the text encoders of a ComfyUI CLIP, and read a tokenized prompt as each of them does: words and rows."""

from __future__ import annotations

import dataclasses
import itertools
import numbers
from collections.abc import Iterable

import torch
from comfy.sd1_clip import SDClipModel

from ...safree import SafreeError
from .. import compat
from . import families
from .encoding import Row
from .words import EMBEDDING, Place, Word, split

HEAD = 4  # tokens of each end of a chat template's head that a row keeps
Token = tuple  # (id or embedding tensor, weight), as ComfyUI's tokenizers make them


@dataclasses.dataclass(frozen=True)
class Frame:
    """Token ids around the user's words: the start and end tokens, or a chat template, and a system prompt."""

    head: tuple[int, ...] = ()
    system: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Encoder:
    """One text encoder of `clip`, a ComfyUI CLIP. `model` is its SDClipModel, `tokenizer` its SDTokenizer."""

    clip: object
    key: str
    model: SDClipModel
    tokenizer: object
    kind: families.EncoderKind
    frame: Frame
    neutral: int

    @property
    def table(self) -> torch.Tensor:
        """Token embeddings [vocabulary, D]."""
        return compat.embedding_table(self.model)

    @property
    def width(self) -> int:
        """D of the token embeddings that this encoder takes."""
        return self.table.shape[1]

    @property
    def room(self) -> int:
        """Tokens of a prompt that one input takes."""
        return self.tokenizer.max_length - len(self.frame.head) - 1 if self.tokenizer.pad_to_max_length else 2**31

    def bounds(self, chunk: list[Token]) -> tuple[int, int]:
        """(first, end): the user's tokens of `chunk` are chunk[first:end]; a closing end token stands at `end`.

        The end is counted from the back, because a prompt may spell out the end token to hide what follows it.
        """
        ids = [token[0] for token in chunk]
        first, end = _unpadded(ids, self.tokenizer)
        first += _shared(ids[first:end], self.frame.head + self.frame.system)
        end -= _shared(reversed(ids[first:end]), reversed(self.frame.tail))
        return first, _unpadded(ids[:end], self.tokenizer, first)[1]  # LongCat-Image pads before the tail

    def words(self, chunks: list[list[Token]]) -> list[Word]:
        """The user's words of a tokenized prompt, in order."""
        tokens = []
        for c, chunk in enumerate(chunks):
            first, end = self.bounds(chunk)
            tokens += [(chunk[i][0], self.spell(chunk[i][0]), (c, i)) for i in range(first, end)]
        return split(tokens)

    def spell(self, token) -> bytes | None:
        """UTF-8 of a token id, None for an embedding."""
        if not isinstance(token, numbers.Integral):
            return None
        return self.kind.spell(self.tokenizer.inv_vocab.get(int(token), ""))

    def neutralise(self, chunks: list[list[Token]], places: Iterable[Place]) -> list[list[Token]]:
        """`chunks` with the tokens at `places` replaced by the neutral token at weight 1."""
        out = [list(chunk) for chunk in chunks]
        for chunk, position in places:
            out[chunk][position] = (self.neutral, 1.0, *out[chunk][position][2:])
        return out

    def row(self, words: list[Word], masked: set[int] | frozenset = frozenset()) -> Row:
        """`words` as a prompt of their own, those numbered in `masked` replaced by neutral tokens.

        In a chat template both ends of its head come first: without a head a causal encoder's first words turn into
        outliers, and all of it would cost more than the words.
        """
        # a causal encoder's first token draws the attention of all others, so where there is no head one is put there
        head = self.frame.head or (self.neutral,) * self.kind.template
        tokens = list(head if len(head) <= 2 * HEAD else head[:HEAD] + head[-HEAD:])
        first = len(tokens)
        for i, word in enumerate(words):
            tokens += [self.neutral] * len(word.tokens) if i in masked else word.tokens
        end = len(tokens)
        if self.tokenizer.end_token is not None:
            tokens.append(self.tokenizer.end_token)
        return Row(tokens, first, end)

    def chunk_row(self, chunk: list[Token]) -> Row:
        """A chunk of a tokenized prompt, without its weights."""
        return Row([token[0] for token in chunk], *self.bounds(chunk))


def _same(token, wanted: int | None) -> bool:
    plain = type(token) is int  # nearly every token; the check for other integers is slow
    return (plain or isinstance(token, numbers.Integral)) and token == wanted


def _shared(ids: Iterable, others: Iterable) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return sum(1 for _ in itertools.takewhile(lambda pair: _same(*pair), zip(ids, others, strict=False)))


def _unpadded(ids: list, tokenizer, first: int = 0) -> tuple[int, int]:
    """(first, end) of `ids` from `first` on without the padding at either end."""
    end = len(ids)
    while end > first and _same(ids[end - 1], tokenizer.pad_token):
        end -= 1
    while getattr(tokenizer, "pad_left", False) and first < end and _same(ids[first], tokenizer.pad_token):
        first += 1
    return first, end


def encoders(clip, text: str | dict[str, str] | None = None) -> list[Encoder]:
    """The text encoders of `clip`, as they read the prompt `text`, or each its own text by key.

    SafreeError for one that this pack does not know, and for one whose weights change over the steps.
    """
    if clip is None:
        raise SafreeError("no CLIP is connected, or the checkpoint holds no text encoder. Load one with a CLIP loader.")
    if compat.is_scheduled(clip):
        raise SafreeError(
            "the weights of this CLIP change over the steps (Set CLIP Hooks with schedule_clip, and keyframes), and "
            "the guard judges one state of them. Switch schedule_clip off, or connect the CLIP without these hooks."
        )
    if refused := families.refusal(clip.cond_stage_model):
        raise SafreeError(
            f"text encoder {refused[0]!r} is not supported: it {refused[1]}. The guard cannot be applied here."
        )
    children = clip.cond_stage_model.named_children()
    models = {name.removeprefix("clip_"): model for name, model in children if compat.is_encoder(model)}
    for follower in families.MODELS_OF.values():
        models.pop(follower, None)
    for key, model in models.items():
        if families.kind(key, model) is None or _tokenizer(clip, key) is None:
            raise SafreeError(
                f"text encoder {key!r} is not supported, so the guard cannot be applied. Supported: "
                f"{', '.join(families.ENCODERS)}."
            )
    if not models:
        raise SafreeError(
            f"the CLIP's model is a {type(clip.cond_stage_model).__name__} without a text encoder that ComfyUI itself "
            "made, so the guard cannot be applied. Load it with ComfyUI's own CLIP loader."
        )
    texts = text if isinstance(text, dict) else dict.fromkeys(models, text)
    return [_encoder(clip, key, model, texts[key]) for key, model in models.items()]


def followers(clip, found: list[Encoder], tokens: dict[str, list]) -> list[Encoder]:
    """Readers of `tokens` beside the encoders `found`, in which flagged words are neutral, too; none of them flags.

    SafreeError for tokens that may reach the model and that this pack does not know.
    """
    out, text_model = [], clip.cond_stage_model
    if compat.reads_one(text_model):
        return out
    for key in (key for key in tokens if key not in {encoder.key for encoder in found}):
        names = (families.MODELS_OF.get(key, key), f"clip_{key}")
        if any(hasattr(text_model, name) and getattr(text_model, name) is None for name in names):
            continue  # an encoder that this CLIP was loaded without
        kind, tokenizer = families.FOLLOWERS.get(key), _tokenizer(clip, key)
        if kind is None or tokenizer is None:
            raise SafreeError(
                f"{type(text_model).__name__} also reads the prompt as {key!r}, which is not supported, so the guard "
                "cannot be applied here."
            )
        out.append(_plain(clip, key, None, tokenizer, kind))
    return out


def _tokenizer(clip, key: str):
    return getattr(clip.tokenizer, f"clip_{key}", None) or getattr(clip.tokenizer, key, None)


def _encoder(clip, key: str, model: SDClipModel, text: str | None) -> Encoder:
    encoder = _plain(clip, key, model, _tokenizer(clip, key), families.kind(key, model))
    if encoder.kind.template:
        return dataclasses.replace(encoder, frame=_template(encoder, text))
    return encoder


def _plain(clip, key: str, model: SDClipModel | None, tokenizer, kind: families.EncoderKind) -> Encoder:
    """An encoder whose prompt stands between a start and an end token, where its tokenizer has them."""
    neutral = next((token for token, piece in tokenizer.inv_vocab.items() if piece == kind.neutral), None)
    if neutral is None:
        raise SafreeError(
            f"the tokenizer of text encoder {key!r} has no token {kind.neutral!r}, so it is another kind."
        )
    start, stop = tokenizer.start_token, tokenizer.end_token
    frame = Frame(
        head=() if start is None else (start,),
        tail=() if stop in (None, tokenizer.pad_token) else (stop,),
    )
    return Encoder(clip, key, model, tokenizer, kind, frame, neutral)


def _template(encoder: Encoder, text: str | None) -> Frame:
    """What ComfyUI puts around a prompt, found by comparing two short prompts, and the host's system prompt in it.

    Of an empty prompt it is all: some templates differ where there are no words.
    """

    def ids(prompt: str) -> list:
        tokens = [token[0] for token in encoder.clip.tokenize(prompt)[encoder.key][0]]
        return tokens[slice(*_unpadded(tokens, encoder.tokenizer))]

    def around(before: str) -> tuple[tuple, tuple]:
        one, other = ids(before + "a"), ids(before + "b")
        head, tail = one[: _shared(one, other)], one[len(one) - _shared(reversed(one), reversed(other)) :]
        while tail and _same(tail[0], encoder.tokenizer.pad_token):
            tail.pop(0)
        return tuple(head), tuple(tail)

    if text == "":
        return Frame(tuple(ids(text)))
    head, tail = around("")
    system = next((prompt for prompt in compat.system_prompts() if (text or "").startswith(prompt)), "")
    return Frame(head, around(system)[0][len(head) :] if system else (), tail)


def tokenize(clip, text: str) -> dict[str, list]:
    """The host's tokens of `text` by encoder key; SafreeError for a text that its tokenizers cannot read."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SafreeError(f"the text holds half a character at {error.start} (a lone surrogate). Remove it.") from error
    try:
        return clip.tokenize(text)
    except RecursionError as error:
        raise SafreeError(
            "the text nests brackets too deeply. Use fewer brackets; \\( stands for a plain one."
        ) from error


def check_embeddings(found: list[Encoder], tokens: dict[str, list]) -> None:
    """SafreeError if the prompt holds a textual-inversion embedding that fits no encoder; ComfyUI would drop it."""
    widths = {}
    for encoder in found:
        used = (token[0] for chunk in tokens[encoder.key] for token in chunk)
        widths[encoder.key] = {token.shape[-1] for token in used if torch.is_tensor(token)}
    if any(widths.values()) and not any(widths[e.key] == {e.width} for e in found):
        wrong = "/".join(str(width) for width in sorted(set().union(*widths.values())))
        fitting = ", ".join(f"{encoder.width} ({encoder.key!r})" for encoder in found)
        raise SafreeError(
            f"a textual-inversion {EMBEDDING} of the prompt is {wrong} wide, the text encoders of this CLIP take "
            f"{fitting}. Use an embedding made for this model, or take it out of the prompt."
        )
