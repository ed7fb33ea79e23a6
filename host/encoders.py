"""Read the text encoders of a ComfyUI CLIP: tokens, words, masked variants and their pooled embeddings."""

from __future__ import annotations

import dataclasses
import numbers

import torch

from ..safree import SafreeError
from . import families

EMBEDDING = "[embedding]"  # stands for the text of a textual-inversion embedding
ROWS = 16  # variants encoded at once: bounds the memory of long prompts
LONGEST_WORD = 32  # tokens; text without spaces is cut into words of this length

Token = tuple  # (id or embedding tensor, weight), as ComfyUI's tokenizers make them


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
    """One word of a prompt: its tokens (ids or embedding tensors) and where they stand in the chunks of one encoder."""

    text: str
    tokens: tuple
    places: tuple[tuple[int, int], ...]  # (chunk, position)


@dataclasses.dataclass(frozen=True)
class Row:
    """One input of a text encoder: its tokens, and the real ones among them, tokens[first:end]."""

    tokens: list
    first: int
    end: int


@dataclasses.dataclass(frozen=True)
class Encoder:
    """One text encoder inside a CLIP. `model` is ComfyUI's SDClipModel, `tokenizer` its SDTokenizer."""

    key: str
    model: object
    tokenizer: object
    kind: families.EncoderKind

    def bounds(self, chunk: list[Token]) -> tuple[int, int]:
        """(first, end): the real tokens of `chunk` are chunk[first:end]; a closing end token stands at `end`.

        Counted from the back, because a prompt may spell out the end token to hide what follows it.
        """
        first = 0 if self.tokenizer.start_token is None else 1
        pad, stop = self.tokenizer.pad_token, self.tokenizer.end_token

        def is_id(token: Token, wanted: int) -> bool:
            return isinstance(token[0], numbers.Integral) and token[0] == wanted

        end = len(chunk)
        while end > first and is_id(chunk[end - 1], pad):
            end -= 1
        if stop is not None and stop != pad and end > first and is_id(chunk[end - 1], stop):
            end -= 1
        return first, end

    def words(self, chunks: list[list[Token]]) -> list[Word]:
        """The words of a tokenized prompt in order. Pieces of one word, and vectors of one embedding, stay together."""
        words, text, tokens, places = [], "", [], []

        def close():
            nonlocal text
            if tokens:
                words.append(Word(text, tuple(tokens), tuple(places)))
            text = ""
            tokens.clear()
            places.clear()

        for c, chunk in enumerate(chunks):
            first, end = self.bounds(chunk)
            for position in range(first, end):
                token = chunk[position][0]
                is_text = isinstance(token, numbers.Integral)
                piece = self.tokenizer.inv_vocab.get(int(token), "") if is_text else EMBEDDING
                starts = is_text and self.kind.word_start and piece.startswith(self.kind.word_start)
                if starts or is_text == (text == EMBEDDING) or len(tokens) == LONGEST_WORD:
                    close()
                ends = is_text and self.kind.word_end and piece.endswith(self.kind.word_end)
                piece = piece.removesuffix(self.kind.word_end) if ends else piece
                piece = piece.removeprefix(self.kind.word_start) if starts else piece
                text = text + piece if is_text else EMBEDDING
                tokens.append(token)
                places.append((c, position))
                if ends:
                    close()
        close()
        return words

    def neutralise(self, chunks: list[list[Token]], words: list[Word]) -> list[list[Token]]:
        """`chunks` with every token of `words` replaced by the neutral token at weight 1."""
        out = [list(chunk) for chunk in chunks]
        for word in words:
            for chunk, position in word.places:
                out[chunk][position] = (self.kind.neutral, 1.0, *out[chunk][position][2:])
        return out

    def row(self, words: list[Word], masked: set[int] | frozenset = frozenset()) -> Row:
        """`words` as a prompt of their own, those numbered in `masked` replaced by neutral tokens."""
        start, stop = self.tokenizer.start_token, self.tokenizer.end_token
        tokens = [] if start is None else [start]
        first = len(tokens)
        for i, word in enumerate(words):
            tokens += [self.kind.neutral] * len(word.tokens) if i in masked else word.tokens
        end = len(tokens)
        if stop is not None:
            tokens.append(stop)
        if self.tokenizer.pad_to_max_length:
            tokens += [self.tokenizer.pad_token] * (self.tokenizer.max_length - len(tokens))
        return Row(tokens, first, end)

    def chunk_row(self, chunk: list[Token]) -> Row:
        """A chunk of a tokenized prompt, without its weights."""
        return Row([token[0] for token in chunk], *self.bounds(chunk))

    def states(self, clip, rows: list[Row]) -> torch.Tensor:
        """Output states [n, tokens, D] (float32, CPU) of rows of one length, in the layer that the clip is set to.

        Raises SafreeError when a state is not finite.
        """
        prepare(clip)
        batches = [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
        states = torch.cat([self.model.encode([row.tokens for row in b])[0].float().cpu() for b in batches])
        if not torch.isfinite(states).all():
            raise SafreeError(
                f"text encoder {self.key!r} returned NaN or infinity. Load it in another precision (for example start "
                "ComfyUI with --fp32-text-enc) or remove a damaged LoRA or embedding."
            )
        return states

    def pool(self, states: torch.Tensor, rows: list[Row]) -> torch.Tensor:
        """Pooled embeddings [n, D] of `states` [n, tokens, D]: the state at the closing end token, or the mean."""
        if self.kind.pooling == "end":
            return torch.stack([state[row.end] for state, row in zip(states, rows, strict=True)])
        ends = [max(row.end, row.first + 1) for row in rows]
        return torch.stack([s[r.first : end].mean(0) for s, r, end in zip(states, rows, ends, strict=True)])

    def pooled(self, clip, rows: list[Row]) -> torch.Tensor:
        """Pooled embeddings [n, D] of rows of any length; equal rows are encoded once."""
        unique: dict[tuple, int] = {}
        index = [unique.setdefault((row.end, *map(_identity, row.tokens)), n) for n, row in enumerate(rows)]
        by_length: dict[int, list[int]] = {}
        for n in unique.values():
            by_length.setdefault(len(rows[n].tokens), []).append(n)
        out = {}
        for numbers_ in by_length.values():
            same = [rows[n] for n in numbers_]
            out.update(zip(numbers_, self.pool(self.states(clip, same), same), strict=True))
        return torch.stack([out[n] for n in index])


def _identity(token):
    return int(token) if isinstance(token, numbers.Integral) else id(token)


def prepare(clip) -> None:
    """Put the clip's weights and layer choice in place, as CLIP.encode_from_tokens does."""
    clip.cond_stage_model.reset_clip_options()
    if clip.layer_idx is not None:
        clip.cond_stage_model.set_clip_options({"layer": clip.layer_idx})
    clip.load_model()


def encoders(clip) -> list[Encoder]:
    """The text encoders of `clip`; SafreeError for one that this pack does not know."""
    if clip is None:
        raise SafreeError("no CLIP is connected, or the checkpoint holds no text encoder. Load one with a CLIP loader.")
    keys = list(clip.tokenize(""))
    unknown = [key for key in keys if key not in families.ENCODERS]
    if unknown:
        raise SafreeError(
            f"text encoder {unknown[0]!r} is not supported, so the guard cannot be applied. Supported: "
            f"{', '.join(families.ENCODERS)}."
        )
    return [Encoder(key, *_parts(clip, key), families.ENCODERS[key]) for key in keys]


def _parts(clip, key: str) -> tuple[object, object]:
    names = [f"clip_{key}", key]
    for name in names:
        model, tokenizer = getattr(clip.cond_stage_model, name, None), getattr(clip.tokenizer, name, None)
        if model is not None and tokenizer is not None:
            return model, tokenizer
    raise SafreeError(f"text encoder {key!r} of this CLIP has neither attribute {' nor '.join(names)}: unknown layout.")
