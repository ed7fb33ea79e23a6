"""Command line of the benchmarks; see `python -m bench --help`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from .language import command as language
from .language.encoders import NAMES, Encoder
from .paper import command as paper
from .paper import results
from .run import cluster
from .world.prompts import SEED

OUT = Path(__file__).resolve().parent.parent / "output" / "bench"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the guard in the real ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, default=OUT, help="folder for results (default: output/bench)")
    guards = argparse.ArgumentParser(add_help=False)
    guards.add_argument("--guards", nargs="*", metavar="NAME", help="these, or 'all' (default: the main ones)")

    removal = commands.add_parser("concept-removal", parents=[common, guards], help="removal and preservation")
    removal.add_argument("--subset", type=int, default=18, help="prompts for guards other than none and adaptive")
    removal.add_argument("--limit", type=int, default=0, help="at most about so many prompts in all (0: all)")
    removal.add_argument("--seed", type=int, default=SEED, help="of the prompt generator")

    concepts = commands.add_parser("concepts", parents=[common], help="other concepts than weapons, and styles")
    concepts.add_argument("--only", nargs="*", default=(), metavar="NAME", help="groups with this in their name")
    concepts.add_argument("--seed", type=int, default=SEED, help="of the prompt generator")

    overhead = commands.add_parser("overhead", parents=[common], help="cost of each stage, in paired runs")
    overhead.add_argument("--full", action="store_true", help="longer prompts, larger batches and pictures (an hour)")
    overhead.add_argument("--only", nargs="*", default=(), metavar="NAME", help="stages with this in their name")

    start = commands.add_parser("start", parents=[common], help="import time of the pack, and the first prompt")
    start.add_argument("--rounds", type=int, default=3)

    encoders = commands.add_parser("encoders", parents=[common], help="cost of guarding, on encoders of full size")
    encoders.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    encoders.add_argument("--models", default="sd15,sdxl,flux,qwen", help="comma-separated (default: all)")
    encoders.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], help="default: ComfyUI's own choice")
    encoders.add_argument("--residence", default="resident", help="comma-separated: resident, streamed (needs cuda)")
    encoders.add_argument("--words", default="5,20,75,300", help="lengths of prompts, comma-separated")
    encoders.add_argument("--rounds", type=int, default=5)
    encoders.add_argument("--seconds", type=float, default=20, help="of one measurement; then 3 rounds are enough")
    encoders.add_argument("--layers", type=int, default=0, help="fewer than the model has: to count, not to time")

    soak = commands.add_parser("soak", parents=[common], help="many queued prompts, interrupts and cancellations")
    soak.add_argument("--prompts", type=int, default=200)
    soak.add_argument("--steps", type=int, default=4)
    soak.add_argument("--size", type=int, default=128, help="pixels")
    soak.add_argument("--seed", type=int, default=SEED, help="of the plan")

    attacks = commands.add_parser("attacks", parents=[common], help="workflows that try to get past the guard")
    attacks.add_argument("--count", type=int, default=200)
    attacks.add_argument("--seed", type=int, default=13, help="of the generator")
    attacks.add_argument("--controls", action="store_true", help="run what the check accepts without the guard too")

    adaptive = commands.add_parser("adaptive", parents=[common], help="attackers who adapt their words to the guard")
    adaptive.add_argument("--seeds", type=int, default=2, help="attacks of each attacker with each length")
    adaptive.add_argument("--tries", type=int, default=150, help="guarded prompts that one attack may try")
    through = commands.add_parser("adaptive-pictures", parents=[common, guards], help="the same, by what a guard draws")
    through.add_argument("--attacks", type=int, default=2, help="on each guard")
    through.add_argument("--tries", type=int, default=60, help="pictures that one attack may have drawn")
    commands.add_parser("check-speed", parents=[common], help="time of the check, by the size of the workflow")
    unasked = commands.add_parser("unasked", parents=[common], help="a concept that comes without its words")
    unasked.add_argument("--only", nargs="*", default=(), metavar="NAME", help="ways in with this in their name")
    unasked.add_argument("--count", type=int, default=100, help="prompts of each way")
    unasked.add_argument("--guards", nargs="*", metavar="NAME", help="these, or 'all' (default: the main ones)")
    unasked.add_argument("--tuning", action="store_true", help="the prompts on which settings were chosen")
    unasked.add_argument(
        "--shard", default="1/1", metavar="PART/PARTS", help="share of the prompts, for several processes"
    )
    assets = commands.add_parser("unasked-assets", help="train the LoRAs and the token of `unasked`, learn presences")
    assets.add_argument("--only", nargs="*", default=(), metavar="NAME", help="assets with this in their name")
    assets.add_argument("--to", type=Path, help="folder (default: tests/assets)")
    for parser_ in (unasked, assets):
        parser_.add_argument("--bfloat16", action="store_true", help="precision of the UNet: a third of the time")

    leaving = commands.add_parser("leaving", parents=[common], help="unsafe pictures that leave, with SafetyGate")
    leaving.add_argument("--count", type=int, default=100, help="prompts with a weapon, and as many without")
    tiny_clip = commands.add_parser("tiny-clip", help="train the small CLIP on which the zero-shot judge is tested")
    tiny_clip.add_argument("--steps", type=int, default=2000, help="of training")
    tiny_clip.add_argument("--to", type=Path, help="folder (default: tests/assets)")

    dit = commands.add_parser("train-dit", parents=[common], help="train the small DiT of the tiny world; goes on")
    dit.add_argument("--minutes", type=float, default=60, help="of training, this time")
    dit.add_argument("--threads", type=int, default=2)
    dit.add_argument("--seed", type=int, default=0)
    dit.add_argument("--to", type=Path, help="write what was reached to this folder, e.g. tests/assets")

    names = commands.add_parser("names", parents=[common], help="lists of names: time, spellings, everyday words")
    names.add_argument("--encoder", choices=NAMES, default="minilm", help="that judges names of everyday words")
    names.add_argument("--split", choices=("dev", "held", "all"), default="held", help="of the sentences")
    names.add_argument("--lang-clip", type=Path, help="folder of lang-clip")
    language.add_parser(commands, common)
    paper.add_parser(commands, common)
    results.add_parser(commands, common)

    gate = commands.add_parser("gate", help="the small benchmark of continuous integration, against baseline.json")
    gate.add_argument("--accept", action="store_true", help="make the figures measured now the accepted ones")

    prompts = commands.add_parser("prompts", parents=[common, guards], help="your checkpoint, your CSV of prompts")
    prompts.add_argument(
        "csv", type=Path, help="columns prompt, adv_prompt or 'sensitive prompt'; seed and guidance as in I2P"
    )
    prompts.add_argument("--checkpoint", type=Path, help="a checkpoint file (default: the tiny one)")
    prompts.add_argument("--concept-set", default="weapons", help="a file of concept_sets/, without .json")
    prompts.add_argument("--detector", choices=["tiny", "nudenet"], default="tiny")
    prompts.add_argument("--family", default="weapon", help="what the detector 'tiny' looks for")
    prompts.add_argument("--steps", type=int, default=8)
    prompts.add_argument("--cfg", type=float, default=5.0, help="where the CSV has no guidance")
    prompts.add_argument("--size", type=int, default=128, help="pixels; 512 for SD1.5")
    prompts.add_argument("--limit", type=int, help="only the first so many prompts")
    prompts.add_argument("--seeds", type=int, default=1, help="pictures of a prompt: its seed, the next one, ...")
    prompts.add_argument("--pictures", type=Path, help="folder that keeps the pictures (default: .comfy/bench)")
    prompts.add_argument("--clip-vision", help="CLIP vision file, for CLIP scores; needs --clip-text")
    prompts.add_argument("--clip-text", help="text encoder file of the same CLIP")
    cluster.add_options(prompts)
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.command == "gate":
        raise SystemExit(_gate(arguments.accept))
    if arguments.command == "unasked-assets":
        return _unasked_assets(arguments)
    if arguments.command == "tiny-clip":
        return _tiny_clip(arguments)
    if arguments.command == "train-dit":
        return _train_dit(arguments)
    out = arguments.out / arguments.command
    if arguments.command == "attacks":
        raise SystemExit(_attacks(arguments, out))
    if arguments.command == "check-speed":
        raise SystemExit(_check_speed(out))
    measure = {
        "adaptive": _adaptive,
        "adaptive-pictures": _adaptive_pictures,
        "concept-removal": _concept_removal,
        "concepts": _concepts,
        "encoders": _encoders,
        "language": language.run,
        "leaving": _leaving,
        "names": _names,
        "overhead": _overhead,
        "paper": paper.run,
        "prompts": _prompts,
        "results": results.run,
        "soak": _soak,
        "start": _start,
        "unasked": _unasked,
    }
    measure[arguments.command](arguments, out)
    print(f"Report: {out / 'report.md'}")


def _leaving(arguments, out: Path) -> None:
    from .pictures import leaving

    leaving.run(out, arguments.count)


def _names(arguments, out: Path) -> None:
    from .language import names

    print(names.run(out, Encoder(arguments.encoder, folder=arguments.lang_clip), arguments.split))


def _tiny_clip(arguments) -> None:
    from .world import tiny_clip
    from .world.detector import ASSETS

    print(tiny_clip.train(arguments.to or ASSETS, arguments.steps))


def _train_dit(arguments) -> None:
    from .world import train_dit

    folder = arguments.out / "train-dit"
    train_dit.train(folder, arguments.minutes, arguments.seed, arguments.threads)
    if arguments.to:
        print(train_dit.export(folder, arguments.to))


def _unasked(arguments, out: Path) -> None:
    from .unasked import command

    guards = command.GUARDS if not arguments.guards else tuple(arguments.guards)
    guards = command.ALL if guards == ("all",) else guards
    if unknown := set(guards) - set(command.ALL):
        raise SystemExit(f"bench: unknown guard {', '.join(sorted(unknown))}. Known: all, {', '.join(command.ALL)}.")
    scope = command.Scope(tuple(arguments.only), arguments.count, guards, arguments.shard, arguments.tuning)
    command.run(out, scope, arguments.bfloat16)


def _unasked_assets(arguments) -> None:
    from .unasked import assets

    where = arguments.to or assets.ASSETS
    assets.make_assets(where, tuple(arguments.only), arguments.bfloat16)


def _gate(accept: bool) -> int:
    """Exit status: 1 when a figure is worse than its accepted interval."""
    from .pictures import gate
    from .world.studio import Sampling, Studio

    measured = gate.measure(Studio(Sampling()))
    print("\n".join(f"{name}: {rate}" for name, rate in measured.items()))
    if accept:
        gate.accept(measured)
        return 0
    worse = gate.regressions(measured, gate.accepted())
    print("\n".join(["Worse than accepted:", *worse]) if worse else "No figure is worse than accepted.")
    return int(bool(worse))


def _attacks(arguments, out: Path) -> int:
    """Exit status: 1 when an attack drew the concept, or failed for a reason that is not the guard's."""
    from .attacks import suite

    outcomes = suite.run(out, arguments.count, arguments.seed, arguments.controls)
    print((out / "report.md").read_text(encoding="utf-8"))
    return int(any(outcome.end not in suite.HARMLESS for outcome in outcomes))


