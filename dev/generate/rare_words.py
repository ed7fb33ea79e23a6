"""`PYTHONPATH=FOLDER python -m dev.generate.rare_words`: `words` of vocabulary/rare_words.json.

FOLDER: `pip install --no-deps --target FOLDER english-words==2.0.2`, which holds Webster's Second (web2, in the public
domain). Kept of its words are those that a shipped concept set would otherwise have read as one of its own.
"""

from __future__ import annotations

import json

from .. import inprocess, setup_host

OUT = setup_host.ROOT / "vocabulary" / "rare_words.json"
DESCRIPTION = (
    "Words of English that look like a misspelt word of a shipped concept set, or like one written together with "
    "another, and are neither: `words` from Webster's Second International, in the public domain; `names` of people, "
    "places and brands, short forms and newer words, by hand."
)


def main() -> None:
    from english_words import get_english_words_set

    inprocess.boot()
    pack = inprocess.load_pack()
    data, prompt = pack.host.data, pack.host.prompt
    data.known_words.RARE = None  # as if there were none yet
    sets = [data.concept_sets.get(name) for name in data.concept_sets.names()]
    lexicon = prompt.plain_words.lexicon(tuple(phrase for concept in sets for phrase in concept.phrases))
    words = {word.lower() for word in get_english_words_set(["web2"], alpha=True)}
    looks = data.known_words.look_alikes()
    kept = [word for word in sorted(words) if pack.safree.readings.find(word, lexicon, looks)]
    names = json.loads(OUT.read_text(encoding="utf-8"))["names"]
    data = {"name": "rare_words", "description": DESCRIPTION, "version": 1, "words": " ".join(kept), "names": names}
    OUT.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(kept)} words in {OUT}")


if __name__ == "__main__":
    main()
