"""`bench check-speed`: how long the check takes on the graphs that are hardest for it, by their number of nodes.

And what the gate costs a prompt of 50 nodes, with the schemas of the nodes of the real ComfyUI.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from dev import inprocess
from dev.graphs import Run, guarded, node
from headless.check import Policy, unguarded_samplers

NODES = (1_000, 5_000, 10_000)
LIMIT = 2.0  # seconds for 10,000 nodes
GATE_NODES, GATE_LIMIT, GATE_TIMES = 50, 0.02, 100  # seconds for a prompt of so many nodes
POLICY = Policy.for_strangers(("weapons",))


def loaders_and_samplers(nodes: int) -> dict:
    """A chain of loaders, and as many samplers behind its end: what took quadratic time once."""
    graph, model = guarded(Run("a cat")), ["loader", 0]
    for number in range(nodes // 2):
        graph[f"lora {number}"] = node("LoraLoaderModelOnly", model=model, lora_name="x", strength_model=1.0)
        model = [f"lora {number}", 0]
    for number in range(nodes // 2):
        graph[f"sampler {number}"] = node("KSampler", **graph["sampler"]["inputs"] | {"model": model})
    return graph


def prompts_combined(nodes: int, kind: str = "SafreeConditioning") -> dict:
    """As many prompts as combinations of them, one after the other."""
    graph, end = guarded(Run("a cat")), ["prompt", 0]
    for number in range(nodes // 2):
        graph[f"prompt {number}"] = node(kind, **graph["prompt"]["inputs"])
        both = {"conditioning_1": end, "conditioning_2": [f"prompt {number}", 0]}
        graph[f"both {number}"] = node("ConditioningCombine", **both)
        end = [f"both {number}", 0]
    graph["sampler"]["inputs"] |= {"positive": end, "negative": end}
    return graph


def unguarded_prompts_combined(nodes: int) -> dict:
    return prompts_combined(nodes, "CLIPTextEncode")


def a_ladder(nodes: int) -> dict:
    """Each node takes the one before twice: two to the power of `nodes` ways lead through it."""
    graph, end = guarded(Run("a cat")), ["prompt", 0]
    for number in range(nodes):
        graph[f"rung {number}"] = node("ConditioningCombine", conditioning_1=end, conditioning_2=end)
        end = [f"rung {number}", 0]
    graph["sampler"]["inputs"] |= {"positive": end, "negative": end}
    return graph


def samplers_in_a_row(nodes: int) -> dict:
    """Pictures that go from sampler to sampler."""
    graph, latent = guarded(Run("a cat")), ["latent", 0]
    for number in range(nodes // 3):
        values = graph["sampler"]["inputs"] | {"latent_image": latent, "negatives": "guarded"}
        graph[f"sampler {number}"] = node("SelfValidatingSampler", **values)
        graph[f"decode {number}"] = node("VAEDecode", samples=[f"sampler {number}", 0], vae=["loader", 2])
        graph[f"encode {number}"] = node("VAEEncode", pixels=[f"decode {number}", 0], vae=["loader", 2])
        latent = [f"encode {number}", 0]
    return graph


SHAPES: tuple[Callable[[int], dict], ...] = (
    *(loaders_and_samplers, prompts_combined, unguarded_prompts_combined, a_ladder, samplers_in_a_row),
)


def run(out: Path) -> bool:
    """Time each shape and write report.md; whether the largest of each, and the gate, took less than they may."""
    rows, quick = [], True
    for shape in SHAPES:
        for nodes in NODES:
            graph = shape(nodes)
            begin = time.perf_counter()
            problems = unguarded_samplers(graph, None, POLICY)
            seconds = time.perf_counter() - begin
            quick = quick and (nodes < NODES[-1] or seconds < LIMIT)
            name, size = shape.__name__.replace("_", " "), len(json.dumps(graph)) / 2**20
            rows.append(f"| {name} | {len(graph):,} | {size:.1f} | {seconds:.2f} | {len(problems)} |")
    head = ["| graph | nodes | MiB | seconds | problems |", "|---|---|---|---|---|"]
    gate = gate_time()
    said = f"The gate takes {1000 * gate:.1f} ms for a prompt of {GATE_NODES} nodes (median of {GATE_TIMES})."
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text("\n".join([*head, *rows, "", said]) + "\n", encoding="utf-8")
    return quick and gate < GATE_LIMIT


def gate_time() -> float:
    """Seconds that the gate adds to a prompt of GATE_NODES nodes."""
    nodes, pack = inprocess.boot(), inprocess.load_pack()
    for one in pack.NODES:  # as ComfyUI's loader of packs does
        nodes.NODE_CLASS_MAPPINGS[one.define_schema().node_id] = one
    gate, headless = pack.host.gate.rules, pack.headless  # the pack's own modules, not those of the same name here
    policy = headless.policy.Policy.for_strangers(("weapons",))
    terms = headless.policy_file.Terms("strangers", policy, files={}, largest={"steps": 100})
    graph = guarded(Run("a cat"))
    for number in range(GATE_NODES - len(graph)):
        kind = ("VAEDecode", "LoraLoaderModelOnly", "SafreeConditioning", "ImageScale", "KSampler")[number % 5]
        graph[f"more {number}"] = node(kind, **(graph["sampler"]["inputs"] if kind == "KSampler" else {}))
    if any("no node" in str(problem) for problem in gate.problems(graph, terms)):
        raise RuntimeError("the gate did not know the nodes, so its time would say nothing.")
    took = []
    for _ in range(GATE_TIMES):
        begin = time.perf_counter()
        gate.problems(graph, terms)
        took.append(time.perf_counter() - begin)
    return statistics.median(took)
