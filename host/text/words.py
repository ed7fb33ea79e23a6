"""The words of a tokenized prompt, alike for every kind of tokenizer, and where one text stands in each of them."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

EMBEDDING = "[embedding]"  # stands for the text of a textual-inversion embedding
LONGEST_WORD = 32  # tokens; text without spaces is cut into words of this length
UNSPACED = 0x2E80  # from here on scripts write no spaces (Chinese, Japanese) and emoji follow: a word a token
HANGUL = 0xAC00, 0xD7A3  # syllables of Korean, which does write spaces
PART = "\ufffd"  # how a token reads that holds only a part of a character
BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")  # a byte of a sentencepiece vocabulary

PARTS = ("tokens", "pieces", "places")  # of a Word, one for each token

Place = tuple[int, int]  # (chunk, position) of a token


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
    """One word of a prompt: its tokens (ids or embedding tensors), what they spell, and where they stand."""

    text: str
    tokens: tuple
    pieces: tuple[bytes, ...]  # UTF-8 of each token, spaces included; of an embedding empty
    places: tuple[Place, ...]


def byte_level(piece: str) -> bytes:
    """UTF-8 of a token of a byte-level BPE vocabulary (CLIP, Llama, Qwen); CLIP ends a word by '</w>'."""
    text = piece.removesuffix("</w>")
    data = bytes(_BYTES[c] for c in text) if _BYTES.keys() >= set(text) else text.encode()
    return data + b" " * (text != piece)


def _byte_alphabet() -> dict[str, int]:
    """The 256 printable characters that GPT-2's vocabulary, and those made like it, write bytes with."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def sentencepiece(piece: str) -> bytes:
    """UTF-8 of a sentencepiece token (T5, Gemma): '\u2581' is a space, '<0x0A>' a byte."""
    if byte := BYTE.fullmatch(piece):
        return bytes.fromhex(byte[1])
    return piece.replace("\u2581", " ").encode()


def wordpiece(piece: str) -> bytes:
    """UTF-8 of a token of a BERT vocabulary: one that begins with '##' goes on with a word."""
    return piece[2:].encode() if piece.startswith("##") else f" {piece}".encode()


def one_byte(piece: str) -> bytes:
    """The byte that a token of ByT5 stands for; nothing for its special tokens."""
    return piece.encode("latin-1") if len(piece) == 1 and ord(piece) < 256 else b""


def split(tokens: list[tuple[object, bytes | None, Place]]) -> list[Word]:
    """Words of (token, UTF-8 or None for an embedding vector, place) in order, split as CLIP's tokenizer splits text.

    Pieces of one word, and vectors of one embedding, stay together; punctuation is a word of its own. White space
    alone is no word.
    """
    groups: list[list] = []
    for token in tokens:
        if not (groups and len(groups[-1]) < LONGEST_WORD and _joins(groups[-1], token[1])):
            groups.append([])
        groups[-1].append(token)
    words = []
    for group in groups:
        ids, pieces, places = zip(*group, strict=True)
        text = EMBEDDING if pieces[0] is None else _read(pieces).strip()
        if text:
            words.append(Word(text, ids, tuple(piece or b"" for piece in pieces), places))
    return words


def _joins(group: list, piece: bytes | None) -> bool:
    """Whether a token that spells `piece` goes on with the word that `group` has begun."""
    if piece is None or group[-1][1] is None:
        return piece is None and group[-1][1] is None
    before, after = _read([g[1] for g in group]), _read([piece])
    if not before.strip() or not after:
        return True
    if before[-1].isspace() or after[0].isspace():
        return False
    if PART in (before[-1], after[0]):
        return True
    return _script(before[-1]) == _script(after[0]) != "unspaced"


def _read(pieces) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def _script(char: str) -> str:
    if ord(char) >= UNSPACED and not HANGUL[0] <= ord(char) <= HANGUL[1]:
        return "unspaced"
    return "letter" if char.isalnum() or unicodedata.category(char)[0] == "M" else "mark"


def join_unspaced(words: list[Word], known: frozenset[str]) -> list[Word]:
    """`words` with those of scripts without spaces joined that spell an entry of `known`, the longest at each place."""
    longest = max(map(len, known), default=0)
    out, start = [], 0
    while start < len(words):
        end, text, best = start, "", start + 1
        while end < len(words) and len(text) < longest and is_unspaced(words[end].text):
            text += words[end].text
            end += 1
            if text in known:
                best = end
        out.append(as_one(words[start:best]) if best > start + 1 else words[start])
        start = best
    return out


def is_unspaced(text: str) -> bool:
    """Whether a text begins in a script that writes no spaces between words."""
    return bool(text) and _script(text[0]) == "unspaced" and text[0].isalpha()


def as_one(words: list[Word]) -> Word:
    """Neighbouring words as a single one."""
    tokens, pieces, places = ([part for word in words for part in getattr(word, field)] for field in PARTS)
    return Word("".join(word.text for word in words), tuple(tokens), tuple(pieces), tuple(places))


class Spelling:
    """The letters of a prompt as one encoder reads it, without spaces and case, each with the tokens that spell it."""

    def __init__(self, words: list[Word]):
        letters: list[str] = []
        self.places: list[set[Place]] = []  # of each letter
        self.ranges: list[tuple[int, int]] = []  # of each word
        for word in words:
            start = len(self.places)
            for letter, places in _letters(word):
                letters.append(letter)
                self.places.append(places)
            self.ranges.append((start, len(self.places)))
        self.text = "".join(letters)

    def find(self, other: Spelling, first: int, stop: int | None = None) -> set[Place]:
        """Places here of the words `first` to before `stop` of `other`, the same prompt read by another encoder.

        Without `stop` of one word.

        Where the two read the prompt differently (unknown characters, embeddings of one of them only), every place
        counts where their text stands as whole words: 'ass' is not in 'grass'.
        """
        start, end = other.ranges[first][0], other.ranges[first if stop is None else stop - 1][1]
        if self.text == other.text:
            return set().union(*self.places[start:end])
        wanted, found = other.text[start:end], set()
        ends = {end for _, end in self.ranges}
        for at, _ in self.ranges:
            if at + len(wanted) in ends and self.text.startswith(wanted, at):
                found.update(*self.places[at : at + len(wanted)])
        return found


def _letters(word: Word):
    """(letter, places of its tokens) of a word, after NFKC and case folding; an embedding counts as one letter."""
    if word.text == EMBEDDING:
        yield "\ue000", set(word.places)
        return
    places = [place for piece, place in zip(word.pieces, word.places, strict=True) for _ in piece]  # of each byte
    at = 0
    for char in b"".join(word.pieces).decode("utf-8", "surrogateescape"):
        size = len(char.encode("utf-8", "surrogateescape"))
        for letter in unicodedata.normalize("NFKC", char).casefold():
            if not letter.isspace():
                yield letter, set(places[at : at + size])
        at += size