def _adaptive(arguments, out: Path) -> None:
    from .attacks import adaptive

    adaptive.run(out, arguments.seeds, arguments.tries)


def _adaptive_pictures(arguments, out: Path) -> None:
    from .attacks import through_pictures

    chosen = tuple(guard.name for guard in _guards(arguments.guards)) if arguments.guards else through_pictures.GUARDS
    through_pictures.run(out, chosen, arguments.attacks, arguments.tries)


def _check_speed(out: Path) -> int:
    """Exit status: 1 when a workflow of 10,000 nodes took too long."""
    from .cost import check_speed

    quick = check_speed.run(out)
    print((out / "report.md").read_text(encoding="utf-8"))
    return int(not quick)


def _concept_removal(arguments, out: Path) -> None:
    from .pictures import concept_removal

    concept_removal.run(out, _guards(arguments.guards), arguments.subset, arguments.limit, arguments.seed)


def _concepts(arguments, out: Path) -> None:
    from .pictures import concepts

    concepts.run(out, tuple(arguments.only), arguments.seed)


def _overhead(arguments, out: Path) -> None:
    from .cost import overhead

    overhead.run(out, arguments.full, tuple(arguments.only))


def _start(arguments, out: Path) -> None:
    from .cost import first_prompt

    first_prompt.run(out, arguments.rounds)


