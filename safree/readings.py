"""Plainer readings of words that are written so that a filter misses them: pure functions over text.

A reading counts only where it arrives at a known word, so that a prompt in plain words has none.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping

from .folding import Folded, emoji, fold, without_marks
from .lexicon import Lexicon

LONGEST = 64  # letters of a word that is looked at
EDGES = ".,;:!?\"'()[]{}<>*_~`«»“”„‘’…-、。，！？：；（）「」"  # around a word, and no part of it
CHUNK = re.compile(r"\S+")
ATOM = re.compile(r"[^\s/,;:|()\[\]{}\"“”«»、。，！？：；（）「」]+")
WORD = re.compile(r"[^\W\d_]+")
PIECE = re.compile(r"(?<!['’])[^\W_]+|[@$€]")
GAP = re.compile(r"[\s.\-_*·•|/~+=\u2010-\u2015・]{1,3}")  # between letters or parts that belong together
LEET = {"0": "o", "1": "i", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g"}
LEET |= {"@": "a", "$": "s", "!": "i", "|": "i", "€": "e", "£": "l", "¡": "i", "+": "t"}
OTHER_LEET = {"1": "l", "|": "l", "!": "l", "9": "q", "6": "b"}
WILD = "*#%?"  # stand for a letter each
SIZE = re.compile(r"\dx\d|[a-z]\d+")  # '4x3' and 'a55' are no words
FEWEST_LETTERS = 3  # of a word that a reading may arrive at
LONG = 7  # letters from which a word is seen although its parts are words
REAL = 4  # letters from which a word that no concept names is worth a reading
HALVED = 6  # letters of such a word that is cut in two


@dataclasses.dataclass(frozen=True)
class Reading:
    """text[start:end] of a prompt may be read as any of `plains`.

    guess: whether that takes other letters or words for it than stand there; a word of another language may be near to
        an English one by chance
    """

    start: int
    end: int
    plains: tuple[str, ...]
    guess: bool = False


def find(text: str, lexicon: Lexicon, look_alikes: Mapping[str, str]) -> list[Reading]:
    """The readings of a prompt, from left to right, none overlapping; the longer one wins. Linear in the text.

    >>> find("a n4ked cat", Lexicon(["naked"], {"a", "cat"}, {"a", "cat"}), {})
    [Reading(start=2, end=7, plains=('naked',), guess=False)]
    """
    folded = fold(text, look_alikes)
    return _longest(text, [*_words(text, folded, lexicon), *_runs(folded, lexicon), *_emoji(text, lexicon)])


def with_names(text: str, lexicon: Lexicon, found: list[Reading]) -> list[Reading]:
    """`found`, and concept words of `text` as they stand, for a reader that takes them apart."""
    names = [Reading(*m.span(), (m[0],)) for m in WORD.finditer(text) if lexicon.names(m[0].lower())]
    return _longest(text, [*found, *names])


def _longest(text: str, found: list[Reading]) -> list[Reading]:
    """Those readings that overlap no longer one, in order."""
    taken, kept = bytearray(len(text)), []
    for reading in sorted(found, key=lambda r: (r.start - r.end, r.start)):
        if not any(taken[reading.start : reading.end]):
            taken[reading.start : reading.end] = b"\1" * (reading.end - reading.start)
            kept.append(reading)
    return sorted(kept, key=lambda r: r.start)


def _words(text: str, folded: Folded, lexicon: Lexicon) -> Iterator[Reading]:
    """Readings of single words between white space."""
    for match in ATOM.finditer(folded.text):
        atom = match[0]
        start = match.start() + len(atom) - len(atom.lstrip(EDGES))
        atom = atom.strip(EDGES)
        fewest = FEWEST_LETTERS if atom.isascii() else 2
        if not fewest <= len(atom) <= LONGEST or not any(c.isalpha() for c in atom):
            continue
        first, last = folded.span(start, start + len(atom))
        written = text[first:last]
        is_name = written.istitle() and not _starts(text, first)
        exact = readings_of(written, atom, lexicon)
        found = guesses_of(written, atom, lexicon, is_name) if exact is None else exact
        if plains := [plain for plain in found if plain != written]:
            yield Reading(first, last, tuple(dict.fromkeys(plains)), exact is None)


def _starts(text: str, at: int) -> bool:
    """Whether a sentence begins at `at`."""
    before = text[max(0, at - 8) : at].rstrip(" \"'(“‘«")
    return (not before and at < 8) or before.endswith((".", "!", "?", "\n", ":"))


def readings_of(written: str, folded: str, lexicon: Lexicon) -> list[str] | None:
    """How one word may be read that is not plainly written, letter for letter; empty for one that is, None for one that
    is neither.

    folded: the word in plain letters, see folding.fold
    """
    lower = written.lower()
    if lower != folded and not lexicon.is_known(lower):
        if found := lexicon.names(folded) if without_marks(lower) == folded else _named(folded, lexicon):
            return found
    elif written != lower and (found := _other_case(written, folded, lexicon)):
        return found
    if lexicon.is_known(lower) or lexicon.is_known(folded) or folded in lexicon.wanted:
        return []
    if not folded.isalpha() and (found := _of_marks(folded, lexicon)):
        return found
    plainly = 2 * sum(char.isalpha() for char in folded) >= len(folded)
    for word in _letters(folded) if plainly or not SIZE.fullmatch(folded) else ():
        if word != folded and (found := _named(word, lexicon) if plainly else lexicon.names(word)):
            return found
    return None


def guesses_of(written: str, folded: str, lexicon: Lexicon, is_name: bool) -> list[str]:
    """What an unknown word may be a misspelling of, or two words written as one.

    is_name: it has a capital inside a sentence
    """
    if is_name or (not folded.isalpha() and len(folded) <= REAL):
        return []
    found = list(itertools.chain(*(lexicon.near(word) for word in _letters(folded))))
    return found or [joined for word in _letters(folded) if (joined := lexicon.split(word))]


def _letters(folded: str) -> list[str]:
    return [word for word in unleet(folded) if word.isalpha()]


def _named(word: str, lexicon: Lexicon) -> list[str]:
    """A word in plain letters as it is usually written: by the concepts, else as any real word that is long enough."""
    return lexicon.names(word) or ([word] if len(word) >= REAL and lexicon.is_real(word) else [])


def _other_case(written: str, folded: str, lexicon: Lexicon) -> list[str]:
    """'NAKED' and 'NaKed', which an encoder with two cases reads as other words; a capital first letter is usual."""
    if not any(char.isupper() for char in written[1:]):
        return []
    return lexicon.names(folded) or ([folded] if len(folded) >= REAL and lexicon.is_known(folded) else [])


def _of_marks(folded: str, lexicon: Lexicon) -> list[str]:
    """Words with letters replaced by marks: 'n*ked'."""
    if not any(char in WILD for char in folded) or not all(char.isalpha() or char in WILD for char in folded):
        return []
    return lexicon.matching(folded, WILD)


def unleet(folded: str) -> list[str]:
    """A word with the letters that its digits and marks stand for; itself where it is letters alone.

    >>> unleet("s1ut")
    ['siut', 'slut']
    """
    if folded.isalpha():
        return [folded]
    if not any(char in LEET for char in folded) or not any(char.isalpha() for char in folded):
        return []
    tables = [LEET, {**LEET, **OTHER_LEET}]
    return list(dict.fromkeys("".join(table.get(char, char) for char in folded) for table in tables))


@dataclasses.dataclass(frozen=True)
class _Piece:
    text: str
    start: int  # in the folded text
    end: int

    @property
    def letters(self) -> str:
        """A digit or mark that stands alone, as the letter it may stand for."""
        return LEET.get(self.text, self.text)


def _runs(folded: Folded, lexicon: Lexicon) -> Iterator[Reading]:
    """Readings of words that are cut up by spaces or marks: 'n a k e d', 'n.a.k.e.d', 'na-ked', 'na ked'."""
    pieces = [_Piece(m[0], *m.span()) for m in PIECE.finditer(folded.text)]
    gaps = [GAP.fullmatch(folded.text, a.end, b.start) for a, b in itertools.pairwise(pieces)]
    linked = [gap[0] if gap else "" for gap in gaps] + [""]  # what stands between a piece and the next one it goes with
    spelled = {}
    for first, last in _letters_apart(pieces, linked):
        if 2 * sum(piece.text.isalpha() for piece in pieces[first:last]) < last - first:
            continue  # '1 9 8 0 s'
        spelled.update(dict.fromkeys(range(first, last)))
        for start, end, word in lexicon.segment("".join(piece.letters for piece in pieces[first:last])):
            span = folded.span(pieces[first + start].start, pieces[first + end - 1].end)
            yield Reading(*span, tuple(lexicon.names(word) or [word]))
    for first, piece in enumerate(pieces):
        if first in spelled:
            continue
        last = _joined(pieces, linked, first, lexicon)
        word = "".join(p.letters for p in pieces[first : last + 1])
        if last and (piece.text not in lexicon.wanted or len(word) >= len(piece.text) + FEWEST_LETTERS):
            yield Reading(*folded.span(piece.start, pieces[last].end), tuple(lexicon.names(word)))  # 'gun s' is none
        elif not last and linked[first] and _is_halved(piece.text, pieces[first + 1].text, lexicon):
            whole = piece.text + pieces[first + 1].text
            yield Reading(*folded.span(piece.start, pieces[first + 1].end), (whole,))


def _is_halved(part: str, other: str, lexicon: Lexicon) -> bool:
    """Whether two pieces are one real word, cut in two: 'birt-hday'. One of them is no word."""
    if len(part) + len(other) < HALVED or min(len(part), len(other)) < 2 or not (part + other).isalpha():
        return False
    return lexicon.is_known(part + other) and not (lexicon.is_known(part) and lexicon.is_known(other))


def _letters_apart(pieces: list[_Piece], linked: list[str]) -> Iterator[tuple[int, int]]:
    """(first, end) of each run of at least three single letters."""
    start = 0
    for i, piece in enumerate(pieces):
        if len(piece.text) != 1:
            start = i + 1
            continue
        goes_on = bool(linked[i]) and len(pieces[i + 1].text) == 1
        if not goes_on:
            if i + 1 - start >= FEWEST_LETTERS:
                yield start, i + 1
            start = i + 1


def _joined(pieces: list[_Piece], linked: list[str], first: int, lexicon: Lexicon) -> int:
    """Number of the last of the pieces from `first` on that make one concept word together; 0 for none."""
    word, found = "", 0
    for i in range(first, len(pieces)):
        word += pieces[i].letters
        if word not in lexicon.beginnings:
            break
        tied = not any(map(str.isspace, "".join(linked[first:i])))  # 'an-al' is cut, 'pen is' are two words
        if i > first and word in lexicon.wanted and (tied or _is_cut([p.text for p in pieces[first : i + 1]], lexicon)):
            goes_on = linked[i] and not any(map(str.isspace, linked[i]))
            found = found if found and goes_on else i  # 'an-al s-ex' does not end behind 's'
        if not linked[i]:
            break
    return found


def _is_cut(parts: list[str], lexicon: Lexicon) -> bool:
    """Whether a word is cut up: its parts are no words, as those of 'pen is' are, or it is too long for chance.

    'black faces' is two words all the same: no phrase of a concept is the plural.
    """
    if not all(lexicon.is_everyday(part) for part in parts):
        return True
    return min(map(len, parts)) >= FEWEST_LETTERS and sum(map(len, parts)) >= LONG and lexicon.is_phrase("".join(parts))


def _emoji(text: str, lexicon: Lexicon) -> Iterator[Reading]:
    for at, char in enumerate(text):
        if not char.isascii() and (name := emoji(char)):
            words = name.replace("-", " ").split()
            if any(lexicon.names(word) for word in words) or all(lexicon.is_everyday(word) for word in words):
                yield Reading(at, at + 1, (" ".join(words),))
