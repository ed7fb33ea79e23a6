"""Draws and judges the rows of public sets by a protocol, in the host of one process; a plan of bench.run.cluster."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from ..run import kept
from ..world.guards import BY_NAME, Bench, Guard
from ..world.prompts import Concept, Item
from ..world.studio import CACHE, Picture, Studio
from . import judges
from .protocol import PROTOCOLS, RELEASED_CONCEPT, Protocol, as_text, cut
from .sets import Row

LATENT, GATED = "adaptive + latent guard", "adaptive + latent guard + gate"
OURS = (LATENT, GATED)
GUARDS = ("none", "negative prompt", "reference", "reference + negative", "paper", "adaptive", *OURS)
RIVALS = ("Safe Latent Diffusion, max", "TraSCE", "Semantic Surgery")
ALL = (*GUARDS, *RIVALS)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that a run does beside its rows, as plain data.

    checkpoint: None for the tiny one. presence: file of LearnConceptPresence. gate: judge of the gate, '' for none
    steps, size: 0 for the protocol's
    """

    protocol: str
    guards: tuple[str, ...]
    concept_set: str
    files: judges.Files
    checkpoint: Path | None = None
    presence: Path | None = None
    gate: str = ""
    pictures: Path = CACHE
    steps: int = 0
    size: int = 0
    other_family: bool = False
    code: str = dataclasses.field(default_factory=kept.method)

    @property
    def settings(self) -> Protocol:
        """The protocol, with the steps and the size of this plan."""
        own = PROTOCOLS[self.protocol]
        changed = {name: value for name in ("steps", "size") if (value := getattr(self, name))}
        return dataclasses.replace(own, sampling=dataclasses.replace(own.sampling, **changed))

    def start(self, gpu: bool) -> Measurer:
        kept.check_method(self.code)
        return Measurer(self, gpu)


class Measurer:
    """Draws (row, guard) pairs and judges them. about: the class of the model, for tables and results."""

    def __init__(self, plan: Plan, gpu: bool):
        checkpoint = {"checkpoint": plan.checkpoint} if plan.checkpoint else {}
        self.protocol, self.plan = plan.settings, plan
        self.studio = Studio(self.protocol.sampling, plan.pictures, **checkpoint, cpu=not gpu)
        self.about = family = type(self.studio.model.model.model_config).__name__
        if family != self.protocol.family and not plan.other_family:
            raise ValueError(
                f"{self.studio.checkpoint} is a model of ComfyUI's class {family}; the tables of {plan.protocol} are "
                f"of {self.protocol.family}. Give such a checkpoint, or --other-family to go without published figures"
            )
        host = self.studio.pack.host
        phrases = tuple(host.data.concept_sets.get(plan.concept_set).phrases)
        released = self.protocol.phrases if plan.concept_set == RELEASED_CONCEPT else phrases
        self.ours, self.released = (Concept(plan.concept_set, one, frozenset()) for one in (phrases, released))
        self.bench, self.judges = Bench(self.studio), judges.build(plan.files)
        self.distance = judges.Distance() if plan.files.lpips else None
        self.presence = self._presence()
        self.identity = (self.studio.checkpoint, phrases, family)

    def _presence(self):
        """The concept presence of the latent guard, or None."""
        storage = self.studio.pack.safree.presence_storage
        return storage.load(self.plan.presence) if self.plan.presence else None

    def measure(self, shard: list[tuple[Row, str]]) -> list[dict]:
        return [self._measure(row, guard) for row, guard in shard]

    def _measure(self, row: Row, guard: str) -> dict:
        text = as_text(cut(self.studio.clip, row.text))
        guidance = self.protocol.sampling.cfg if row.guidance is None else row.guidance
        self.studio.sampling = dataclasses.replace(self.protocol.sampling, cfg=guidance)
        seed = self.protocol.seed if row.seed is None else row.seed
        item = Item(text, row.set, self.ours.name, (), seed)
        picture, flagged = self._draw(item, guard)
        image, key = picture.image[0], picture.key
        touched = False
        if guard == GATED:
            image, touched = self._gate(picture)
        found = {name: judge(image, row.text) for name, judge in self.judges.items()}
        if self.distance:
            plain = image if guard == "none" else self._draw(item, "none")[0].image[0]
            found[judges.LPIPS] = self.distance(image, plain)
        return {"found": found, "flagged": "|".join(flagged), "gated": touched, "picture": key}

    def _draw(self, item: Item, guard: str) -> tuple[Picture, tuple[str, ...]]:
        if guard in OURS:
            return self._with_latent_guard(item)
        chosen = BY_NAME[guard]
        shot = self.bench.shoot(item, chosen, self._concept(chosen))
        return shot.picture, shot.flagged

    def _concept(self, guard: Guard) -> Concept:
        """The pack's own phrases for its own mode, the release's for all others, which rivals measure with as well."""
        return self.ours if guard.mode == "adaptive" else self.released

    def _with_latent_guard(self, item: Item) -> tuple[Picture, tuple[str, ...]]:
        latent_guard = self.studio.pack.host.latent.latent_guard
        positive, report = self.bench.guarded(item.prompt, BY_NAME["adaptive"], self.ours)
        flagged = tuple(dict.fromkeys(t["text"] for t in report["tokens"] if t["flagged"]))
        picture = self.studio.picture(
            positive,
            self.studio.encode(""),
            item.seed,
            lambda: latent_guard.patch(self.studio.model, (self.presence,)),
            f"latent guard {self.plan.presence.name} {self.plan.presence.stat().st_size}",
        )
        return picture, flagged

    def _gate(self, picture: Picture):
        """(image uint8 [H, W, 3] as SafetyGate lets it leave, whether it was touched)."""
        gate = self.studio.pack.host.gate
        if self.plan.gate == "nudenet":
            judge = gate.judges.nudenet.NudeNetJudge()
        else:
            judge = TinyGateJudge(gate.judges.judge.Finding, self.plan.files.family)
        done = gate.safety_gate.gate(picture.image.float() / 255, [judge], gate.safety_gate.Settings())
        return (done.images[0] * 255).round().byte(), not done.safe


class TinyGateJudge:
    """The detector of the tiny world as a judge of SafetyGate, warier than as a judge of the figures."""

    name, wary = "tiny detector", 0.2

    def __init__(self, finding, family: str):
        self.finding, self.tiny = finding, judges.TinyJudge(family)

    def judge(self, images) -> list:
        detector = self.tiny.detector
        columns = [n for n, name in enumerate(detector.names) if name in self.tiny.unwanted]
        scores = detector.scores(images.movedim(-1, 1))[:, columns].amax(1).tolist()
        return [self.finding("unwanted", n, score, self.wary) for n, score in enumerate(scores)]


def value(entry: dict, column: str, threshold: float) -> float:
    """What a judge's column counts for one picture; nan where that judge was not there."""
    return judges.counts(column, entry["found"].get(column, math.nan), threshold)
