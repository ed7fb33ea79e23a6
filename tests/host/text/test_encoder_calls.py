"""What guarding costs, counted: rows and calls of the text encoder beside the host's own encoding of the prompt."""

from __future__ import annotations

import collections
import itertools

import pytest
import torch

from bench.cost import overhead

HARMLESS_20 = "a wolf near a robot on a yellow background with a red rocket and one corn next to the turtle"
FLAGGED_20 = HARMLESS_20.replace("robot", "pistol")


@pytest.fixture(scope="module")
def harmless_300(pack):
    """300 words, marks among them, of shipped harmless prompts, one after the other; the test encoder knows few."""
    words = itertools.chain(
        *(pack.safree.plan.pieces(prompt) for prompt in pack.host.data.vocabulary.load().prompts[::7])
    )
    return " ".join(itertools.islice(words, 300))


@pytest.fixture
def cost(pack, clip, weapons, monkeypatch):
    """(rows, calls, flagged words) that guarding adds to a prompt's own encoding; cold: its words are new."""
    made, run = [], pack.host.text.encoding._states
    (encoder,) = pack.host.text.encoders.encoders(clip)
    store = pack.host.text.embeddings.embeddings_of(encoder)
    monkeypatch.setattr(store, "save", lambda: None)  # what is on disk stays

    def counted(model, tokens):
        made.append(len(tokens))
        return run(model, tokens)

    def cost(text: str, subspaces=(weapons,), cold: bool = False) -> tuple[int, int, int]:
        def guard() -> dict:
            settings = pack.host.prompt.findings.Settings()
            return pack.host.prompt.guard.guard_prompt(clip, text, tuple(subspaces), settings).report()

        guard()
        with monkeypatch.context() as patched:
            if cold:
                patched.setattr(store, "_kept", collections.OrderedDict())
            patched.setattr(pack.host.text.encoding, "_states", counted)
            made.clear()
            flagged = guard()["flagged"]
        return sum(made), len(made), flagged

    return cost


@pytest.mark.parametrize(
    ("words", "cold", "rows", "calls"),
    [(20, False, 0, 0), (20, True, 24, 1), (75, False, 1, 1), (300, False, 8, 1), (300, True, 200, 3)],
)
def test_a_harmless_prompt_costs_few_rows_in_few_calls(cost, words, cold, rows, calls):
    """One call, and up to four rows, are the prompt's own encoding and come on top."""
    used, made, flagged = cost(HARMLESS_20 if words == 20 else overhead.harmless(words), cold=cold)
    assert flagged == 0
    assert used <= rows
    assert made <= calls


def test_one_flagged_word_adds_two_calls_at_most(cost):
    _, harmless, none = cost(HARMLESS_20)
    _, calls, flagged = cost(FLAGGED_20)
    assert (none, flagged) == (0, 1)
    assert calls <= harmless + 2


@pytest.mark.parametrize("cold", [False, True])
def test_five_concepts_encode_no_more_rows_than_one(pack, cost, clip, weapons, cold):
    others = [
        pack.host.prompt.subspaces.build_subspace(clip, name, (name,)) for name in ("apple", "guitar", "boat", "pizza")
    ]
    assert cost(HARMLESS_20, (weapons, *others), cold)[:2] == cost(HARMLESS_20, cold=cold)[:2]


def test_memory_of_a_long_prompt_is_bounded_by_the_budget_of_a_call(pack, clip, weapons, harmless_300, monkeypatch):
    """No call holds more tokens, padding included, than the budget; the states of a call are what memory goes to."""
    sizes, run = [], pack.host.text.encoding._states

    def measured(model, tokens):
        sizes.append(len(tokens) * len(tokens[0]))
        return run(model, tokens)

    monkeypatch.setattr(pack.host.text.encoding, "_states", measured)
    monkeypatch.setattr(pack.host.text.encoding, "CPU_TOKENS", 512)  # so that the prompt needs several calls
    text = " ".join([f"({harmless_300}:1.1)"] * 3)  # with weights the host's own encoding clears no window
    pack.host.prompt.guard.guard_prompt(clip, text, (weapons,), pack.host.prompt.findings.Settings())
    assert len(sizes) > 2
    assert max(sizes) <= pack.host.text.encoding.CPU_TOKENS


@pytest.mark.parametrize(
    ("weights", "tokens"), [(10**6, 2048), (85 * 10**6, 2048), (250 * 10**6, 800), (5 * 10**9, 512)]
)
def test_on_a_cpu_a_call_of_a_large_encoder_holds_fewer_tokens(pack, monkeypatch, weights, tokens, clip):
    encoding = pack.host.text.encoding
    monkeypatch.setattr(encoding, "size", lambda encoder: weights)
    encoder = pack.host.text.encoders.encoders(clip)[0]
    assert encoding._budget(encoder) == tokens
    monkeypatch.setattr(clip.patcher, "load_device", torch.device("cuda"))
    assert encoding._budget(encoder) == encoding.DEVICE_TOKENS
