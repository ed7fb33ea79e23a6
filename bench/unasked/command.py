"""`bench unasked`: a concept that comes without its words, against guards of the picture in the making.

Ways in: a LoRA that adds a weapon, one that adds a style, a learned token, img2img from a picture that shows a weapon,
and a prompt whose trigger word detection misses. Beside them clean prompts on the clean checkpoint.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from ..run.selection import choose
from ..world.detector import ASSETS
from ..world.guards import BY_NAME, Bench, same
from ..world.prompts import World, article
from ..world.sld import STRONG, safe_latent_diffusion
from ..world.studio import Sampling, Studio, save
from . import learned_token
from .ablations import ABLATIONS, ablate
from .cases import STYLE, Case, cases
from .lora import LESSONS
from .report import write
from .rows import GUARD, SECOND, Row, read

COUNT = 100  # prompts of each way
SAMPLING = Sampling(steps=12)  # at 8 the tiny checkpoint draws an object that it is asked for in 60 % of the pictures
TRIES = 3
BATCH = 10  # pictures drawn at once
PRESENCE = {"weapon": "presence_weapon.safetensors", STYLE: "presence_style.safetensors"}
TODAY = dataclasses.replace(BY_NAME["adaptive + re-attention"], name="adaptive + re-attention")
GUARDS = ("none", GUARD, SECOND)
COMPARED = ("negative prompt", "Safe Latent Diffusion, strong", TODAY.name)
ALL = (*GUARDS, *COMPARED, *ABLATIONS)


@dataclasses.dataclass
class Drawn:
    """Finished latents [B, 4, H, W], and what a latent guard reported of each, and a look at it."""

    latents: torch.Tensor
    seen: list[dict] = dataclasses.field(default_factory=list)
    looked: list[dict] = dataclasses.field(default_factory=list)


class Runner:
    """Draws cases of one way, several at once, with the clean checkpoint or a LoRA, unguarded and guarded."""

    def __init__(self, studio: Studio, world: World, out: Path, assets: Path = ASSETS):
        import folder_paths

        self.studio, self.assets, self.bench = studio, assets, Bench(studio)
        folder_paths.add_model_folder_path("loras", str(assets))
        learned_token.install(assets)
        self.concepts, self.latents = world.concepts(), out / "latents"
        self.host, self.size = studio.pack.host, studio.sampling.size // 8

    @functools.cache  # noqa: B019  as long as the benchmark runs
    def model(self, lora: str):
        if not lora:
            return self.studio.model
        loader, lesson = self.studio.nodes.LoraLoaderModelOnly(), LESSONS[lora]
        return loader.load_lora_model_only(self.studio.model, lesson.file, lesson.strength)[0]

    @functools.cache  # noqa: B019
    def presence(self, concept: str):
        path = self.assets / PRESENCE[concept]
        if not path.exists():
            raise SystemExit(
                f"bench: {path.name} is not there yet. Make it: python -m bench unasked-assets --only presence"
            )
        return self.studio.pack.safree.presence_storage.load(path)

    def phrases(self, concept: str) -> list:
        return self.studio.encode(", ".join(self.concepts[concept].phrases))

    def texts(self, texts: list[str]) -> list:
        """One CONDITIONING for a batch of pictures, a text each."""
        return [[torch.cat([self.studio.encode(text)[0][0] for text in texts]), {}]]

    def draw(self, batch: list[Case], model, positive: list, negative: list) -> torch.Tensor:
        """The finished latents."""
        seeds = [case.seed for case in batch]
        blank = torch.zeros(len(batch), 4, self.size, self.size)
        start = self._sources(batch) if batch[0].source else blank
        return self._sample(model, seeds, positive, negative, start, batch[0].denoise)

    def plain(self, batch: list[Case]) -> torch.Tensor:
        """The finished latents without a guard; drawn once for all runs to one folder."""

        def make() -> torch.Tensor:
            settings = self.texts([case.prompt for case in batch]), self.studio.encode("")
            return self.draw(batch, self.model(batch[0].lora), *settings)

        return self._once("plain", batch, make)

    def alone(self, batch: list[Case]) -> torch.Tensor:
        """Likewise of the other objects alone, by the clean checkpoint."""
        own = [
            dataclasses.replace(case, way="alone", prompt=article(case.kept), lora="", source="", denoise=1.0)
            for case in batch
        ]
        return self.plain(own)

    def _once(self, name: str, batch: list[Case], make) -> torch.Tensor:
        """What `make` returns, kept on disk under what determines it."""
        key = hashlib.sha256(repr((name, self.studio.sampling, batch)).encode()).hexdigest()[:16]
        path = self.latents / f"{key}.safetensors"
        if not path.exists():
            save(path, {"latent": make()})
        return load_file(path)["latent"]

    def _sources(self, batch: list[Case]) -> torch.Tensor:
        """Pictures that show a weapon, each where one of TRIES seeds gives it."""

        def make() -> torch.Tensor:
            latents = torch.zeros(len(batch), 4, self.size, self.size)
            left = list(range(len(batch)))
            for attempt in range(1, TRIES + 1):
                seeds = [batch[i].seed + 1000 * attempt for i in left]
                settings = self.texts([batch[i].source for i in left]), self.studio.encode("")
                latents[left] = self._sample(self.studio.model, seeds, *settings, torch.zeros_like(latents[left]), 1.0)
                seen = self.seen(latents[left])
                left = [i for i, found in zip(left, seen, strict=True) if not found & self.concepts["weapon"].seen_as]
                if not left:
                    break
            return latents

        return self._once("source", batch, make)

    def _sample(self, model, seeds: list[int], positive, negative, start, denoise) -> torch.Tensor:
        """As KSampler does, with a seed of its own for each picture, so that none depends on the batch."""
        import comfy.sample

        s = self.studio.sampling
        noise = torch.cat([comfy.sample.prepare_noise(start[:1], seed) for seed in seeds])
        settings = (s.steps, s.cfg, s.sampler, s.scheduler, positive, negative, start)
        return comfy.sample.sample(model, noise, *settings, denoise=denoise, seed=seeds[0]).float().cpu()

    def seen(self, latents: torch.Tensor) -> list[set[str]]:
        images = self.studio.vae.decode(latents).clamp(0, 1).movedim(-1, 1).cpu()
        return self.studio.detector.see((images * 255).round() / 255)

    def compared(self, batch: list[Case], guard: str) -> Drawn:
        """With one of COMPARED."""
        studio, model, concept = self.studio, self.model(batch[0].lora), batch[0].concept
        positive, negative = self.texts([case.prompt for case in batch]), studio.encode("")
        if guard == "negative prompt":
            negative = self.phrases(concept)
        elif guard.startswith("Safe Latent Diffusion"):
            model = safe_latent_diffusion(model, self.phrases(concept), STRONG)
        else:
            model = self.host.reattention.skip_features.patch(
                model, self.host.reattention.skip_features.Settings((0.9, 0.2))
            )
            alone = [self.draw([case], model, self._today(case), negative) for case in batch]
            return Drawn(torch.cat(alone))
        return Drawn(self.draw(batch, model, positive, negative))

    def _today(self, case: Case) -> list:
        """What SafreeConditioning makes of the prompt; of a word that it misses, nothing."""
        plain = self.studio.encode(case.prompt)
        if case.way == "missed word" or not case.prompt:
            return plain
        guarded, _ = self.bench.guarded(case.prompt, TODAY, self.concepts[case.concept])
        return plain if same(guarded, plain) else guarded

    def guarded(self, batch: list[Case], name: str) -> dict[str, Drawn]:
        """With the latent guard, or an ablation of it; the second look brings both its first and its last pictures."""
        positive, negative = self.texts([case.prompt for case in batch]), self.studio.encode("")
        concept, strength = ablate(self.presence(batch[0].concept), name)
        latent_guard, drawn = self.host.latent.latent_guard, []
        patched = latent_guard.patch(self.model(batch[0].lora), (concept,), strength)
        settings = dataclasses.replace(
            latent_guard.guard_of(patched), always=name == "always on", clears=name != "source kept"
        )
        patched = latent_guard.guarded_by(patched, settings)

        def draw(model) -> dict:
            drawn.append(self.draw(batch, model, positive, negative))
            return {"samples": drawn[-1]}

        latent, seen = self.host.latent.second_look.sample(patched, draw, "again" if name == SECOND else "warn")
        first = Drawn(drawn[0], seen.presence)
        if name != SECOND:
            return {name: first}
        return {GUARD: first, SECOND: Drawn(latent["samples"], seen.presence, seen.looks[0])}

    def rows(self, batch: list[Case], guards: tuple[str, ...]) -> list[Row]:
        """Rows for each of `guards`, and for the objects alone."""
        plain = self.plain(batch)
        drawn = {"alone": Drawn(self.alone(batch))} if batch[0].prompt else {}
        for guard in guards:
            if guard == "none":
                drawn[guard] = Drawn(plain)
            elif guard in COMPARED:
                drawn[guard] = self.compared(batch, guard)
            elif guard not in drawn and not (guard == GUARD and SECOND in guards):
                drawn.update(self.guarded(batch, guard))
        return [row for name, own in drawn.items() for row in self._rows(batch, name, own, plain)]

    def _rows(self, batch: list[Case], guard: str, drawn: Drawn, plain: torch.Tensor) -> list[Row]:
        out = []
        for i, (case, seen) in enumerate(zip(batch, self.seen(drawn.latents), strict=True)):
            hit = bool(seen & self.concepts[case.concept].seen_as)
            told = drawn.seen[i] if drawn.seen else {"found_at": None, "given": False}
            looked = drawn.looked[i]["presence"] if drawn.looked else 0.0
            settings = (case.way, guard, case.prompt, case.kept, case.seed, case.denoise)
            unchanged = torch.equal(drawn.latents[i], plain[i])
            found = (told["found_at"] or 0, told["given"], looked)
            out.append(Row(*settings, hit, case.kept in seen, unchanged, *found))
        return out


@dataclasses.dataclass(frozen=True)
class Scope:
    """What to run: ways with one of `only` in their name, `count` prompts each, with `guards`.

    shard: 'part/parts', to share the cases among processes.  tuning: the prompts for choosing settings
    """

    only: tuple[str, ...] = ()
    count: int = COUNT
    guards: tuple[str, ...] = GUARDS
    shard: str = "1/1"
    tuning: bool = False


def run(out: Path, scope: Scope, half: bool = False) -> None:
    """Draw, write rows-N.jsonl to `out` as they come, and report.md of all rows there. Goes on where it was stopped.

    half: the UNet computes in bfloat16, three times as fast on a CPU that has it
    """
    out.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, scope.shard.split("/"))
    world = World()
    made = choose(cases(world, scope.count, scope.tuning), lambda case: case.way, scope.only, "way")
    missing = {concept for concept, file in PRESENCE.items() if not (ASSETS / file).exists()}
    if not scope.only and (left := {case.way: case for case in made if case.concept in missing}):
        print(f"Left out: {', '.join(left)}. For these make presences: python -m bench unasked-assets --only presence")
        made = [case for case in made if case.way not in left]
    path = out / f"rows-{part}.jsonl"
    done = {(row["way"], row["seed"], row["guard"]) for row in read(path)}
    runner = Runner(Studio(SAMPLING, half=half), world, out)
    with open(path, "a", encoding="utf-8") as file, torch.inference_mode():
        for batch in tqdm(batches(made)[part - 1 :: parts], desc="unasked", unit="batch"):
            guards = tuple(g for g in scope.guards if any((case.way, case.seed, g) not in done for case in batch))
            for row in runner.rows(batch, guards) if guards else ():
                if (row.way, row.seed, row.guard) not in done:
                    file.write(json.dumps(dataclasses.asdict(row)) + "\n")
            file.flush()
    write(out)


def batches(made: list[Case]) -> list[list[Case]]:
    """The cases in groups of at most BATCH of one way and denoise, all ways in turn."""
    groups: dict[tuple, list[Case]] = {}
    for case in made:
        groups.setdefault(((case.seed - 1) // BATCH, case.way, case.denoise), []).append(case)
    return list(groups.values())
