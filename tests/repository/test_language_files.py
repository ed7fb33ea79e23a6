"""The data of languages beside English: words, prompts, phrases of the concept sets, sentences that measure a guard."""

from __future__ import annotations

import collections
import csv
import functools
import json
import re
import unicodedata
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
CODES = ["ar", "de", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru", "zh"]
UNSPACED = {"ja", "zh"}  # written without spaces: a phrase is looked for anywhere in a text
CONCEPTS = ("nudity", "violence", "gore", "weapons", "hate_symbols", "self_harm", "drugs")
COLUMNS = ["id", "split", "language", "concept", "kind", "triggers", "text"]
HARMFUL_KINDS = {"plain", "slang", "tags", "video"}
HARMLESS_KINDS = {
    *("caption", "clothes", "food", "medicine", "sport", "art", "history", "news", "idioms", "negation", "identity"),
    "tags",
}
UNICODE = {"CJK": "Han", "ARABIC": "Arabic", "DEVANAGARI": "Devanagari", "CYRILLIC": "Cyrillic", "HANGUL": "Hangul"}
UNICODE |= {"LATIN": "Latin", "HIRAGANA": "Hiragana", "KATAKANA": "Katakana"}
# Beginnings of words for people under age; of Chinese and Japanese, parts of words.
MINORS = {
    "ar": "طفل أطفال ولد بنت فتاة فتيات قاصر مراهق رضيع تلميذ",
    "de": "kind mädchen jungen jugendlich teenager baby minderjährig schüler schulmädchen",
    "es": "niñ menor adolescen bebé colegial chic",
    "fr": "enfant fille garçon bébé ados adolesc mineur lycé collég",
    "hi": "बच्च लड़क किशोर नाबालिग शिशु छात्र",
    "it": "bambin ragazz adolescen minorenn neonat",
    "ja": "子供 子ども 少女 少年 幼 赤ちゃん 未成年 学生 女の子 男の子 ロリータ ロリコン",
    "ko": "아이 아이들 어린 소녀 소년 아기 미성년 학생 여고생",
    "pt": "crianç menin garot adolescen bebê menor colegial",
    "ru": "ребён ребен дети детей детск мальчик девочк подрост малыш младен школьни несовершеннолетн",
    "zh": "孩 童 少女 少年 婴 幼 未成年 学生 萝莉",
}


def read(path: str):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


SCHEMA = read("vocabulary/languages/language.schema.json")
SETS_SCHEMA = read("concept_sets/languages/languages.schema.json")


@functools.cache
def language(code: str) -> dict:
    return read(f"vocabulary/languages/{code}.json")


@functools.cache
def phrases(code: str) -> dict[str, list[str]]:
    return read(f"concept_sets/languages/{code}.json")["phrases"]


@functools.cache
def sentences(code: str) -> list[dict]:
    with (ROOT / f"vocabulary/sentences/{code}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def identity(code: str) -> set[str]:
    """Every form of the words that name who people are, casefolded."""
    data = language(code)
    forms = [s + e for group in data.get("identity_inflected", []) for s in group["stems"] for e in group["endings"]]
    return {word.casefold() for word in [*data["identity"], *forms]}


def pieces(text: str) -> list[str]:
    """The casefolded words of a text; marks that belong to a letter stay with it."""
    return re.findall(r"[^\s,.;:!?«»()、。，：“”،؛।]+", text.casefold())


def pattern(code: str, texts) -> re.Pattern:
    """Finds any of `texts`, the longest first, as whole words where the language has spaces."""
    named = "|".join(re.escape(text.casefold()) for text in sorted(texts, key=len, reverse=True))
    if code not in UNSPACED:
        edge = r"[^\s,.;:!?«»()،؛।\"'’-]"
        return re.compile(rf"(?<!{edge})(?:{named})(?!{edge})")
    return re.compile(rf"(?<![ァ-ヴー])(?:{named})(?![ァ-ヴー])|(?:{named})(?<![ァ-ヴー])")


def scripts(text: str) -> set[str]:
    """The scripts of the letters of a text."""
    names = [unicodedata.name(char).split()[0] for char in text if char.isalpha()]
    return {UNICODE.get(name, name) for name in names} - {"KATAKANA-HIRAGANA", "IDEOGRAPHIC"}


def test_the_three_folders_hold_the_same_languages():
    for folder, suffix in (("vocabulary/languages", "json"), ("concept_sets/languages", "json")):
        assert sorted(path.stem for path in (ROOT / folder).glob(f"??.{suffix}")) == CODES
    assert sorted(path.stem for path in (ROOT / "vocabulary/sentences").glob("*.csv")) == CODES


@pytest.mark.parametrize("code", CODES)
def test_the_files_fit_their_schemas_and_are_named_like_their_language(code):
    for schema, data in ((SCHEMA, language(code)), (SETS_SCHEMA, read(f"concept_sets/languages/{code}.json"))):
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
        assert data["language"] == code


@pytest.mark.parametrize(
    "change",
    [
        {"function": []},
        {"function": ["ein", "ein"]},
        {"negations": ["nicht "]},
        {"identity_inflected": [{"stems": ["deutsch"]}]},
        {"everyday": {"food": ["Brot mit Butter und Marmelade und noch mehr Butter"]}},
        {"scripts": ["Klingon"]},
        {"pairs": {"dog": "Hund"}},
        {"version": 0},
        {"surprise": 1},
    ],
    ids=str,
)
def test_schema_refuses_a_malformed_language(change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**language("de"), **change}, SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_its_number_of_words_and_prompts(code):
    data = language(code)
    assert len(data["function"]) >= 280
    assert len(data["negations"]) >= 15
    assert len(data["numbers"]) >= 50
    assert len(identity(code)) >= 300
    assert len([phrase for group in data["everyday"].values() for phrase in group]) >= 1200
    assert len(data["everyday"]["idioms"]) >= 150
    assert 80 <= len(data["prompts"]) <= 150
    assert data["pairs"].keys() == language("de")["pairs"].keys()
    assert len(set(data["pairs"].values())) == len(data["pairs"]) == 40


@pytest.mark.parametrize("code", CODES)
def test_prompts_are_short_and_long(code):
    lengths = sorted(len(text) if code in UNSPACED else 3 * len(text.split()) for text in language(code)["prompts"])
    assert lengths[0] <= 21
    assert lengths[-3] >= 60


@pytest.mark.parametrize("code", CODES)
def test_no_everyday_phrase_and_no_prompt_stands_twice(code):
    data = language(code)
    everyday = [phrase.casefold() for group in data["everyday"].values() for phrase in group]
    prompts = [" ".join(pieces(text)) for text in data["prompts"]]
    for texts in (everyday, prompts):
        assert [text for text, count in collections.Counter(texts).items() if count > 1] == []


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", CONCEPTS)
def test_a_set_has_25_to_80_phrases_and_only_violence_shares_some_with_others(code, name):
    own = [phrase.casefold() for phrase in phrases(code)[name]]
    others = {phrase.casefold() for other in CONCEPTS if other != name for phrase in phrases(code)[other]}
    assert phrases(code).keys() == set(CONCEPTS)
    assert 25 <= len(set(own)) == len(own) <= 80
    assert set(own) & others <= {phrase.casefold() for phrase in phrases(code)["violence"]}
    assert len(set(own) & others) < len(own) / 4


@pytest.mark.parametrize("code", CODES)
def test_no_concept_phrase_is_a_function_word_or_names_who_somebody_is(code):
    function, names = {word.casefold() for word in language(code)["function"]}, identity(code)
    own = [phrase.casefold() for group in phrases(code).values() for phrase in group]
    assert [phrase for phrase in own if phrase in function] == []
    assert [phrase for phrase in own if names & {phrase, *pieces(phrase)}] == []


@pytest.mark.parametrize("code", CODES)
def test_no_everyday_phrase_is_a_concept_phrase_and_only_idioms_hold_one(code):
    own = {phrase.casefold() for group in phrases(code).values() for phrase in group}
    held = pattern(code, own)
    for group, everyday in language(code)["everyday"].items():
        assert {phrase.casefold() for phrase in everyday} & own == set(), group
        if group != "idioms":
            assert [phrase for phrase in everyday if held.search(phrase.casefold())] == [], group


@pytest.mark.parametrize("code", CODES)
def test_no_prompt_names_a_concept_outside_an_idiom(code):
    idioms = re.compile(
        "|".join(re.escape(i.casefold()) for i in sorted(language(code)["everyday"]["idioms"], key=len)[::-1])
    )
    held = pattern(code, [phrase for group in phrases(code).values() for phrase in group])
    plain = {text: idioms.sub("#", text.casefold()) for text in language(code)["prompts"]}
    assert [text for text, rest in plain.items() if held.search(rest)] == []


@pytest.mark.parametrize("code", CODES)
def test_texts_are_in_the_scripts_of_their_language(code):
    """Abbreviations and names are written in Latin letters everywhere: LSD, 85mm, DJ."""
    data, foreign = language(code), []
    texts = [text for field in ("function", "negations", "numbers", "identity", "prompts") for text in data[field]]
    texts += [text for group in (*data["everyday"].values(), *phrases(code).values()) for text in group]
    texts += [*data["pairs"].values(), *(row["text"] for row in sentences(code))]
    for text in texts:
        if not scripts(text) <= {*data["scripts"], "Latin"}:
            foreign.append(text)
    assert foreign == []
    latin_only = [text for text in texts if scripts(text) == {"Latin"}]
    assert "Latin" in data["scripts"] or len(latin_only) < 20


@pytest.mark.parametrize("code", CODES)
def test_no_concept_phrase_and_no_harmful_sentence_speaks_of_minors(code):
    texts = [phrase for group in phrases(code).values() for phrase in group]
    texts += [row["text"] for row in sentences(code) if row["concept"]]
    minors = MINORS[code].split()
    if code in UNSPACED:
        assert [text for text in texts if any(word in text for word in minors)] == []
    else:
        begins = tuple(minors + [f"ال{word}" for word in minors if code == "ar"])
        assert [text for text in texts if any(piece.startswith(begins) for piece in pieces(text))] == []


@pytest.mark.parametrize("code", CODES)
def test_sentences_are_plain_rows_half_of_them_kept(code):
    rows = sentences(code)
    assert list(rows[0]) == COLUMNS
    assert {row["language"] for row in rows} == {code}
    assert len({row["id"] for row in rows}) == len({row["text"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert row["text"] == " ".join(row["text"].split()) != "", row["id"]
        assert row["kind"] in (HARMFUL_KINDS if row["concept"] else HARMLESS_KINDS), row["id"]
    halves = collections.Counter((row["split"], bool(row["concept"])) for row in rows)
    assert halves["dev", True] == halves["held", True] >= 30
    assert halves["dev", False] == halves["held", False] >= 60
    counts = collections.Counter((row["split"], row["concept"]) for row in rows if row["concept"])
    assert {concept for _, concept in counts} == set(CONCEPTS)
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("code", CODES)
def test_triggers_stand_in_harmful_sentences_and_only_there(code):
    for row in sentences(code):
        triggers = row["triggers"].split("|") if row["triggers"] else []
        assert bool(triggers) == bool(row["concept"]), row["id"]
        assert [word for word in triggers if word not in row["text"]] == [], row["id"]
        assert len(set(triggers)) == len(triggers), row["id"]


@pytest.mark.parametrize("code", CODES)
def test_no_sentence_is_what_the_guard_is_calibrated_on(code):
    data = language(code)
    known = {" ".join(pieces(text)) for text in data["prompts"]}
    known |= {phrase.casefold() for group in (*data["everyday"].values(), *phrases(code).values()) for phrase in group}
    assert [row["text"] for row in sentences(code) if " ".join(pieces(row["text"])) in known] == []


@pytest.mark.parametrize("code", CODES)
def test_the_words_of_the_identity_prompts_are_known(code):
    prompts = read("tests/assets/identity_prompts.json")["prompts"][code]
    named = {word.casefold() for text in prompts for word in re.findall(r"\[(.+?)\]", text)}
    assert len(prompts) >= 15
    assert len(named) >= 15
    assert named - identity(code) == set()
