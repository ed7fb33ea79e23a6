"""Prompts that a node rewrites before they are encoded (TextGenerate, prompt enhancers): guarded after the rewrite."""

from __future__ import annotations

import copy

import pytest

from dev.graphs import Run, node, unguarded
from headless.check import Policy, unguarded_samplers
from headless.guard import guard
from headless.workflow import Workflow

POLICY = Policy(concept_sets=("weapons",))
# Nodes of ComfyUI and of packs that make text of text, by the input that takes what the user wrote.
REWRITING = {
    "TextGenerate": "prompt",
    "TextGenerateLTX2Prompt": "prompt",
    "LTXVPromptEnhancer": "prompt",
    "LTXVGemmaEnhancePrompt": "prompt",
    "OllamaGenerate": "prompt",
    "AILab_QwenVL_PromptEnhancer": "prompt_text",
    "PrimereLLMEnhancer": "input_text",
    "SiliconflowLLM": "user_prompt",
}


@pytest.fixture(params=REWRITING)
def rewritten(request) -> dict:
    """The stock graph with such a node between the user's words and the encoder."""
    graph = copy.deepcopy(unguarded(Run("a cat")))
    graph["writer"] = node(request.param, clip=["loader", 1], **{REWRITING[request.param]: "a cat"})
    graph["prompt"]["inputs"]["text"] = ["writer", 0]
    return graph


def test_the_guard_is_put_behind_the_node_that_rewrites(rewritten):
    twin, report = guard(Workflow(rewritten), POLICY, {})
    assert report.unguarded == []
    assert twin.nodes["writer"] == rewritten["writer"]
    assert twin.nodes["prompt"]["class_type"] == "SafreeConditioning"
    assert twin.nodes["prompt"]["inputs"]["text"] == ["writer", 0]


def test_the_check_wants_the_guard_behind_it(rewritten):
    twin, _ = guard(Workflow(rewritten), POLICY, {})
    assert not unguarded_samplers(twin.nodes, None, POLICY)
    assert unguarded_samplers(rewritten, None, POLICY)


def test_a_guard_before_the_rewrite_alone_is_refused(rewritten):
    """What was guarded is what the user wrote; the node may have written anything, and a plain encoder reads that."""
    before = copy.deepcopy(rewritten)
    before["subspace"] = node("ConceptSubspace", clip=["loader", 1], concept_set="weapons", phrases="", strength=1.0)
    before["guard"] = node("SafreeConditioning", clip=["loader", 1], subspaces=["subspace", 0], text="a cat")
    before["sampler"]["inputs"]["negative"] = ["guard", 0]
    assert unguarded_samplers(before, None, POLICY)
