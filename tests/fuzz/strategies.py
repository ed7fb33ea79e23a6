"""What strangers send: texts, JSON and damaged copies of good data."""

from __future__ import annotations

from hypothesis import strategies as st

# Half characters (surrogates), controls, right-to-left marks, combining letters, emoji and CJK among plain letters.
CHARACTERS = st.one_of(
    st.characters(),
    st.sampled_from("()[]{}:\\<>|,. \t\n\r\x00\x07\u200d\u202e\ufeff\u0301\ud83d\ude00🐈猫א"),
    st.sampled_from("abcdefghijklmnopqrstuvwxyzABC0123456789"),
)
TEXTS = st.text(CHARACTERS, max_size=40)
BRACKETS = st.text(st.sampled_from("()[]{}:\\ .0123456789aegnopistul"), max_size=120)
PIECES = ["cat", "pistol", "(gun:1.5)", "(((", "embedding:x", "<|endoftext|>", "a", "BREAK", "AND"]
PROMPTS = st.one_of(TEXTS, BRACKETS, st.lists(st.sampled_from(PIECES)).map(" ".join))
STEPS = ["..", "/", "\\", ".", "~", "C:", "a", " ", "con", "nul", "%2e", "\0", "é", "/etc/passwd"]
ENDINGS = ["", ".safetensors", ".ckpt", ".SAFETENSORS", ".safetensors\n", " "]
PATHS = st.builds(lambda steps, end: "".join(steps) + end, st.lists(st.sampled_from(STEPS)), st.sampled_from(ENDINGS))
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(), st.just(10**400), st.floats(), st.booleans())
SCALARS = st.one_of(st.none(), NUMBERS, TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=6,
)


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with up to three places cut out, overwritten or doubled."""

    def apply(edits) -> bytes:
        data = bytearray(good)
        for start, length, put in edits:
            at = start % (len(data) + 1)
            data[at : at + length] = put
        return bytes(data)

    edit = st.tuples(st.integers(0, 2**16), st.sampled_from([0, 1, 1, 4, 64, 2**16]), st.binary(max_size=8))
    return st.lists(edit, min_size=1, max_size=3).map(apply)
