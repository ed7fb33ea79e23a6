"""Kept embeddings of one text encoder: which encoder they belong to, what is kept where, and what a fault leaves."""

from __future__ import annotations

import collections
import os
import weakref

import pytest
import tiny_families
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tracing import encode

WORDS = "apple banana cherry date elder fig grape hazel".split()  # noqa: SIM905


@pytest.fixture
def fresh(pack, monkeypatch, tmp_path):
    """No encoder is known yet, and an empty folder to keep embeddings in; a function that forgets all but the files."""
    module = pack.host.text.embeddings
    monkeypatch.setattr(pack.host.folders, "calibration", lambda: tmp_path)

    def forget() -> None:
        monkeypatch.setattr(module, "_stores", [])
        monkeypatch.setattr(module, "_of_clips", weakref.WeakKeyDictionary())

    forget()
    return forget


@pytest.fixture
def encoder(pack, clip):
    return pack.host.text.encoders.encoders(clip)[0]


@pytest.fixture
def rows_of(pack, clip, encoder):
    """A function: texts as rows of the encoder."""
    return lambda texts: [encoder.row(pack.host.prompt.calibration.words_of(encoder, text)) for text in texts]


@pytest.fixture
def calls(pack, monkeypatch):
    """Rows of each call of a text encoder that the guard makes itself."""
    made, run = [], pack.host.text.encoding._states

    def counted(model, tokens):
        made.append(len(tokens))
        return run(model, tokens)

    monkeypatch.setattr(pack.host.text.encoding, "_states", counted)
    return made


def store_of(pack, clip):
    return pack.host.text.embeddings.embeddings_of(pack.host.text.encoders.encoders(clip)[0])


def test_no_text_is_encoded_twice(pack, fresh, clip, encoder, rows_of, calls):
    store = store_of(pack, clip)
    first = store.embed(encoder, rows_of(WORDS))
    calls.clear()
    assert torch.equal(store.embed(encoder, rows_of([*WORDS[::-1], *WORDS])), torch.cat([first.flip(0), first]))
    assert calls == []


def test_only_what_is_not_kept_yet_is_encoded(pack, fresh, clip, encoder, rows_of, calls):
    store = store_of(pack, clip)
    store.embed(encoder, rows_of(WORDS[:5]))
    calls.clear()
    store.embed(encoder, rows_of(WORDS))
    assert calls == [len(WORDS) - 5]


def test_kept_embeddings_are_those_of_the_encoder_up_to_half_precision(pack, fresh, clip, encoder, rows_of):
    kept = store_of(pack, clip).embed(encoder, rows_of(WORDS))
    torch.testing.assert_close(
        kept, pack.host.text.encoding.encode_pooled(encoder, rows_of(WORDS)), atol=2e-3, rtol=2e-3
    )


def test_the_least_recently_used_go_first_when_the_store_is_full(pack, fresh, clip, encoder, rows_of, calls):
    store = pack.host.text.embeddings.Embeddings("l", store_of(pack, clip).probes, capacity=4)
    first = store.embed(encoder, rows_of(WORDS[:4]))
    store.embed(encoder, rows_of(WORDS[:1]))
    store.embed(encoder, rows_of(WORDS[4:6]))
    assert len(store) == 4
    calls.clear()
    again = store.embed(encoder, rows_of(WORDS[:1]))
    assert calls == []
    assert torch.equal(again, first[:1])
    store.embed(encoder, rows_of(WORDS[1:2]))
    assert calls == [1]


def test_more_texts_at_once_than_the_store_holds_are_all_embedded(pack, fresh, clip, encoder, rows_of):
    store = pack.host.text.embeddings.Embeddings("l", store_of(pack, clip).probes, capacity=2)
    assert torch.equal(store.embed(encoder, rows_of(WORDS)), store_of(pack, clip).embed(encoder, rows_of(WORDS)))
    assert len(store) == 2


def test_two_encoders_have_a_store_each_whose_embeddings_are_not_mixed_up(pack, fresh, clip, encoder, rows_of):
    other = tiny_families.FAMILIES["SDXL"].text.clip()
    own = pack.host.text.encoders.encoders(other)[0]
    assert (own.key, encoder.key) == ("l", "l")
    one, two = store_of(pack, clip), store_of(pack, other)
    assert one is not two
    assert not torch.allclose(one.embed(encoder, rows_of(WORDS)), two.embed(own, rows_of(WORDS)), atol=1e-2)
    assert store_of(pack, clip) is one
    assert store_of(pack, other) is two


