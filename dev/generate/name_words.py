"""`PYTHONPATH=FOLDER python -m dev.generate.name_words`: vocabulary/name_words.json.

FOLDER: `pip install --no-deps --target FOLDER english-words==2.0.2`, which holds Webster's Second (web2, in the public
domain). Of its words in small letters those are kept that a vocabulary of ComfyUI has, but the one with two cases only
with a capital.
"""

from __future__ import annotations

import json

from .. import inprocess, setup_host

OUT = setup_host.ROOT / "vocabulary" / "name_words.json"
DESCRIPTION = (
    "Words of English that are better known as names: 'puma', 'turner'. A list of names takes none of them out of a "
    "prompt by its spelling alone. From Webster's Second International, in the public domain."
)


def main() -> None:
    from english_words import get_english_words_set

    inprocess.boot()
    known_words = inprocess.load_pack().host.data.known_words
    small = {word for word in get_english_words_set(["web2"], alpha=True) if word.islower()}
    kept = sorted((known_words.in_a_vocabulary() & small) - known_words.in_small_letters())
    data = {"name": "name_words", "description": DESCRIPTION, "version": 1, "words": " ".join(kept)}
    OUT.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(kept)} words in {OUT}")


if __name__ == "__main__":
    main()
