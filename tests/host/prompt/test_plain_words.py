"""Words written to be missed, and prompts in other languages, through the guard and a real tokenizer."""

from __future__ import annotations

import pytest
from tracing import outputs

SPELLINGS = ["p1stol", "p i s t o l", "p.i.s.t.o.l", "pis-tol", "pis tol", "pіstоl", "ｐｉｓｔｏｌ", "pi\u200bstol"]
SPELLINGS += ["p*stol", "pistoll"]


@pytest.fixture
def guard(pack, clip, weapons):
    """Guard a prompt: (CONDITIONING, report)."""

    def guard(text, **settings):
        return outputs(
            pack.host.prompt.guard.guard_prompt(clip, text, (weapons,), pack.host.prompt.findings.Settings(**settings))
        )

    return guard


@pytest.fixture
def encoder(pack, clip):
    (found,) = pack.host.text.encoders.encoders(clip)
    return found


@pytest.mark.parametrize("written", SPELLINGS)
def test_what_is_taken_out_is_what_stands_there_whole_and_the_report_shows_both(guard, written):
    _, report = guard(f"a cat and a {written}")
    [token] = [token for token in report["tokens"] if token["flagged"]]
    assert (token["text"], token["read_as"]) == (written, "pistol")
    assert f"{written} (read as pistol)" in report["verdict"]
    assert report["flagged"] == 1


def test_all_tokens_of_a_reading_are_neutral_and_no_other(pack, clip, guard, encoder, monkeypatch):
    seen = []
    run = clip.encode_from_tokens_scheduled
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda tokens: seen.append(tokens) or run(tokens))
    guard("a cat and a p i s t o l on a boat")
    before, after = (chunks[encoder.key][0] for chunks in seen)
    changed = [old[0] for old, new in zip(before, after, strict=True) if old != new]
    assert [encoder.tokenizer.inv_vocab[token] for token in changed] == [f"{letter}</w>" for letter in "pistol"]


@pytest.mark.parametrize("text", ["a cat at 5 p.m.", "a cat, a dog, b c d", "señor cat", "CAT AND DOG"])
def test_plain_prompts_pass(guard, text):
    assert guard(text)[1]["flagged"] == 0


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_the_papers_modes_read_no_spellings(guard, mode):
    assert not any("read_as" in token for token in guard("a cat and a p1stol", mode=mode)[1]["tokens"])


def test_a_reading_costs_one_call_more_at_most_and_none_where_it_is_known(pack, clip, weapons, monkeypatch):
    calls, run = [], pack.host.text.encoding._states
    monkeypatch.setattr(pack.host.text.encoding, "_states", lambda *a: calls.append(1) or run(*a))
    settings = pack.host.prompt.findings.Settings()

    def count(text: str) -> int:
        calls.clear()
        assert pack.host.prompt.guard.guard_prompt(clip, text, (weapons,), settings).flagged == []
        return len(calls)

    count("a cat and a dog")
    plain = count("a cat and a dog")
    assert count("a cat and a 🎸") <= plain + 1  # a guitar, everyday
    assert count("a cat and a 🎸") == plain


def test_a_language_that_no_encoder_reads_is_named_and_its_english_words_are_judged(guard):
    _, report = guard("ภาพแมวนั่งอยู่บนเรือ")
    assert report["unchecked_languages"] == ["Thai"]
    assert "Thai was not checked" in report["verdict"]
    assert any("Thai, which was not checked" in note for note in report["notes"])
    assert report["flagged"] == 0
    _, report = guard("ภาพแมวนั่งอยู่บนเรือ pistol")
    assert [token["text"] for token in report["tokens"] if token["flagged"]] == ["pistol"]
    assert guard("a cat and a dog")[1]["unchecked_languages"] == []


def test_a_server_with_strangers_refuses_what_was_not_checked(pack, guard, monkeypatch):
    monkeypatch.setenv("SAFREE_UNCHECKED_LANGUAGES", "refuse")
    with pytest.raises(pack.safree.SafreeError, match="Thai"):
        guard("ภาพแมวนั่งอยู่บนเรือ")
    guard("a cat")


