"""The tricks by family, and a seeded generator that plays one or several of them on a guarded workflow."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator

from . import conditioning, guidance, others, ways
from .scene import Attack

FAMILIES: dict[str, tuple[Callable[[Attack], None], ...]] = {
    "rewiring": (
        conditioning.plain_positive,
        conditioning.plain_negative,
        conditioning.swapped,
        conditioning.empty_negative,
        conditioning.quality_words_and_more,
        conditioning.zeroed,
        conditioning.carried,
        conditioning.combined,
    ),
    "conditioning": (
        conditioning.averaged,
        conditioning.negative_strength,
        conditioning.masked,
        others.second_text,
        others.hooked,
        others.like_unguarded,
    ),
    "encoder": (conditioning.clip_of_its_own, conditioning.clip_bent),
    "guidance": (
        guidance.scale,
        guidance.patched,
        guidance.patched,
        guidance.tone_mapped,
        guidance.perp_neg,
        guidance.validated,
        guidance.merged,
    ),
    "sampler": (guidance.custom_guider, guidance.sigmas_turned, guidance.second_sampler),
    "arithmetic": (guidance.linear, guidance.mixed_latents, guidance.mixed_pictures),
    "caption": (
        others.caption_by_primitives,
        others.caption_rewritten,
        others.caption_weighted,
        others.caption_per_encoder,
    ),
    "guard": (others.weak_guard, others.weak_subspace, others.more_subspaces),
    "files": (others.files, others.trained),
    "packs": (others.third_party,),
    "paths": (ways.masks, ways.noise_that_scales, ways.colours),
    "weights": (ways.mask_of_a_prompt, ways.mask_of_a_latent, ways.weights_that_arrive, ways.weights_that_arrive),
    "chains": (ways.chained, ways.chained, ways.chained),
    "schedules": (ways.scheduled_encoder, ways.keyframes_of_a_prompt),
    "zeros": (ways.zero_of_several, ways.zero_of_several),
    "inputs": (ways.bogus_inputs, ways.bogus_inputs, ways.filters),
    "shape": (others.in_a_subgraph, others.wrapped_links, others.slots, others.circle),
}
LAST = ("sampler", "arithmetic", "paths")  # these make the sampling node, of all that the others have set


def attacks(count: int, seed: int) -> Iterator[tuple[str, dict]]:
    """`count` different attacked workflows as (tricks, workflow); every family comes up, alone and with others."""
    draw, seen, families = random.Random(seed), set(), list(FAMILIES)
    first = [(family, trick) for family in families for trick in FAMILIES[family]]
    while len(seen) < count:
        wanted = dict([first[len(seen) % len(first)]])
        for family in draw.sample(families, draw.choice([0, 0, 1, 2])):
            wanted.setdefault(family, draw.choice(FAMILIES[family]))
        attack = Attack(draw)
        for family in sorted(wanted, key=lambda name: (name in LAST, name)):
            if family not in LAST or not attack.sampler:
                attack.apply(wanted[family])
        graph = attack.finish()
        if attack.prefix:
            graph = renamed(graph, attack.prefix)
        text = json.dumps(graph, sort_keys=True)
        if text not in seen:
            seen.add(text)
            yield "+".join(attack.tricks), graph


def renamed(graph: dict, prefix: str) -> dict:
    """The same workflow with `prefix` before each node's id."""

    def moved(value):
        if isinstance(value, list) and len(value) == 2 and value[0] in graph:
            return [prefix + value[0], value[1]]
        return {"__value__": moved(value["__value__"])} if isinstance(value, dict) and "__value__" in value else value

    return {
        prefix + name: {**node, "inputs": {key: moved(value) for key, value in node["inputs"].items()}}
        for name, node in graph.items()
    }


def unguarded(graph: dict) -> dict:
    """The same workflow with a plain encoder in place of each SafreeConditioning: what it draws without the guard."""
    plain = copy.deepcopy(graph)
    for node in plain.values():
        if node["class_type"] in ("SafreeConditioning", "SafreeMultiTextConditioning"):
            node["class_type"] = "CLIPTextEncode"
            text = node["inputs"].get("text", node["inputs"].get("text_l"))
            node["inputs"] = {"clip": node["inputs"]["clip"], "text": text}
        elif node["class_type"] == "SelfValidatingSampler":
            node["class_type"] = "KSampler"
    return plain
