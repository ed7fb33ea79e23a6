"""The mark on guarded conditioning: what it recognises, what it knows, and what it never does."""

from __future__ import annotations

import copy
import gc
import time
import weakref

import pytest
import torch

WEAPONS, NUDITY = {"weapons": "a1"}, {"nudity": "b2"}


@pytest.fixture
def marks(pack):
    return pack.host.conditioning.marks


@pytest.fixture
def entries():
    """New CONDITIONING of random numbers, [1, tokens, 8] and a pooled output."""
    return lambda tokens=7: [[torch.randn(1, tokens, 8), {"pooled_output": torch.randn(1, 8)}]]


@pytest.fixture
def guarded(pack, entries):
    return lambda concepts=WEAPONS, tokens=7: pack.host.conditioning.entries.mark(entries(tokens), "clear", concepts)


def concat(nodes, *parts):
    joined = parts[0]
    for part in parts[1:]:
        (joined,) = nodes.ConditioningConcat().concat(joined, part)
    return joined


def against(marks, conditioning):
    (tensor, options), *_ = conditioning
    return marks.checked_against(tensor, options)


def test_concatenated_guarded_prompts_are_known_when_every_cache_has_forgotten_the_parts(comfy_nodes, marks, guarded):
    parts = [guarded(tokens=tokens) for tokens in (7, 3, 7)]
    joined = concat(comfy_nodes, *parts)
    del parts
    gc.collect()
    assert against(marks, joined) == WEAPONS
    assert against(marks, concat(comfy_nodes, guarded(), joined)) == WEAPONS


def test_a_part_that_the_guard_has_not_seen_is_not_known(comfy_nodes, marks, guarded, entries):
    assert against(marks, concat(comfy_nodes, guarded(), entries())) is None
    assert against(marks, concat(comfy_nodes, guarded(), guarded(), entries(1), guarded())) is None
    cut = [[guarded()[0][0][:, 1:], {}]]
    assert against(marks, concat(comfy_nodes, guarded(), cut)) is None


def test_a_long_prompt_that_begins_like_a_short_one_is_known_beside_it(comfy_nodes, pack, marks, guarded, entries):
    short = guarded(tokens=4)
    long = pack.host.conditioning.entries.mark([[torch.cat([short[0][0], entries(4)[0][0]], 1), {}]], "clear", WEAPONS)
    assert against(marks, concat(comfy_nodes, guarded(), long)) == WEAPONS


def test_it_knows_what_each_part_was_checked_against(comfy_nodes, marks, guarded):
    both = {**WEAPONS, **NUDITY}
    assert against(marks, guarded(both)) == both
    assert against(marks, concat(comfy_nodes, guarded(both), guarded(WEAPONS))) == WEAPONS
    assert against(marks, concat(comfy_nodes, guarded(WEAPONS), guarded(NUDITY))) == {}


def test_what_was_checked_twice_is_known_for_both(comfy_nodes, pack, marks, guarded, entries):
    again = entries()
    for concepts in (WEAPONS, NUDITY):
        pack.host.conditioning.entries.mark(again, "clear", concepts)
    assert against(marks, concat(comfy_nodes, guarded(WEAPONS), again)) == WEAPONS
    assert against(marks, concat(comfy_nodes, guarded(NUDITY), again)) == NUDITY


def test_two_subspaces_of_one_name_are_told_apart(pack, clip, weapons):
    other = pack.host.prompt.subspaces.build_subspace(clip, "weapons", ("pistol",))
    own, again, others = (pack.host.conditioning.marks.fingerprints((s,))["weapons"] for s in (weapons, weapons, other))
    assert own == again != others