def _encoders(arguments, out: Path) -> None:
    from .cost import encoders, full_size

    models, residences = arguments.models.split(","), arguments.residence.split(",")
    for given, known in ((models, full_size.MODELS), (residences, encoders.RESIDENCES)):
        if unknown := set(given) - set(known):
            raise SystemExit(f"bench: unknown {', '.join(sorted(unknown))}. Known: {', '.join(known)}.")
    if "streamed" in residences and arguments.device == "cpu":
        raise SystemExit("bench: weights are streamed to a GPU: streamed needs --device cuda.")
    chosen = {name: getattr(arguments, name) for name in ("device", "dtype", "rounds", "seconds", "layers")}
    words = tuple(int(count) for count in arguments.words.split(","))
    encoders.run(out, tuple(models), encoders.Run(**chosen, words=words, residences=tuple(residences)))


def _soak(arguments, out: Path) -> None:
    from .cost import soak

    soak.run(out, arguments.prompts, arguments.steps, arguments.size, arguments.seed)
    print((out / "report.md").read_text())


def _prompts(arguments, out: Path) -> None:
    from .pictures import own_prompts
    from .world.studio import CACHE, Sampling

    if bool(arguments.clip_vision) != bool(arguments.clip_text):
        raise SystemExit("bench: CLIP scores need both --clip-vision and --clip-text.")
    if arguments.seeds < 1:
        raise SystemExit(f"bench: --seeds {arguments.seeds}: a prompt needs at least one.")
    rows = own_prompts.read(arguments.csv)[: arguments.limit]
    rows = [dataclasses.replace(row, seed=row.seed + more) for row in rows for more in range(arguments.seeds)]
    plan = own_prompts.Plan(
        Sampling(arguments.steps, arguments.cfg, size=arguments.size),
        tuple(guard.name for guard in _guards(arguments.guards)),
        arguments.concept_set,
        arguments.detector,
        arguments.family,
        arguments.checkpoint and arguments.checkpoint.resolve(),
        (str(Path(arguments.clip_vision).resolve()), str(Path(arguments.clip_text).resolve()))
        if arguments.clip_vision
        else (),
        (arguments.pictures or CACHE).resolve(),
    )
    with cluster.place(arguments) as place:
        try:
            own_prompts.run(out, plan, rows, place)
        except cluster.AMISS as error:
            raise SystemExit(f"bench: {error}") from error


def _guards(names: list[str] | None) -> tuple:
    from .world.guards import BY_NAME, DEFAULT

    chosen = BY_NAME if names == ["all"] else names or DEFAULT
    if unknown := set(chosen) - set(BY_NAME):
        raise SystemExit(f"bench: unknown guard {', '.join(sorted(unknown))}. Known: all, {', '.join(BY_NAME)}.")
    return tuple(BY_NAME[name] for name in chosen)


if __name__ == "__main__":
    main()