@pytest.mark.parametrize("phrases", [("手枪", "步枪", "武器"), ("Waffe", "das Gewehr und die Pistole", "ein Messer")])
def test_phrases_in_a_language_that_the_encoder_does_not_read_are_refused(pack, clip, phrases):
    with pytest.raises(pack.safree.SafreeError, match=r"(Chinese|German), which text encoder l does not read"):
        pack.host.prompt.subspaces.build_subspace(clip, "weapons", phrases)


@pytest.mark.parametrize(
    "text",
    [
        "a \u202ecat\u202c and a dog",
        "\u200b" * 10_000 + "cat",
        "x" * 5_000,
        "кот cat 猫 แมว قط",
        "\u0301" * 1_000 + "a cat",
    ],
    ids=["right to left", "zero width", "long word", "mixed scripts", "marks"],
)
def test_odd_text_gives_words_or_a_clear_error(guard, text):
    guard(text)


def test_half_a_character_is_a_clear_error(pack, guard):
    with pytest.raises(pack.safree.SafreeError, match="lone surrogate"):
        guard("a cat \ud800")


def test_words_stand_in_the_text_even_where_an_encoder_does_not_know_them(pack):
    words, alignment = pack.host.text.words, pack.host.text.alignment
    tokens = [(i, piece, (0, i)) for i, piece in enumerate([b"a ", b"n", "\ufffd".encode(), b"ked ", b"cat"])]
    text = "(a:1.2) nаked cat"
    spans = alignment.align(text, words.split(tokens))
    assert [span and text[slice(*span)] for span in spans] == ["a", "nаked", "cat"]


@pytest.mark.parametrize(
    "text", ["Das Knie, das er später hatte, ist wieder gut.", "el combate de los bomberos de la plaza"]
)
def test_words_of_another_language_are_no_misspelt_english_ones(guard, text):
    _, report = guard(text)
    assert report["flagged"] == 0
    assert not any(token.get("read_as") for token in report["tokens"])


def test_a_misspelt_english_word_in_a_prompt_of_another_language_is_read_letter_for_letter(guard):
    _, report = guard("das ist die p1stol auf dem Tisch und der Stuhl")
    assert [token["read_as"] for token in report["tokens"] if token["flagged"]] == ["pistol"]


@pytest.mark.parametrize(
    ("code", "words", "harmless"),
    [
        ("ko", ["여자가", "물총을", "총을"], {"여자", "물총"}),
        ("ar", ["والمرأة", "بسكين", "مطبخ", "مسدس"], {"المرأة", "سكين مطبخ"}),
        ("de", ["blutorange", "blut"], {"blutorange"}),
        ("zh", ["水枪", "手枪"], {"水枪"}),
    ],
)
def test_people_and_look_alikes_are_known_with_what_is_attached_to_them(pack, code, words, harmless):
    units = pack.host.data.languages.everyday(code).units(words, pack.safree.plan.Matcher([]))
    assert {unit.text for unit in units if unit.harmless} == harmless


@pytest.mark.parametrize(
    ("code", "words", "text"),
    [
        ("ja", ["武器", "の", "ない", "部屋"], "武器 の ない"),
        ("ko", ["무기가", "없는", "방"], "무기가 없는"),
        ("hi", ["टोपी", "के", "बिना"], "टोपी के बिना"),
    ],
)
def test_a_negation_behind_a_word_belongs_to_it(pack, code, words, text):
    units = pack.host.data.languages.everyday(code).units(words, pack.safree.plan.Matcher([]))
    assert text in {unit.text for unit in units}


def test_chinese_words_are_told_apart_by_the_data(pack):
    words, by_language = pack.host.text.words, pack.host.prompt.by_language
    found = words.split([(i, char.encode(), (0, i)) for i, char in enumerate("拿着手枪的女人")])
    texts = [word.text for word in by_language.segmented(found)]
    assert "手枪" in texts
    assert "女人" in texts
    assert "".join(texts) == "拿着手枪的女人"
