"""The command line of `bench language`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from dev import inprocess, setup_host, text_encoders

from ..run import cluster, kept
from . import families, few_phrases, measured_sets, report, runs, sources, spellings
from .encoders import NAMES, Encoder

MODES = ("adaptive", "paper", "reference")


def add_parser(commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("language", parents=[common], help="what the guard makes of real sentences")
    parser.add_argument("--encoder", nargs="+", default=[], choices=NAMES, help="text encoders")
    parser.add_argument("--lang-clip", type=Path, default=text_encoders.LANG_CLIP, help="folder of lang-clip")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="a checkpoint of your own")
    parser.add_argument("--clip", type=Path, nargs="+", default=[], help="text encoder files of one model of your own")
    parser.add_argument("--clip-type", default="stable_diffusion", help="of --clip: flux, wan, ... as in CLIPLoader")
    parser.add_argument("--sets", type=_names, metavar="NAME,NAME", help="concept sets (default: all); style: artists")
    parser.add_argument("--subspace", type=Path, nargs="+", default=[], help="files of SaveConceptSubspace")
    parser.add_argument("--modes", nargs="+", default=["adaptive"], choices=MODES, help="the last two are slow")
    parser.add_argument("--threshold", type=float, default=0.0, help="as in SafreeConditioning; 0 is automatic")
    parser.add_argument("--csv", type=Path, help="sentences with columns set, concept, prompt, instead of the pack's")
    parser.add_argument("--public", type=Path, help="T2VSafetyBench's folder, CoPro_v1.0.json, or I2P's CSV")
    parser.add_argument("--split", default="dev", choices=["dev", "held", "all"], help="of the pack's own sentences")
    parser.add_argument("--languages", type=_names, default=[], metavar="CODE,CODE", help="those sentences; or: all")
    parser.add_argument("--spellings", action="store_true", help="harmful sentences, their words written to be missed")
    cluster.add_options(parser)
    parser.add_argument("--limit", type=int, default=0, help="at most about so many sentences (0: all)")
    parser.add_argument("--alone", action="store_true", help="leave out the guard with all sets together")
    parser.add_argument(
        "--vocabulary",
        nargs="+",
        type=float,
        default=[],
        metavar="SHARE",
        help="of everyday language (default: as in use)",
    )
    parser.add_argument("--show-text", action="store_true", help="show sentences of --csv or --public as worst cases")
    parser.add_argument(
        "--concept", metavar="'PHRASE; PHRASE'", help="only say what a concept of these phrases catches"
    )
    parser.add_argument("--few-phrases", action="store_true", help="only measure concepts of 3, 5, 10 and 20 phrases")
    parser.add_argument("--left-out", action="store_true", help="only measure sets with a third of phrases left out")
    parser.add_argument("--write-sets", action="store_true", help="write the figures into concept_sets/*.json")


def _names(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


def run(arguments, out: Path) -> None:
    """Measure, write report.md, results.json and curves.png to `out`; ends the program where something is amiss."""
    foreign = arguments.public or arguments.csv
    if arguments.write_sets and foreign:
        raise SystemExit("bench: --write-sets goes with the pack's own sentences, not with --csv or --public.")
    inprocess.boot(cpu=bool(arguments.ray) or not arguments.gpu)
    pack = inprocess.load_pack()
    if arguments.vocabulary and (arguments.concept or arguments.few_phrases or arguments.left_out):
        raise SystemExit("bench: --vocabulary goes with sentences, not with --concept, --few-phrases or --left-out.")
    if arguments.concept or arguments.few_phrases:
        return _small_concepts(pack, arguments, out)
    if arguments.left_out:
        return _print(families.table(_left_out(pack, arguments)), out / "left_out.md")
    sentences = _sentences(pack, arguments)
    known, found, seconds = kept.Kept(out / "outcomes.jsonl"), [], {}
    plans = _plans(pack, arguments, sentences)
    with cluster.place(arguments) as place:
        try:
            for plan in plans:
                name = plan.encoder.label
                with place.open(plan) as pool:
                    seconds[name] = pool.about[1]
                    for mode in arguments.modes:
                        found += runs.measure(pack, name, pool, mode, arguments.threshold, sentences, known)
        except cluster.AMISS as error:
            raise SystemExit(f"bench: {error}") from error
    source = foreign.name if foreign else f"the pack's own, split {arguments.split}"
    show = arguments.show_text or not foreign
    document = report.write(pack, found, seconds, out, f"{len(sentences)} sentences: {source}.", show)
    _draw(pack, found, {plan.encoder.label: plan.encoder for plan in plans}, out / "curves.png")
    if arguments.write_sets:
        left_out = {at: pack.host.measure.guard_quality.plain(s) for at, s in _left_out(pack, arguments).items()}
        folder = setup_host.ROOT / "concept_sets"
        for path in measured_sets.write(document["runs"], arguments.split, folder, left_out):
            print(f"Measured figures written: {path}")


def _sentences(pack, arguments) -> list:
    """The sentences that the command line asks for."""
    if arguments.public:
        return sources.public(pack, arguments.public, arguments.limit)
    if arguments.csv:
        return sources.from_csv(pack, arguments.csv, arguments.limit)
    if arguments.languages:
        return sources.of_languages(pack, arguments.languages, arguments.split, arguments.limit)
    own = sources.own(pack, arguments.split, arguments.limit)
    if not arguments.spellings:
        return own
    return [*own, *(sentence for name in spellings.SPELLINGS for sentence in spellings.spelled(own, name))]


def _small_concepts(pack, arguments, out: Path) -> None:
    """What a concept catches (--concept), or how much of their kinds a few phrases find (--few-phrases)."""
    rows = []
    for encoder in _encoders(arguments):
        clip = encoder.load()
        if arguments.concept:
            phrases = tuple(phrase.strip() for phrase in arguments.concept.split(";") if phrase.strip())
            built = pack.host.prompt.subspaces.build_subspace(clip, phrases[0], phrases)
            print(f"{encoder.name}\n{pack.host.prompt.concept_reach.describe(clip, built)['text']}")
            continue
        captions = [s for s in sources.own(pack, arguments.split) if s.kind in ("caption", "photo") and not s.concept]
        rows += few_phrases.measure(pack, clip, encoder.name, arguments.split, captions)
    if rows:
        _print(few_phrases.table(rows), out / "few_phrases.md")


def _left_out(pack, arguments) -> dict:
    """(encoder, set) -> the Share that the set finds without a third of its phrases."""
    sentences, found = sources.own(pack, arguments.split), {}
    for encoder in _encoders(arguments):
        clip = encoder.load()
        for name in _sets(pack, arguments, []):
            found[encoder.name, name] = families.measure(pack, clip, name, sentences)
    return found


def _print(lines: list[str], path: Path) -> None:
    """On the screen and into a file."""
    print("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _encoders(arguments) -> list[Encoder]:
    """The text encoders that the command line asks for; by default MiniLM."""
    found = [Encoder(name, folder=arguments.lang_clip.resolve()) for name in arguments.encoder]
    found += [Encoder(path.stem, (path.resolve(),)) for path in arguments.checkpoint]
    if arguments.clip:
        name = "+".join(path.stem for path in arguments.clip)
        found.append(Encoder(name, tuple(path.resolve() for path in arguments.clip), arguments.clip_type))
    return found or [Encoder("minilm")]


def _plans(pack, arguments, sentences: list) -> list[runs.Plan]:
    """What to measure with each text encoder."""
    sets = tuple(_sets(pack, arguments, sentences))
    artists = tuple(dict.fromkeys(s.concept for s in sentences if s.concept.startswith(f"{runs.STYLE}:")))
    files, together = tuple(path.resolve() for path in arguments.subspace), not arguments.alone
    wanted = [
        dataclasses.replace(one, share=share) for one in _encoders(arguments) for share in _shares(arguments.vocabulary)
    ]
    return [runs.Plan(encoder, sets, artists, files, together, arguments.threshold) for encoder in wanted]


def _shares(wanted: list[float]) -> list[float | None]:
    if wrong := [share for share in wanted if not 0 < share <= 1]:
        raise SystemExit(f"bench: --vocabulary {wrong[0]:g} is no share; it lies above 0, and 1 is all.")
    return wanted or [None]


def _sets(pack, arguments, sentences: list) -> list[str]:
    """The concept sets to measure: those named, or all; artists where sentences name some."""
    if arguments.sets is not None:
        return arguments.sets
    if arguments.subspace:
        return []
    shipped = [name for name in pack.host.data.concept_sets.names() if name != "artist_style_example"]
    artists = any(sentence.concept.startswith(f"{runs.STYLE}:") for sentence in sentences)
    return [*shipped, runs.STYLE] if artists else shipped


def _draw(pack, found: list, encoders: dict[str, Encoder], path: Path) -> None:
    try:
        from . import curves
    except ImportError:
        print("No curves.png: matplotlib is missing. `make bench BENCH=language` brings it.")
        return
    curves.draw(pack, found, path)
    curves.draw_shares(found, encoders, path.with_name("vocabulary.png"))