def test_a_lora_on_the_text_encoder_has_a_store_of_its_own(pack, fresh, clip):
    name = next(n for n in clip.cond_stage_model.state_dict() if n.endswith("layers.0.self_attn.v_proj.weight"))
    changed = clip.clone()
    assert changed.add_patches({name: ("diff", (0.2 * torch.randn(768, 768),))}, 1.0)
    one, two = store_of(pack, clip), store_of(pack, changed)
    assert one is not two
    assert not one.same(two.probes, one.table)
    assert store_of(pack, clip) is one


@pytest.mark.fault(
    "an encoder that differs from a known one in a few words", "nothing that is kept of the other counts"
)
def test_an_encoder_with_three_other_rows_in_its_token_table_has_a_store_of_its_own(
    pack, fresh, clip, encoder, rows_of, comfy_nodes
):
    other = tiny_families.FAMILIES["SD1.x"].text.clip()
    first, second = (
        pack.host.text.encoders.encoders(one)[0] for one in (other, tiny_families.FAMILIES["SD1.x"].text.clip())
    )
    with torch.no_grad():
        second.model.load_state_dict(first.model.state_dict())
        ids = [row.tokens[row.first] for row in rows_of(["pistol", "grape", "elder"])]
        second.table[ids] += 1.0
    one, two = store_of(pack, other), store_of(pack, second.clip)
    torch.testing.assert_close(one.probes, two.probes)
    assert one is not two
    one.embed(first, rows_of(WORDS))
    one.save()
    fresh()
    assert len(store_of(pack, second.clip)) == 0
    assert len(store_of(pack, other)) == len(WORDS)


def test_the_same_weights_loaded_twice_share_a_store(pack, fresh):
    one, two = (tiny_families.FAMILIES["SD1.x"].text.clip() for _ in range(2))
    two.cond_stage_model.load_state_dict(one.cond_stage_model.state_dict())
    assert store_of(pack, one) is store_of(pack, two)


@pytest.mark.fault(
    "a LoRA that changes rows of the token table", "what is kept counts for it alone, and not after a restart"
)
def test_a_lora_on_the_token_table_is_believed_nothing(pack, fresh, clip, rows_of, tmp_path):
    name = next(n for n in clip.cond_stage_model.state_dict() if n.endswith("token_embedding.weight"))
    changed = clip.clone()
    assert changed.add_patches({name: ("diff", (torch.zeros(clip.cond_stage_model.state_dict()[name].shape),))}, 1.0)
    one, two = store_of(pack, clip), store_of(pack, changed)
    assert one is not two
    two.embed(pack.host.text.encoders.encoders(changed)[0], rows_of(WORDS))
    two.save()
    assert list(tmp_path.iterdir()) == []


def test_a_clone_with_equal_weights_shares_the_store(pack, fresh, clip, calls):
    one = store_of(pack, clip)
    calls.clear()
    assert store_of(pack, clip.clone()) is one
    assert calls == []


def test_clip_skip_has_a_store_of_its_own(pack, fresh, comfy_nodes):
    clip = tiny_families.FAMILIES["SD1.x"].text.clip()
    (skipping,) = comfy_nodes.CLIPSetLastLayer().set_last_layer(clip, -2)
    assert store_of(pack, clip) is not store_of(pack, skipping)


def test_a_restart_finds_what_is_on_disk(pack, fresh, clip, encoder, rows_of, calls):
    store = store_of(pack, clip)
    first = store.embed(encoder, rows_of(WORDS))
    store.save()
    fresh()
    calls.clear()
    again = store_of(pack, clip)
    assert again is not store
    assert torch.equal(again.embed(encoder, rows_of(WORDS)), first)
    assert sum(calls) <= len(pack.host.text.embeddings.PROBES)


def test_the_file_holds_no_text(pack, fresh, clip, encoder, rows_of, tmp_path):
    store = store_of(pack, clip)
    store.embed(encoder, rows_of(WORDS))
    store.save()
    (path,) = tmp_path.iterdir()
    data = path.read_bytes().lower()
    assert not [word for word in (*WORDS, "photo") if len(word) > 4 and word.encode() in data]


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no safetensors file"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "another format": lambda path: save_file(load_file(path), path, metadata={"format": "other-1"}),
    "no format": lambda path: save_file(load_file(path), path),
    "a tensor missing": lambda path: change(path, values=None),
    "another number of values": lambda path: change(path, values=lambda t: t[:-1]),
    "another width": lambda path: change(path, values=lambda t: t[:, :-1].contiguous()),
    "another precision": lambda path: change(path, values=lambda t: t.float()),
    "NaN": lambda path: change(path, values=lambda t: t * float("nan")),
    "infinity": lambda path: change(path, scales=lambda t: t / 0),
    "probes of one dimension": lambda path: change(path, probes=lambda t: t[0].clone()),
}


def change(path, **changes) -> None:
    tensors = load_file(path)
    for name, how in changes.items():
        value = tensors.pop(name)
        if how:
            tensors[name] = how(value)
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
    save_file(tensors, path, metadata=header)


