"""Prompts, reports and settings of strangers."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import strategies as st
from strategies import BRACKETS, JSON, NUMBERS, PROMPTS, SCALARS, TEXTS

fault = pytest.mark.fault


@fault("tokens that spell anything, half characters and embeddings included", "every token belongs to one word at most")
def test_any_tokens_are_split_into_words(pack, fuzz):
    words = pack.host.text.words
    piece = st.one_of(st.none(), st.binary(max_size=6), TEXTS.map(lambda t: t.encode("utf-8", "surrogatepass")))

    def check(pieces):
        found = words.split([(n, piece, (0, n)) for n, piece in enumerate(pieces)])
        places = [place for word in found for place in word.places]
        assert places == sorted(set(places))
        assert all(word.text.strip() for word in found)
        spelling = words.Spelling(found)
        for number in range(len(found)):
            assert set(found[number].places) >= spelling.find(spelling, number)

    fuzz(st.lists(piece, max_size=12), 1500, check)


@fault("vocabulary entries of any kind", "they spell some bytes")
def test_any_vocabulary_entry_spells_bytes(pack, fuzz):
    def check(text):
        clean = text.encode("utf-8", "ignore").decode()
        assert isinstance(pack.host.text.words.byte_level(clean), bytes)
        assert isinstance(pack.host.text.words.sentencepiece(clean), bytes)

    fuzz(st.one_of(TEXTS, st.sampled_from(["<0xZZ>", "<0x1G>", "<0x0A>", "</w>", "\u2581"])), 500, check)


@fault("prompts of any characters: controls, half characters, bracket soup", "words, or a clear error")
def test_any_prompt_is_tokenized_into_words_or_refused(pack, clip, attempt, fuzz):
    (encoder,) = pack.host.text.encoders.encoders(clip)

    def check(text):
        tokens, message = attempt(pack.host.text.encoders.tokenize, clip, text)
        if message:
            assert "half a character" in message
            return
        chunks = tokens["l"]
        words = encoder.words(chunks)
        places = {place for word in words for place in word.places}
        users = {(c, i) for c, chunk in enumerate(chunks) for i in range(*encoder.bounds(chunk))}
        assert places <= users
        assert all(not encoder.spell(chunks[c][i][0]).decode().strip() for c, i in users - places)

    fuzz(PROMPTS, 700, check)


@fault("brackets nested thousands deep", "a clear error")
@pytest.mark.parametrize(
    "text", ["(" * 3000 + "gun" + ")" * 3000, "((a:1.1)" * 2000 + ")" * 2000], ids=["plain", "weighted"]
)
def test_deep_brackets_are_refused(pack, clip, text):
    with pytest.raises(pack.safree.SafreeError, match="brackets too deeply"):
        pack.host.text.encoders.tokenize(clip, text)


@pytest.fixture(scope="module")
def pistol(pack, clip):
    return (pack.host.prompt.subspaces.build_subspace(clip, "pistol", ("pistol",)),)


@fault("prompts of any characters, encoded and guarded", "finite conditioning with a report in JSON, or a clear error")
def test_any_prompt_is_guarded_or_refused(pack, clip, pistol, attempt, fuzz):
    def check(text):
        done, message = attempt(
            pack.host.prompt.guard.guard_prompt, clip, text, pistol, pack.host.prompt.findings.Settings()
        )
        if message:
            return
        conditioning, report = done.conditioning, done.report()
        assert all(torch.isfinite(tensor).all() for tensor, _ in conditioning)
        assert json.loads(json.dumps(report, allow_nan=False)) == report

    fuzz(st.one_of(BRACKETS.map(lambda t: t[:30]), TEXTS.map(lambda t: t[:20])), 8, check)


@fault("a prompt of 100,000 characters", "a clear error at once")
def test_an_endless_prompt_is_refused(pack, clip, pistol):
    with pytest.raises(pack.safree.SafreeError, match="100002 characters, more than the 20000 allowed"):
        pack.host.prompt.guard.guard_prompt(clip, "a " * 50_001, pistol, pack.host.prompt.findings.Settings())


@fault("weights of infinity or NaN in a prompt", "a clear error")
@pytest.mark.parametrize("weight", ["inf", "nan"])
def test_a_weight_without_end_is_refused(pack, clip, pistol, weight):
    with pytest.raises(pack.safree.SafreeError, match="NaN or infinity"):
        pack.host.prompt.guard.guard_prompt(
            clip, f"a (cat:{weight}) and a pistol", pistol, pack.host.prompt.findings.Settings()
        )


@fault("NaN, infinity or any number as strength, threshold or scale", "a clear error, never an unchecked prompt")
def test_numbers_outside_their_range_are_refused(pack, fuzz):
    findings, subspace = pack.host.prompt.findings, pack.safree.subspace
    reattention = pack.host.reattention.skip_features

    def check(value):
        for make, most in (
            (lambda: findings.Settings(strength=value), 1),
            (lambda: findings.Settings(threshold=value), 1),
            (lambda: reattention.Settings((0.9, value)), 1),
            (lambda: reattention.Settings((0.9,), value), 1),
            (lambda: subspace.ConceptSubspace("name", ("gun",), {}, value), 2),
        ):
            if 0 <= value <= most:
                make()
            else:
                with pytest.raises(pack.safree.SafreeError, match=f"outside 0 to {most}"):
                    make()

    fuzz(st.one_of(NUMBERS, st.floats(-0.5, 2.5)), 600, check)


TOKEN = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("score", "threshold"), NUMBERS | JSON),
        **dict.fromkeys(("text", "encoder", "concept"), TEXTS | SCALARS),
        "flagged": st.booleans() | SCALARS,
    },
)
REPORT = st.fixed_dictionaries(
    {"verdict": TEXTS | SCALARS, "version": st.sampled_from([1, 2]) | SCALARS},
    optional={
        "tokens": st.lists(TOKEN, max_size=4) | JSON,
        "flagged": NUMBERS | JSON,
        "t_prime": st.dictionaries(st.sampled_from(["share", "steps_of_50"]), NUMBERS) | JSON,
        "notes": st.lists(TEXTS, max_size=4) | JSON,
        "filtered_steps": st.lists(NUMBERS, max_size=4) | JSON,
        "steps": NUMBERS | JSON,
        "state": st.sampled_from(["filtered", "inactive"]) | SCALARS,
    },
)


@fault("a report of any text or JSON at SafetyReportPlot", "a picture of bounded size, or a clear error")
def test_any_report_is_plotted_or_refused(pack, attempt, fuzz):
    def check(text):
        picture, message = attempt(lambda: pack.host.report.report_plot.plot(pack.host.report.report_plot.parse(text)))
        assert message or (picture.shape[0], *picture.shape[2:]) == (1, 768, 3)

    fuzz(st.one_of(REPORT.map(json.dumps), REPORT.map(json.dumps), TEXTS, JSON.map(json.dumps)), 300, check)


def test_a_huge_report_makes_a_picture_of_bounded_size(pack):
    token = {"encoder": "l", "text": "w " * 9999, "score": 1, "threshold": 0.5, "concept": "c" * 9999, "flagged": True}
    report = {"verdict": "v " * 99999, "version": 1, "tokens": [{**token, "encoder": str(n)} for n in range(2000)]}
    report |= {"notes": ["n " * 9999] * 2000, "filtered_steps": [1] * 2000, "steps": 2}
    assert pack.host.report.report_plot.plot(pack.host.report.report_plot.parse(json.dumps(report))).shape[1] < 10_000
