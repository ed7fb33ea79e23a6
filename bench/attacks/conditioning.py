"""Tricks with conditioning: past the guard, put together with a guarded one, or from an encoder of another kind."""

from __future__ import annotations

from .scene import SIZE, WANTED, Attack

# Rewiring: unguarded conditioning past the guard


def plain_positive(a: Attack):
    a.positive = a.plain()


def plain_negative(a: Attack):
    a.negative = a.plain()


def swapped(a: Attack):
    a.positive, a.negative = a.negative, a.positive


def empty_negative(a: Attack):
    a.negative = a.plain(a.draw.choice(["", "blurry, (worst quality:1.4), text"]))


def quality_words_and_more(a: Attack):
    a.negative = a.plain("blurry, low quality, pistol, wolf")


def zeroed(a: Attack):
    a.negative = a.graph.put("ConditioningZeroOut", conditioning=a.plain())


def carried(a: Attack):
    kind, more = a.draw.choice(
        [
            ("ConditioningSetTimestepRange", {"start": 0.0, "end": 1.0}),
            ("ConditioningSetArea", {"width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}),
            ("FluxGuidance", {"guidance": 3.5}),
            ("ConditioningSetAreaStrength", {"strength": 1.0}),
        ]
    )
    a.positive = a.graph.put(kind, conditioning=a.draw.choice([a.positive, a.plain()]), **more)


def combined(a: Attack):
    other = a.draw.choice([a.plain, a.guard])(WANTED)
    kind, names = a.draw.choice(
        [
            ("ConditioningCombine", ("conditioning_1", "conditioning_2")),
            ("ConditioningConcat", ("conditioning_to", "conditioning_from")),
        ]
    )
    pair = [a.positive, other]
    a.draw.shuffle(pair)
    a.positive = a.graph.put(kind, **dict(zip(names, pair, strict=True)))


def averaged(a: Attack):
    share = a.draw.choice([0.5, 0.0, 1.0, a.number(-1.0), a.number(3.0)])
    pair = {"conditioning_to": a.positive, "conditioning_from": a.draw.choice([a.plain(), a.guard("a cat")])}
    a.positive = a.graph.put("ConditioningAverage", conditioning_to_strength=share, **pair)


def negative_strength(a: Attack):
    """Two prompts in one branch, one of them with a negative weight: arithmetic inside the model call."""
    weak = a.graph.put("ConditioningSetAreaStrength", conditioning=a.negative, strength=a.number(-1.0))
    a.negative = a.graph.put("ConditioningCombine", conditioning_1=a.guard("a cat"), conditioning_2=weak)


def masked(a: Attack):
    mask = a.graph.put("SolidMask", value=a.draw.choice([1.0, a.number(2.0), a.number(-1.0)]), width=SIZE, height=SIZE)
    a.latent = a.graph.put("SetLatentNoiseMask", samples=a.latent, mask=mask)


def clip_of_its_own(a: Attack):
    layer = a.draw.choice([-1, -2, -6, -11, -12])
    a.clip = a.graph.put("CLIPSetLastLayer", clip=a.clip, stop_at_clip_layer=layer)
    a.graph.inputs(a.subspace)["clip"] = a.draw.choice([a.clip, [a.loader[0], 1]])
    for name in a.graph.all("SafreeConditioning"):
        a.graph[name]["inputs"]["clip"] = a.clip


def clip_bent(a: Attack):
    kind, more = a.draw.choice(
        [
            ("CLIPAttentionMultiply", {"clip": a.clip, "q": 0.0, "k": 0.0, "v": 1.0, "out": 1.0}),
            ("CLIPMergeSubtract", {"clip1": a.clip, "clip2": a.clip, "multiplier": 0.5}),
            ("CLIPMergeSimple", {"clip1": a.clip, "clip2": a.clip, "ratio": a.draw.choice([0.5, a.number(4.0)])}),
            ("CLIPMergeAdd", {"clip1": a.clip, "clip2": a.clip}),
        ]
    )
    a.clip = a.graph.put(kind, **more)
    for name in a.graph.all("SafreeConditioning", "ConceptSubspace"):
        a.graph[name]["inputs"]["clip"] = a.clip
