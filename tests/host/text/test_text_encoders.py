"""Every text encoder that this ComfyUI can load: its words are found and steered, or it is refused with a reason.

A steered row's cells are written into `.comfy/encoder_table.json` by the ComfyUI that ran, for
dev/generate/encoder_table.py.
"""

from __future__ import annotations

import json

import pytest
import tiny_models
import torch
from test_families import equal, guard, letters
from tiny_encoders import REFUSED, STEERED
from tracing import outputs

from dev import setup_host

TABLE = setup_host.WORK / "encoder_table.json"
HARMLESS = 'a dog beside a banana and a horse, a sign "open", ' + "an apple and the moon, " * 8
NOTHING = 0.999  # a threshold that no word reaches

pytestmark = pytest.mark.usefixtures("little_vocabulary")


@pytest.fixture(scope="module")
def results() -> dict:
    """Cells of the rows of this run; a row that runs again replaces what it said before."""
    return {}


@pytest.fixture(scope="module", params=list(STEERED))
def built(request, comfy_nodes, pack, little_vocabulary):
    """(name, row, clip, subspaces) of a text encoder."""
    row = STEERED[request.param]
    clip = row.text.clip()
    encoders = pack.host.text.encoders.encoders(clip)
    assert tuple(encoder.key for encoder in encoders) == row.encoders
    for encoder in encoders:
        tiny_models.plant_words(encoder)
    return request.param, row, clip, (pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",)),)


@pytest.fixture
def record(results):
    def write(name: str, **cells: str) -> None:
        from comfyui_version import __version__

        results.setdefault(name, {}).update(cells)
        known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        known[__version__] = known.get(__version__, {}) | results
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(json.dumps(known, indent=1))

    return write


def test_a_flagged_word_is_neutral_in_all_that_reads_the_prompt(built, pack, record):
    name, row, clip, subspaces = built
    guarded, report, cleaned = guard(pack, clip, row.prompt, subspaces)
    assert "pistol" in report["verdict"]
    whole = clip.tokenize(row.prompt)
    for key in (*row.encoders, *row.followers):
        before, after = (letters(clip, key, tokens[key]) for tokens in (whole, cleaned))
        assert "pistol" in before, key
        assert "pistol" not in after, key
        changed = [a for a, b in zip(whole[key][0], cleaned[key][0], strict=True) if a != b]
        assert 0 < len(letters(clip, key, [changed])) <= len("apistolon"), key  # and hardly anything else
    assert equal(guarded, clip.encode_from_tokens_scheduled(cleaned))
    stock = clip.encode_from_tokens_scheduled(whole)
    assert not torch.equal(guarded[0][0], stock[0][0])
    assert torch.isfinite(guarded[0][0]).all()
    record(
        name,
        encoders=" + ".join(row.encoders),
        followers=", ".join(row.followers),
        steered="yes",
        measured=row.measured,
    )


def test_what_else_the_model_gets_of_the_prompt_is_cleaned(built, pack, record):
    name, row, clip, subspaces = built
    guarded, _, cleaned = guard(pack, clip, row.prompt, subspaces)
    stock, of_cleaned = (clip.encode_from_tokens_scheduled(t) for t in (clip.tokenize(row.prompt), cleaned))
    cells = []
    for key, value in stock[0][1].items():
        if torch.is_tensor(value):
            assert torch.equal(guarded[0][1][key], of_cleaned[0][1][key]), key
            if "mask" not in key and "weights" not in key:
                assert not torch.equal(guarded[0][1][key], value), key
                cells.append(key)
    record(name, extras=", ".join(cells))


def test_what_other_nodes_put_in_its_place_is_noticed(built, pack):
    _, row, clip, subspaces = built
    marks = pack.host.conditioning.marks
    ((tensor, options), *_), _ = outputs(
        pack.host.prompt.guard.guard_prompt(clip, row.prompt, subspaces, pack.host.prompt.findings.Settings())
    )
    stock = clip.encode_from_tokens_scheduled(clip.tokenize(row.prompt))[0][1]
    assert marks.intact(tensor, options)
    zero = torch.zeros_like(tensor)
    for key in ("pooled_output", *marks.others(options)):
        if options.get(key) is not None and options[key].any():
            assert not marks.intact(tensor, {**options, key: stock[key]}), key
            assert not marks.is_zero(zero, {key: stock[key]}), key


def test_half_the_strength_is_half_way_in_all_states(built, pack):
    _, row, clip, subspaces = built
    stock, whole, half = (
        pack.host.prompt.guard.guard_prompt(
            clip, row.prompt, subspaces, pack.host.prompt.findings.Settings(strength=strength)
        ).conditioning[0]
        for strength in (0.0, 1.0, 0.5)
    )
    torch.testing.assert_close(half[0], torch.lerp(stock[0], whole[0], 0.5))
    for key, value in half[1].items():
        if key.startswith("conditioning_"):
            torch.testing.assert_close(value, torch.lerp(stock[1][key], whole[1][key], 0.5))


def test_nothing_flagged_and_strength_0_are_the_stock_encoding(built, pack, record):
    name, row, clip, subspaces = built
    guard_prompt, settings = pack.host.prompt.guard.guard_prompt, pack.host.prompt.findings.Settings
    checked, found = outputs(guard_prompt(clip, HARMLESS, subspaces, settings(threshold=NOTHING)))
    assert found["tokens"]  # it was checked
    assert found["flagged"] == 0
    assert equal(checked, clip.encode_from_tokens_scheduled(clip.tokenize(HARMLESS)))
    off, _ = outputs(guard_prompt(clip, row.prompt, subspaces, settings(strength=0.0)))
    assert equal(off, clip.encode_from_tokens_scheduled(clip.tokenize(row.prompt)))
    record(name, unflagged="bit-identical")


def test_only_the_users_words_are_judged(built, pack):
    """Neither the chat template nor padding is a word, for a short prompt and for none."""
    _, row, clip, subspaces = built
    for text in ("a cat", ""):
        _, report = outputs(
            pack.host.prompt.guard.guard_prompt(clip, text, subspaces, pack.host.prompt.findings.Settings())
        )
        for key in row.encoders:  # a tokenizer may lose the space
            assert "".join(t["text"] for t in report["tokens"] if t["encoder"] == key) == text.replace(" ", ""), key


@pytest.mark.parametrize("name", REFUSED)
def test_an_encoder_that_is_not_steered_is_refused_with_its_reason(comfy_nodes, pack, record, name):
    clip = REFUSED[name].text.clip(random=False)
    with pytest.raises(pack.safree.SafreeError, match=REFUSED[name].refused) as raised:
        pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
    record(name, steered="refused: it " + str(raised.value).partition(": it ")[2].partition(". The guard")[0])


def test_tokens_that_reach_a_model_by_an_unknown_way_are_an_error(comfy_nodes, pack, monkeypatch):
    row = STEERED["Flux, Kontext"]
    clip = row.text.clip()
    tokenize = clip.tokenize
    monkeypatch.setattr(clip, "tokenize", lambda text: {**tokenize(text), "lyrics": [[(1, 1.0)]]})
    subspace = pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
    with pytest.raises(pack.safree.SafreeError, match=r"FluxClipModel.* also reads the prompt as 'lyrics'"):
        pack.host.prompt.guard.guard_prompt(
            clip, "a cat", (subspace,), pack.host.prompt.findings.Settings(strength=0.0)
        )


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_modes_that_edit_in_place_refuse_what_they_do_not_reach(comfy_nodes, pack, mode):
    clip = STEERED["HunyuanImage 2.1"].text.clip()
    subspace = pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
    with pytest.raises(pack.safree.SafreeError, match="does not reach what this model reads as 'byt5'"):
        pack.host.prompt.guard.guard_prompt(
            clip, 'a sign "pistol"', (subspace,), pack.host.prompt.findings.Settings(mode)
        )