@pytest.mark.fault("a damaged or foreign calibration file", "a line in the log, and it is made anew")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_in_the_log_and_made_anew(
    pack, fresh, clip, encoder, rows_of, tmp_path, caplog, damage
):
    store = store_of(pack, clip)
    first = store.embed(encoder, rows_of(WORDS))
    store.save()
    (path,) = tmp_path.iterdir()
    damage(path)
    fresh()
    again = store_of(pack, clip)
    assert len(again) == 0
    assert path.name in caplog.text
    assert "damaged or foreign" in caplog.text
    assert torch.equal(again.embed(encoder, rows_of(WORDS)), first)
    again.save()
    fresh()
    assert len(store_of(pack, clip)) == len(WORDS)


def test_a_file_of_another_encoder_is_not_used(pack, fresh, clip, encoder, rows_of, tmp_path):
    store = store_of(pack, clip)
    store.embed(encoder, rows_of(WORDS))
    store.save()
    (path,) = tmp_path.iterdir()
    change(path, probes=lambda t: t.flip(1).contiguous())
    fresh()
    assert len(store_of(pack, clip)) == 0


@pytest.mark.fault("a full disk or an interrupt while a calibration is written", "the old file stays, no partial one")
@pytest.mark.parametrize("fault", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_fault_while_writing_leaves_the_old_file_and_no_partial_one(
    pack, fresh, clip, encoder, rows_of, tmp_path, monkeypatch, caplog, fault
):
    store = store_of(pack, clip)
    store.embed(encoder, rows_of(WORDS[:2]))
    store.save()
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    store.embed(encoder, rows_of(WORDS))

    def fails(*_):
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fails)
        if isinstance(fault, OSError):
            store.save()
            assert "could not be written" in caplog.text
        else:
            with pytest.raises(KeyboardInterrupt):
                store.save()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.fault("a folder that calibrations cannot be written to", "a warning, the guard works on")
def test_a_folder_that_cannot_be_written_costs_a_warning(
    pack, fresh, clip, encoder, rows_of, tmp_path, monkeypatch, caplog
):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setattr(pack.host.folders, "calibration", lambda: blocked / "folder")
    store = store_of(pack, clip)
    found = store.embed(encoder, rows_of(WORDS))
    store.save()
    assert torch.isfinite(found).all()
    assert "could not be written" in caplog.text
    assert len(store) == len(WORDS)


@pytest.fixture
def interrupted(pack, monkeypatch):
    """Cancel is pressed while the guard's first call of the text encoder runs; the calls made are returned."""
    import comfy.model_management

    made, run = [], pack.host.text.encoding._states

    def pressed(model, tokens):
        made.append(len(tokens))
        comfy.model_management.interrupt_current_processing(True)
        return run(model, tokens)

    monkeypatch.setattr(pack.host.text.encoding, "_states", pressed)
    yield made
    comfy.model_management.interrupt_current_processing(False)


@pytest.mark.fault("Cancel while words are encoded", "it ends after the call that runs, nothing half made is kept")
def test_cancel_is_obeyed_between_calls_and_keeps_nothing_half_made(
    pack, fresh, clip, encoder, rows_of, interrupted, monkeypatch
):
    import comfy.model_management

    store = pack.host.text.embeddings.Embeddings("l", torch.ones(3, 768))
    many = [f"{one} {other} {n}" for one in WORDS for other in WORDS for n in range(10)]
    before = encode(clip, "a cat")[0][0]
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        store.embed(encoder, rows_of(many))
    assert len(interrupted) == 1
    assert len(store) == 0
    monkeypatch.undo()
    comfy.model_management.interrupt_current_processing(False)
    assert torch.equal(encode(clip, "a cat")[0][0], before)
    assert store.embed(encoder, rows_of(WORDS)).shape == (len(WORDS), 768)


def test_20000_characters_end_soon_after_cancel(pack, clip, weapons, interrupted):
    import comfy.model_management

    text = " ".join(f"word{n}" for n in range(2000))[:20_000]
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        pack.host.prompt.guard.guard_prompt(clip, text, (weapons,), pack.host.prompt.findings.Settings())
    assert len(interrupted) == 1


def test_cold_and_warm_give_the_same_scores(pack, clip, weapons, monkeypatch):
    def report() -> dict:
        return pack.host.prompt.guard.guard_prompt(
            clip, "a cat and a pistol", (weapons,), pack.host.prompt.findings.Settings()
        ).report()

    warm, store = report(), store_of(pack, clip)
    monkeypatch.setattr(store, "_kept", collections.OrderedDict())
    monkeypatch.setattr(store, "save", lambda: None)  # what is on disk stays
    cold = report()
    assert cold == warm == report()
