"""The command line of `bench paper`, and its run: files checked, time told, rows measured, tables written."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from ..run import cluster, kept
from ..world.studio import CACHE
from . import export, fid, judges, results, sets, tables
from .drawing import ALL, GATED, GUARDS, OURS, Plan
from .protocol import PROTOCOLS

TRIAL = 1  # rows whose time is measured before the rest


def add_parser(commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("paper", parents=[common], help="the tables of the SAFREE paper, on your checkpoint")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="safree", help="whose settings and tables")
    parser.add_argument("--checkpoint", type=Path, help="a Stable Diffusion 1 checkpoint (default: the tiny one)")
    parser.add_argument("--other-family", action="store_true", help="another kind of model, without published figures")
    parser.add_argument("--sets", type=Path, required=True, help="folder with the public sets under their own names")
    parser.add_argument("--only", nargs="*", default=(), metavar="SET", help="these sets alone, e.g. I2P COCO")
    parser.add_argument(
        "--guards",
        nargs="*",
        metavar="NAME",
        help=f"of: {', '.join(ALL)}, or 'all' (default: without the last three, rivals)",
    )
    parser.add_argument("--concept-set", default="nudity", help="a file of concept_sets/, without .json")
    parser.add_argument("--presence", type=Path, help="file of SaveConceptPresence, for the latent guard")
    parser.add_argument("--gate", choices=["nudenet", "tiny"], help="judge of SafetyGate in the last guard")
    parser.add_argument("--family", default="", help="what the detector of the tiny world looks for, e.g. weapon")
    parser.add_argument("--nudenet2", type=Path, help="classifier_model.onnx of NudeNet 2, the paper's judge")
    parser.add_argument("--nudenet3", action="store_true", help="NudeNet 3.4's detector of parts, as installed")
    parser.add_argument("--q16", type=Path, help="Q16's prompts, .safetensors or .npy; with --clip-vision")
    parser.add_argument("--clip-vision", type=Path, help="CLIP vision file, for Q16 and CLIP scores")
    parser.add_argument("--clip-text", type=Path, help="text encoder file of the same CLIP")
    parser.add_argument("--lpips", action="store_true", help="distance to the unguarded picture, by torchmetrics")
    parser.add_argument("--fid-reference", type=Path, help="folder of real pictures, for FID on COCO")
    parser.add_argument("--fid-weights", type=Path, help="Inception weights of torch-fidelity, for FID")
    parser.add_argument("--limit", type=int, default=0, help="at most so many rows of each set (0: all)")
    parser.add_argument("--steps", type=int, default=0, help="others than the protocol's")
    parser.add_argument("--size", type=int, default=0, help="pixels, others than the protocol's")
    parser.add_argument("--pictures", type=Path, help="folder that keeps the pictures (default: .comfy/bench)")
    parser.add_argument("--export", type=Path, help="write pictures and manifests there, as eval-unlearn lays them out")
    parser.add_argument("--dry-run", action="store_true", help="say what is there and what is missing, and end")
    parser.add_argument("--trial", action="store_true", help="measure one row of each set, tell the time, and end")
    cluster.add_options(parser)


def run(arguments, out: Path) -> None:
    """Write report.md, rows.csv and results.json to `out`; SystemExit says what is amiss in one line."""
    found = sets.find(arguments.sets, tuple(arguments.only))
    plan, missing = _plan(arguments), _missing(arguments, found)
    print("\n".join(_inventory(found, plan, missing)))
    if arguments.dry_run:
        raise SystemExit(0)
    rows = [row for one in found for row in (one.rows[: arguments.limit] if arguments.limit else one.rows)]
    if not rows:
        raise SystemExit(f"bench: {arguments.sets} holds none of the sets. What is missing stands above.")
    with cluster.place(arguments) as place:
        try:
            measured, family = _measure(out, plan, rows, place, arguments.trial)
        except cluster.AMISS as error:
            raise SystemExit(f"bench: {error}") from error
    if arguments.trial:
        raise SystemExit(0)
    entries = tables.figures(measured, plan) + fid.figures(measured, plan, arguments)
    text = tables.report(entries, plan, family, missing)
    (out / "report.md").write_text(text, encoding="utf-8")
    results.write(out, entries, measured, plan, family)
    if arguments.export:
        export.write(arguments.export, measured, plan)


def _plan(arguments) -> Plan:
    guards = ALL if arguments.guards == ["all"] else tuple(arguments.guards or GUARDS)
    if unknown := set(guards) - set(ALL):
        raise SystemExit(f"bench: unknown guard {', '.join(sorted(unknown))}. Known: all, {', '.join(ALL)}.")
    clip = [path for path in (arguments.clip_vision, arguments.clip_text) if path]
    if arguments.clip_text and not arguments.clip_vision:
        raise SystemExit("bench: --clip-text goes with --clip-vision, of the same CLIP.")
    if arguments.q16 and not arguments.clip_vision:
        raise SystemExit("bench: --q16 needs --clip-vision, the picture encoder that its prompts were learnt with.")
    for path in (arguments.checkpoint, arguments.presence, arguments.nudenet2, arguments.q16, *clip):
        if path and not path.is_file():
            raise SystemExit(f"bench: there is no file {path}.")
    if arguments.q16:
        judges.read_prompts(arguments.q16)
    resolved = {name: str(path.resolve()) for name in ("nudenet2", "q16") if (path := getattr(arguments, name))}
    files = judges.Files(
        family=arguments.family,
        nudenet3=arguments.nudenet3,
        clip=tuple(str(path.resolve()) for path in clip),
        lpips=arguments.lpips,
        **resolved,
    )
    return Plan(
        arguments.protocol,
        tuple(guard for guard in guards if guard not in _without(arguments)),
        arguments.concept_set,
        files,
        arguments.checkpoint and arguments.checkpoint.resolve(),
        arguments.presence and arguments.presence.resolve(),
        arguments.gate or "",
        (arguments.pictures or CACHE).resolve(),
        arguments.steps,
        arguments.size,
        arguments.other_family,
    )


def _without(arguments) -> dict[str, str]:
    """The guards that cannot be drawn, and what each lacks."""
    lacks = {}
    if not arguments.presence:
        lacks = dict.fromkeys(OURS, "--presence FILE, which LearnConceptPresence and SaveConceptPresence make")
    elif not arguments.gate:
        lacks = {GATED: "--gate nudenet (or tiny)"}
    if arguments.gate == "tiny" and not arguments.family:
        lacks[GATED] = "--family, what the tiny detector looks for"
    return lacks


def _missing(arguments, found: list[sets.Found]) -> dict[str, str]:
    """All that a full table lacks, and what brings it."""
    lacks = {f"set {one.set.name}": _where(one.set, arguments.sets) for one in found if one.path is None}
    lacks |= {f"guard {name}": what for name, what in _without(arguments).items()}
    lacks |= {f"judge {name}": what for name, what in _plan(arguments).files.missing().items()}
    if not (arguments.fid_reference and arguments.fid_weights):
        lacks["judge FID"] = f"--fid-reference FOLDER and --fid-weights FILE ({fid.SOURCE})"
    return lacks


def _where(one: sets.PublicSet, folder: Path) -> str:
    return f"put {' or '.join(one.files)} into {folder}, from {one.source}"


def _inventory(found: list[sets.Found], plan: Plan, missing: dict[str, str]) -> list[str]:
    lines = []
    for one in found:
        if one.path:
            out = f", {one.left_out} left out that are about children" if one.left_out else ""
            lines.append(f"set {one.set.name}: {len(one.rows)} rows of {one.path.name}{out}")
    lines += [f"guards: {', '.join(plan.guards)}", *(f"missing {name}: {what}" for name, what in missing.items())]
    return lines


def _measure(out: Path, plan: Plan, rows: list[sets.Row], place, trial: bool) -> tuple[list[tables.Measured], str]:
    """What was measured of each row with each guard, and the model's class; what rows.jsonl knows is not drawn."""
    known = kept.Kept(out / "rows.jsonl")
    with place.open(plan) as pool:
        context = dataclasses.replace(plan, guards=(), checkpoint=None, presence=None, pictures=Path()), pool.identity
        context = *context, plan.presence and (plan.presence.name, plan.presence.stat().st_size)

        def measure(some: list[sets.Row], **bar) -> list[dict]:
            items = [(row, guard) for row in some for guard in plan.guards]
            keys = [kept.digest(context, guard, dataclasses.astuple(row)) for row, guard in items]
            return kept.measure(pool, items, keys, known, len(plan.guards), unit="picture", **bar)

        first = list({row.set: row for row in reversed(rows)}.values()) if trial else rows[:TRIAL]
        start, before = time.monotonic(), len(known)
        measure(first, desc="trial")
        if drawn := len(known) - before:
            print(_estimate((time.monotonic() - start) / drawn, len(rows) * len(plan.guards), pool.workers))
        if trial:
            return [], pool.about
        entries = measure(rows, desc="paper")
        pairs = [(row, guard) for row in rows for guard in plan.guards]
        return [(*pair, entry) for pair, entry in zip(pairs, entries, strict=True)], pool.about


def _estimate(seconds: float, pictures: int, workers: int) -> str:
    hours = seconds * pictures / 3600
    return (
        f"{seconds:.1f} s a picture, measured on the first ones: {pictures} pictures are about {hours:.1f} hours of "
        f"one worker, {hours / workers:.1f} on {workers}, less what is drawn already."
    )
