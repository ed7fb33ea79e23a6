"""The gate before a queue of ComfyUI's own: what becomes of items, and of a server in which it has no place."""

from __future__ import annotations

import contextvars
import copy
import math
from types import SimpleNamespace

import pytest

from dev.graphs import Run, guarded, node, unguarded

POLICY = {"policies": {"public": {"trust": "strangers", "concept_sets": ["weapons"]}}, "everyone_else": "public"}


def item(graph: dict, number: float = 7) -> tuple:
    return (number, "id", graph, {"client_id": "x"}, ["save"], {})


def test_without_a_file_nothing_is_touched(stand, server):
    put = server.prompt_queue.put
    stand(None)
    assert server.prompt_queue.put == put
    assert server.app.middlewares == []


def test_the_queue_takes_what_passes_with_stricter_settings(stand, server):
    stand()
    graph = guarded(Run("a cat and a pistol"))
    graph["sampler"]["inputs"] |= {"negatives": "subtracting", "on_problem": "warn"}
    before = copy.deepcopy(graph)
    server.prompt_queue.put(item(graph))
    ((number, name, queued, *rest),) = server.prompt_queue.queue
    assert (number, name, rest) == (7, "id", [{"client_id": "x"}, ["save"], {}])
    assert graph == before
    before["sampler"]["inputs"] |= {"negatives": "cleaned", "on_problem": "error"}
    assert queued == before


def test_a_negative_that_has_to_be_guarded_stays_so(stand, server):
    stand()
    graph = guarded(Run("a cat"))
    graph["sampler"]["inputs"]["negatives"] = "guarded"
    server.prompt_queue.put(item(graph))
    assert server.prompt_queue.queue[0][2]["sampler"]["inputs"]["negatives"] == "guarded"


@pytest.mark.parametrize("number", [-1, -math.inf, math.inf, math.nan, 1e9])
def test_a_stranger_has_no_place_before_or_behind_others(stand, server, number):
    stand()
    server.prompt_queue.put(item(guarded(Run("a cat")), number))
    assert server.prompt_queue.queue[0][0] == server.number


@pytest.mark.parametrize(
    "graph",
    [
        unguarded(Run("a cat")),
        guarded(Run("a cat")) | {"more": node("NoSuchNode")},
        {"nodes": [], "links": []},
        {},
        [],
        None,
        {"1": None},
    ],
)
def test_what_does_not_pass_is_not_queued(pack, stand, server, graph):
    stand()
    with pytest.raises(pack.host.gate.door.Refused) as refusal:
        server.prompt_queue.put(item(graph))
    assert refusal.value.status == 400
    assert server.prompt_queue.queue == []


def test_with_warn_it_is_queued_and_logged(stand, server, caplog):
    policy = copy.deepcopy(POLICY)
    policy["policies"]["public"]["on_problem"] = "warn"
    stand(policy)
    server.prompt_queue.put(item(unguarded(Run("a cat"))))
    assert len(server.prompt_queue.queue) == 1
    assert "without the guard" in caplog.text


def test_nobody_may_be_allowed_anything(pack, stand, server):
    stand(POLICY | {"everyone_else": None})
    with pytest.raises(pack.host.gate.door.Refused) as refusal:
        server.prompt_queue.put(item(guarded(Run("a cat"))))
    assert (refusal.value.status, str(refusal.value)) == (403, "Forbidden.")


@pytest.mark.fault("a ComfyUI in which there is no place for the gate", "every prompt is refused, or ComfyUI ends")
def test_where_the_gate_has_no_place_no_prompt_is_queued(pack, stand, server):
    del server.app
    stand()
    for graph in (guarded(Run("a cat")), unguarded(Run("a cat"))):
        with pytest.raises(pack.host.gate.door.Refused, match="no place for the gate"):
            server.prompt_queue.put(item(graph))
    assert server.prompt_queue.queue == []
    del server.prompt_queue
    with pytest.raises(SystemExit, match="no place for the gate"):
        stand()


def test_a_started_server_has_no_place_for_it_either(pack, stand, server):
    def frozen(_):
        raise RuntimeError("Cannot modify frozen list.")

    server.app.middlewares = SimpleNamespace(append=frozen)
    stand()
    with pytest.raises(pack.host.gate.door.Refused, match="frozen list"):
        server.prompt_queue.put(item(guarded(Run("a cat"))))


def test_a_damaged_file_closes_the_queue(pack, stand, server):
    stand("{")
    with pytest.raises(pack.host.gate.door.Refused, match="line 1") as refusal:
        server.prompt_queue.put(item(guarded(Run("a cat"))))
    assert refusal.value.status == 503


@pytest.mark.fault("a stranger's prompt in a language that nobody checks", "it is not drawn")
@pytest.mark.parametrize(
    ("terms", "refused"),
    [
        ({"trust": "strangers"}, True),
        ({"trust": "strangers", "unchecked_languages": "report"}, False),
        ({"trust": "own"}, False),
        ({"trust": "own", "unchecked_languages": "refuse"}, True),
        ({"trust": "all"}, False),
    ],
)
def test_a_prompt_runs_under_what_its_senders_policy_says_of_unchecked_languages(
    pack, clip, weapons, stand, server, terms, refused
):
    guard, settings = pack.host.prompt.guard, pack.host.prompt.findings.Settings()

    def runs() -> None:
        server.prompt_queue.get(timeout=1)
        assert not guard.guard_prompt(clip, "a cat", (weapons,), settings).flagged
        if refused:
            with pytest.raises(pack.safree.SafreeError, match="Thai, which was not checked"):
                guard.guard_prompt(clip, "ภาพแมวนั่งอยู่บนเรือ", (weapons,), settings)
        else:
            assert guard.guard_prompt(clip, "ภาพแมวนั่งอยู่บนเรือ", (weapons,), settings).unchecked == ("Thai",)

    stand(POLICY | {"policies": {"public": {"concept_sets": ["weapons"]} | terms}})
    server.prompt_queue.put(item(guarded(Run("a cat"))))
    contextvars.copy_context().run(runs)  # as in the thread that runs prompts
