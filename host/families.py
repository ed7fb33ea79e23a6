"""What each text encoder and each model family supports, in one table each."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class EncoderKind:
    """How to read one kind of text encoder.

    neutral:  token id that stands for 'no word here'; never the end or the padding id of a causal encoder
    pooling:  'end', the state at the end token (causal encoders), or 'mean' over the real tokens
    word_end: piece mark that ends a word, e.g. '</w>'; empty where words are marked at their start
    word_start: piece mark that starts a word, e.g. the sentencepiece underscore
    """

    neutral: int
    pooling: str
    word_end: str = ""
    word_start: str = ""


CLIP = EncoderKind(neutral=0, pooling="end", word_end="</w>")  # id 0 is '!', the paper's choice

ENCODERS = {"l": CLIP}

# Families whose CONDITIONING the modes `paper` and `reference` can edit: {encoder keys: width of each slice in order}.
SLICES = {("l",): {"l": slice(0, 768)}}