def test_what_a_node_changes_is_no_longer_intact(comfy_nodes, marks, guarded):
    for change in (
        lambda tensor, options: [tensor * 1.001, options],
        lambda tensor, options: [tensor[:, :-1], options],
        lambda tensor, options: [tensor.repeat(2, 1, 1), options],
        lambda tensor, options: [tensor, {**options, "pooled_output": options["pooled_output"] + 1e-3}],
        lambda tensor, options: [tensor, {key: v for key, v in options.items() if key != "pooled_output"}],
        lambda tensor, options: [tensor.flip(1), options],
        lambda tensor, options: [tensor.add_(1), options],  # in place
    ):
        assert against(marks, [change(*guarded()[0])]) is None
    assert marks.intact(*comfy_nodes.ConditioningZeroOut().zero_out(guarded())[0][0])
    assert against(marks, copy.deepcopy(guarded())) == WEAPONS


def test_it_survives_torch_save_with_weights_only(pack, marks, entries, tmp_path):
    conditioning = pack.host.conditioning.entries.guarded(entries(), entries(), 0.4, 20.0, WEAPONS)
    torch.save(conditioning, tmp_path / "conditioning.pt")
    loaded = torch.load(tmp_path / "conditioning.pt", weights_only=True)
    assert [marks.role(options) for _, options in loaded] == ["filtered", "original"]
    assert all(marks.checked_against(tensor, options) == WEAPONS for tensor, options in loaded)
    assert torch.equal(marks.read(loaded[0][1]).original[0], conditioning[1][0])


def test_it_keeps_no_tensor_alive(pack, entries, marks):
    conditioning = pack.host.conditioning.entries.guarded(entries(), entries(), 0.4, 20.0, WEAPONS)
    kept = [weakref.ref(tensor) for tensor, _ in conditioning]
    kept += [weakref.ref(options["pooled_output"]) for _, options in conditioning]
    against(marks, conditioning)
    del conditioning
    gc.collect()
    assert [reference() for reference in kept] == [None] * 4


def test_the_time_for_a_prompt_does_not_grow_with_the_prompts_before(comfy_nodes, marks, guarded):
    joined = concat(comfy_nodes, guarded(), guarded(), guarded())

    def seconds():
        return min(_timed(lambda: against(marks, joined)) for _ in range(20))

    before = seconds()
    for _ in range(5_000):
        guarded(tokens=2)
    assert seconds() < 5 * before


def _timed(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_no_more_digests_are_remembered_than_it_says(marks, guarded, monkeypatch):
    monkeypatch.setattr(marks, "_seen", type(marks._seen)())
    monkeypatch.setattr(marks, "REMEMBERED", 10)
    for _ in range(30):
        guarded(tokens=1)
    assert len(marks._seen) == 10


@pytest.mark.parametrize(
    ("beside", "zero"),
    [
        ({}, True),
        ({"pooled_output": torch.zeros(1, 8)}, True),
        ({"pooled_output": torch.ones(1, 8)}, False),
        ({"conditioning_llama3": torch.ones(1, 1, 7, 8)}, False),
        ({"conditioning_mt5xl": torch.ones(1, 7, 8)}, False),
        ({"conditioning_of_a_newer_model": torch.ones(1, 7, 8)}, False),
        ({"text_embeds": [torch.zeros(1, 8), {"more": torch.ones(1, 8)}]}, False),
        ({"cross_attn_controlnet": torch.ones(1, 7, 8)}, False),
        ({"gligen": ("position", None, [(torch.ones(1, 8), 1, 1, 0, 0)])}, False),
        ({"t5xxl_ids": torch.ones(1, 7)}, False),
        ({"concat_latent_image": torch.ones(1, 4, 8, 8), "mask": torch.ones(1, 8, 8)}, True),
        ({"attention_mask": torch.ones(1, 7), "reference_latents": [torch.ones(1, 4, 8, 8)]}, True),
        ({"strength": 1.0, "area": (8, 8, 0, 0), "start_percent": 0.5}, True),
    ],
)
def test_zero_is_every_tensor_that_could_say_a_prompt(marks, beside, zero):
    """ConditioningZeroOut leaves the states of further encoders as they are; pictures and places say no prompt."""
    assert marks.is_zero(torch.zeros(1, 7, 8), beside) == zero
    assert not marks.is_zero(torch.ones(1, 7, 8), beside)
