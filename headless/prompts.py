"""What is no plain word in a prompt, by the tool that reads it: LoRA tags, choices, schedules, BREAK and AND."""

from __future__ import annotations

import re

LORA = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)
CHOICE = ("a choice {a|b}", re.compile(r"(?<!\\)\{[^{}]*\|[^{}]*\}"))
WILDCARD = ("a wildcard __name__", re.compile(r"__[\w./*-]+?__"))
SCHEDULE = ("a schedule [a:b:0.5]", re.compile(r"(?<!\\)\[[^\[\]]*:[^\[\]]*\]"))
ALTERNATION = ("an alternation [a|b]", re.compile(r"(?<!\\)\[[^\[\]]*\|[^\[\]]*\]"))
BREAK = ("BREAK", re.compile(r"\bBREAK\b"))
AND = ("AND", re.compile(r"\bAND\b"))
FUNCTION = (
    "a function such as MASK(...)",
    re.compile(r"\b(?:MASK|AREA|FEATHER|FILL|COUPLE|CUT|SDXL|STYLE|NOISE|SHUFFLE|SHIFT|DEF|TE|ATTN)\s*\("),
)
HEAD = ("a head such as [SEP]", re.compile(r"\[(?:SEP|LAB|ASC|DSC|RND|ASC-SIZE|DSC-SIZE|SKIP|STOP|ALL)\]?"))
TAG = ("a LoRA tag", LORA)

# What each tool reads beside the words and the (weights:1.2), which ComfyUI reads too.
LANGUAGES = {
    "a1111": (SCHEDULE, ALTERNATION, BREAK, AND),
    "prompt-control": (SCHEDULE, ALTERNATION, BREAK, AND, FUNCTION),
    "impact": (TAG, CHOICE, WILDCARD, HEAD, BREAK),
    "choices": (CHOICE, WILDCARD),
}


def special(text: str, language: str) -> list[str]:
    """The names of the things in `text` that `language`, a key of LANGUAGES, does not read as words."""
    return [name for name, pattern in LANGUAGES[language] if pattern.search(text)]


def without_loras(text: str) -> str:
    """`text` as tools leave it for the text encoder that load LoRAs from tags such as <lora:name:0.8>."""
    return LORA.sub("", text)
