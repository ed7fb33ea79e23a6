"""The negative side in a real server, which here keeps nothing of a node once its outputs were used (--cache-none)."""

from __future__ import annotations

import pytest

from dev.graphs import Run, guarded, node
from dev.server import Server
from headless.client import PromptFailed

RUN = Run("a wolf", steps=3)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, "--disable-metadata", "--cache-none") as server:
        yield server.client()


def with_negative(text: str, cfg: float, by_guard: bool = False, **sampler) -> dict:
    graph = guarded(Run(RUN.prompt, steps=RUN.steps, cfg=cfg))
    graph["negative"] = dict(graph["prompt"]) if by_guard else graph["negative"]
    graph["negative"]["inputs"] = {**graph["negative"]["inputs"], "text": text}
    graph["sampler"]["inputs"].update(sampler)
    return graph


def notes(result) -> str:
    return " ".join(result.outputs["sampler"]["safree_sampling"][0]["notes"])


def test_guarded_prompts_are_concatenated_though_no_cache_holds_them(client):
    graph = guarded(RUN)
    graph["other"] = {**graph["prompt"], "inputs": {**graph["prompt"]["inputs"], "text": "a cat and a pistol"}}
    graph["both"] = node("ConditioningConcat", conditioning_to=["prompt", 0], conditioning_from=["other", 0])
    graph["sampler"]["inputs"]["positive"] = ["both", 0]
    for seed in (1, 2):
        graph["sampler"]["inputs"]["seed"] = seed
        assert client.run(graph).outputs["sampler"]["safree_sampling"][0]["active"]


@pytest.mark.parametrize("cfg", [0.0, 0.3])
def test_an_unguarded_negative_at_cfg_below_1_is_refused_and_said_to_be_drawn(client, cfg):
    with pytest.raises(PromptFailed, match=r"SelfValidatingSampler.*drawn towards the prompt of branch 'negative'"):
        client.run(with_negative("a wolf and a pistol", cfg))
    (report,) = client.run(with_negative("a wolf and a pistol", cfg, on_problem="warn")).outputs["sampler"][
        "safree_sampling"
    ]
    assert not report["active"]
    assert report["verdict"].startswith("Guard not active")


def test_fresca_at_scales_of_0_is_refused(client):
    graph = with_negative("a wolf and a pistol", 5.0)
    graph["fresca"] = node("FreSca", model=["loader", 0], scale_low=0.0, scale_high=0.0, freq_cutoff=20)
    graph["sampler"]["inputs"]["model"] = ["fresca", 0]
    with pytest.raises(PromptFailed, match="drawn towards"):
        client.run(graph)


def test_a_guarded_negative_keeps_its_words_at_cfg_5_and_loses_the_flagged_ones_at_cfg_0(client):
    plain, own = (client.run(with_negative("a wolf and a pistol", 5.0, by_guard)) for by_guard in (False, True))
    assert client.images(plain) == client.images(own)
    assert "kept all its words" in notes(own)
    assert "taken out" in notes(client.run(with_negative("a wolf and a pistol", 0.0, True)))


def test_latent_arithmetic_finds_no_plain_negative_where_negatives_have_to_be_guarded(client):
    with pytest.raises(PromptFailed, match="negative prompts, and `negatives` is set to 'guarded'"):
        client.run(with_negative("a wolf and a pistol", 2.0, negatives="guarded"))
    assert client.run(with_negative("a wolf and a pistol", 2.0, True, negatives="guarded")).outputs["sampler"]
