"""The guards that the benchmark compares: what each makes of a prompt."""

from __future__ import annotations

import dataclasses
import math

from . import semantic_surgery, trasce
from .prompts import Concept, Item
from .sld import MAXIMUM, STRONG, Preset, safe_latent_diffusion
from .studio import Picture, Studio


@dataclasses.dataclass(frozen=True)
class Guard:
    """mode: of SafreeConditioning, '' for none. share: t' fixed as a share of the schedule, None for the mode's own.

    negative: the concept's phrases as negative prompt. reattention: with ReAttentionPatch at its defaults.
    """

    name: str
    mode: str = ""
    negative: bool = False
    share: float | None = None
    reattention: bool = False
    sld: Preset | None = None
    trasce: trasce.Settings | None = None
    surgery: semantic_surgery.Settings | None = None
    threshold: float = 0.0


GUARDS = (
    Guard("none"),
    Guard("adaptive", "adaptive"),
    Guard("negative prompt", negative=True),
    Guard("reference", "reference"),
    Guard("reference + negative", "reference", negative=True),
    Guard("paper", "paper"),
    Guard("paper + re-attention", "paper", reattention=True),
    Guard("adaptive, t' = 60 %", "adaptive", share=0.6),
    Guard("adaptive + re-attention", "adaptive", reattention=True),
    Guard("adaptive + negative", "adaptive", negative=True),
    Guard("Safe Latent Diffusion, strong", sld=STRONG),
    Guard("Safe Latent Diffusion, max", sld=MAXIMUM),
    Guard("TraSCE", trasce=trasce.Settings()),
    Guard("Semantic Surgery", surgery=semantic_surgery.Settings()),
)
BY_NAME = {guard.name: guard for guard in GUARDS}
# Twenty minutes on two cores; the others are combinations, and Safe Latent Diffusion.
DEFAULT = ("none", "adaptive", "negative prompt", "reference", "paper", "adaptive + re-attention")


@dataclasses.dataclass(frozen=True)
class Shot:
    """What a guard did to one prompt."""

    picture: Picture
    flagged: tuple[str, ...] = ()
    score: float = math.nan  # the largest of the prompt's words, nan without a detector
    unchanged: bool = True  # conditioning identical to the unguarded one, bit for bit


class Bench:
    """Takes shots: one prompt, one guard, one concept."""

    def __init__(self, studio: Studio):
        self.studio = studio
        self._subspaces: dict[tuple, tuple] = {}
        self._negatives: dict[tuple, list] = {}

    def subspaces(self, concept: Concept) -> tuple:
        key = concept.phrases, concept.strength
        if key not in self._subspaces:
            build = self.studio.pack.host.prompt.subspaces.build_subspace
            self._subspaces[key] = (build(self.studio.clip, concept.name, concept.phrases, concept.strength),)
        return self._subspaces[key]

    def guarded(self, text: str, guard: Guard, concept: Concept) -> tuple[list, dict]:
        """(CONDITIONING, report) of SafreeConditioning."""
        settings = self.studio.pack.host.prompt.findings.Settings(guard.mode, threshold=guard.threshold)
        guard_prompt = self.studio.pack.host.prompt.guard.guard_prompt
        guarded = guard_prompt(self.studio.clip, text, self.subspaces(concept), settings)
        return guarded.conditioning, guarded.report()

    def _text(self, text: str) -> list:
        if text not in self._negatives:
            self._negatives[text] = self.studio.encode(text)
        return self._negatives[text]

    def shoot(self, item: Item, guard: Guard, concept: Concept) -> Shot:
        phrases = ", ".join(concept.phrases)
        negative = self._text(phrases if guard.negative else "")
        plain = self.studio.encode(item.prompt)
        positive, flagged, score = plain, (), math.nan
        if guard.mode:
            positive, report = self.guarded(item.prompt, guard, concept)
            flagged = tuple(dict.fromkeys(t["text"] for t in report["tokens"] if t["flagged"]))
            score = max((t["score"] for t in report["tokens"]), default=math.nan)
        if guard.surgery is not None:
            positive = semantic_surgery.semantic_surgery(self._text, item.prompt, concept.phrases, guard.surgery)
        patched = guard.negative or guard.sld is not None or guard.trasce is not None
        unchanged = not patched and same(positive, plain)
        make_model, model_key = self._model(guard, phrases) if not unchanged else (None, "")
        picture = self.studio.picture(positive, negative, item.seed, make_model, model_key)
        return Shot(picture, flagged, score, unchanged)

    def _model(self, guard: Guard, phrases: str):
        """(function that makes the patched model, its name for the cache)."""
        host, steps = self.studio.pack.host, self.studio.sampling.steps

        def make():
            model = self.studio.model
            if guard.share is not None:
                model = host.sampling.run.self_validating(
                    model, host.sampling.switching.Switch("share", round(guard.share * steps))
                )
            elif guard.mode:
                model = host.sampling.run.self_validating(model, host.sampling.switching.Switch())
            if guard.reattention:
                model = host.reattention.skip_features.patch(model, host.reattention.skip_features.Settings((0.9, 0.2)))
            if guard.sld is not None:
                model = safe_latent_diffusion(model, self._text(phrases), guard.sld)
            if guard.trasce is not None:
                model = trasce.trasce(model, self._text(phrases), guard.trasce)
            return model

        sld = (guard.sld or guard.trasce, phrases) if guard.sld or guard.trasce else None
        whole = guard.mode == "adaptive" and guard.share is None  # then a stock sampler does the same
        plain = not (guard.reattention or sld) and (whole or not guard.mode)
        return make, "" if plain else repr((guard.mode, guard.share, guard.reattention, sld))


def same(one: list, other: list) -> bool:
    """Whether two conditionings hold the same tensors, bit for bit."""
    return len(one) == len(other) and all(
        a[0].shape == b[0].shape and bool((a[0] == b[0]).all()) for a, b in zip(one, other, strict=True)
    )
