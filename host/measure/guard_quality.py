"""What a guard catches with one text encoder: sentences through `guard_prompt`, and the figures that come of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

import comfy.model_management
import comfy.utils

from ...safree import SafreeError, check_choice, measures, plan
from ..data import languages, sentences
from ..data.sentences import Sentence
from ..prompt import by_language
from ..prompt.findings import Finding, Settings
from ..prompt.guard import guard_prompt
from ..report.reports import VERSION
from ..text.embeddings import embeddings_of
from ..text.encoders import encoders

PARTS = ("quick", "half", "all")
LANGUAGES = "languages"  # beside them: the kept half of the sentences in other languages
QUICK = 4  # every so manieth sentence of the half that was kept aside
RATE = 0.01  # of false flags, at which the share that is caught is given too
SHOWN = 10  # worst cases of each kind
NOTHING = -1.0  # margin of a sentence in which there was nothing to judge
LEAST = 5e-5  # half a unit of the report's last digit: what is flagged lies above its limit by this at least
POINTS = 200  # of the curve in a report


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the guard made of one sentence.

    margin: of the word with the highest score, score minus limit; above 0 exactly where the sentence is flagged
    words, triggers: how many it has. taken: words taken out; hits: those of them that are triggers
    """

    sentence: Sentence
    flagged: bool
    margin: float
    word: str
    concept: str
    score: float
    limit: float
    words: int
    taken: int
    triggers: int
    hits: int
    seconds: float


def judge(clip, sentence: Sentence, subspaces, settings: Settings) -> Outcome:
    """Guard one sentence as SafreeConditioning does, and note what was flagged."""
    start = time.perf_counter()
    guarded = guard_prompt(clip, sentence.text, subspaces, settings, refuse=False)
    seconds = time.perf_counter() - start
    judged = [finding for finding in guarded.findings if finding.concept]
    top = max(judged, key=lambda one: (one.is_flagged, one.score - one.threshold), default=Finding("", ""))
    flagged = bool(guarded.flagged)
    margin = top.score - top.threshold if judged else NOTHING
    words, taken = taken_out(sentence.text, guarded.findings)
    triggers = {i for place in plan.Matcher(sentence.triggers).find(words) for i in place}
    counted = [i for i, word in enumerate(words) if not plan.is_mark(word)]
    return Outcome(
        sentence,
        flagged,
        max(margin, LEAST) if flagged else min(margin, 0.0),
        top.text,
        top.concept,
        top.score,
        top.threshold,
        len(counted),
        sum(taken[i] for i in counted),
        len(triggers),
        sum(taken[i] for i in counted if i in triggers),
        seconds,
    )


def taken_out(text: str, findings: Sequence[Finding]) -> tuple[tuple[str, ...], list[bool]]:
    """(words and marks of `text` in lower case, whether each is flagged) from what was found in it.

    Findings are of words or pieces of words; where an encoder reads the text otherwise than it is written, every
    occurrence of a flagged word counts.
    """
    words = plan.pieces(text)
    places = [i for i, word in enumerate(words) for _ in word]
    taken = [False] * len(words)
    for encoder in dict.fromkeys(finding.encoder for finding in findings):
        own = [("".join(f.text.split()).lower(), f.is_flagged) for f in findings if f.encoder == encoder]
        if "".join(letters for letters, _ in own) == "".join(words):
            hits = [flagged for letters, flagged in own for _ in letters]
            for place, hit in zip(places, hits, strict=True):
                taken[place] |= hit
        else:
            flagged = {piece for letters, hit in own if hit for piece in plan.pieces(letters)}
            taken = [before or word in flagged for before, word in zip(taken, words, strict=True)]
    return words, taken


def part_of(known: Iterable[Sentence], part: str, concepts: Iterable[str]) -> list[Sentence]:
    """The sentences of one of PARTS that say something about a guard against `concepts`."""
    concepts = frozenset(concepts)
    fitting = [s for s in known if (part == "all" or s.split == "held") and s.side(concepts) is not None]
    return fitting[::QUICK] if part == "quick" else fitting


def check(clip, subspaces, part: str, mode: str = "adaptive", threshold: float = 0.0) -> dict:
    """The report, see `summary`, of a guard over one of PARTS of the shipped sentences, or over LANGUAGES.

    Shows ComfyUI's progress bar and obeys its interrupt. Raises SafreeError.
    """
    check_choice("sentences", part, (*PARTS, LANGUAGES))
    settings = Settings(mode, 1.0, threshold, "whole schedule")
    active = tuple(subspace for subspace in subspaces if subspace.tuned(mode, threshold).strength > 0)
    if not active:
        fault = "every connected subspace has strength 0" if subspaces else "no concept subspace is connected"
        raise SafreeError(f"{fault}, so nothing can be caught. Connect a ConceptSubspace with a strength above 0.")
    names = [subspace.name for subspace in active]
    chosen, notes = of_languages(clip, names) if part == LANGUAGES else (part_of(sentences.load(), part, names), [])
    outcomes = []
    if not chosen:
        raise SafreeError(f"{notes[0]} Choose other sentences." if notes else "there are no sentences about this.")
    progress = comfy.utils.ProgressBar(len(chosen))
    for sentence in chosen:
        comfy.model_management.throw_exception_if_processing_interrupted()
        outcomes.append(judge(clip, sentence, active, settings))
        progress.update_absolute(len(outcomes), len(chosen))  # encoding has a bar of its own
    report = summary(outcomes, names, settings)
    return {**report, "notes": [*report["notes"], *notes]}


def of_languages(clip, concepts: Iterable[str]) -> tuple[list[Sentence], list[str]]:
    """(kept sentences in the languages that a text encoder of `clip` reads, each of a kind named as its language is,
    notes on the others)."""
    found, unread = [], []
    readers = [(encoder, embeddings_of(encoder)) for encoder in encoders(clip)]
    for code, language in languages.load().items():
        if any(by_language.reads(encoder, store, code) for encoder, store in readers):
            own = part_of(sentences.of_language(code), "half", concepts)
            found += [dataclasses.replace(sentence, kind=language.name) for sentence in own]
        else:
            unread.append(language.name)
    note = f"No text encoder of this CLIP reads {', '.join(unread)}: prompts in these languages are not checked."
    return found, [note] if unread else []


def figures(harmful: Sequence[Outcome], harmless: Sequence[Outcome]) -> dict[str, measures.Share]:
    """The figures of a guard from what it made of both kinds of sentences; those of an empty kind have no cases."""
    scores = [o.margin for o in harmful], [o.margin for o in harmless]
    marked = [o for o in harmful if o.triggers]
    return {
        "caught": measures.share([o.flagged for o in harmful]),
        "false_flags": measures.share([o.flagged for o in harmless]),
        "area": measures.area(*scores),
        "caught_at_1_percent": measures.caught_at(*scores, RATE) if scores[0] else measures.share([]),
        "words_lost": measures.ratio([o.taken for o in harmless], [o.words for o in harmless]),
        "precision": measures.ratio([o.hits for o in marked], [o.taken for o in marked]),
        "recall": measures.ratio([o.hits for o in marked], [o.triggers for o in marked]),
    }


def sides(outcomes: Iterable[Outcome], concepts: Iterable[str]) -> tuple[list[Outcome], list[Outcome]]:
    """(harmful, harmless) outcomes for a guard against `concepts`; those about other concepts are in neither."""
    outcomes, concepts = list(outcomes), frozenset(concepts)
    return tuple([o for o in outcomes if o.sentence.side(concepts) is side] for side in (True, False))


def groups(outcomes: Iterable[Outcome], key: Callable[[Sentence], str]) -> dict[str, list[Outcome]]:
    """Outcomes by what `key` says of their sentence, in order of appearance."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(key(outcome.sentence), []).append(outcome)
    return found


def worst(harmful: Iterable[Outcome], harmless: Iterable[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """(misses, false flags): the harmful sentences not flagged and the harmless ones flagged, the worst first."""
    missed = sorted((o for o in harmful if not o.flagged), key=lambda o: o.margin)
    return missed, sorted((o for o in harmless if o.flagged), key=lambda o: -o.margin)


def summary(outcomes: Sequence[Outcome], names: Sequence[str], settings: Settings) -> dict:
    """The report of a run as plain data: verdict, figures with intervals, shares by kind, the curve, worst cases."""
    harmful, harmless = sides(outcomes, names)
    found, cases = figures(harmful, harmless), worst(harmful, harmless)
    covered = {outcome.sentence.concept for outcome in harmful}
    points = measures.curve([o.margin for o in harmful], [o.margin for o in harmless]) if harmful and harmless else []
    step = max(-(-len(points) // POINTS), 1)
    return {
        "version": VERSION,
        "kind": "measurement",
        "verdict": _verdict(found, names),
        "mode": settings.mode,
        "threshold": settings.threshold,
        "concepts": list(names),
        "sentences": len(outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "figures": {name: plain(value) for name, value in found.items()},
        "caught_by_concept": _shares(harmful, lambda s: s.concept),
        "caught_by_kind": _shares(harmful, lambda s: s.kind),
        "false_flags_by_kind": _shares(harmless, lambda s: s.kind),
        "curve": [[round(x, 4), round(y, 4)] for x, y in [*points[:-1:step], *points[-1:]]],
        "missed": [_case(outcome) for outcome in cases[0][:SHOWN]],
        "flagged_wrongly": [_case(outcome) for outcome in cases[1][:SHOWN]],
        "notes": [
            f"No shipped sentence is about {name!r}: for it only false flags are measured."
            for name in names
            if name not in covered
        ],
    }


def _verdict(found: dict[str, measures.Share], names: Sequence[str]) -> str:
    caught, false = found["caught"], found["false_flags"]
    wrongly = f"flags {false.value:.1%} of {false.n} harmless sentences" if false.n else "has no harmless sentence"
    if not caught.n:
        return f"The guard against {', '.join(names)} {wrongly}."
    return f"The guard catches {caught.value:.0%} of {caught.n} sentences about {', '.join(names)} and {wrongly}."


def _shares(outcomes: Sequence[Outcome], key: Callable[[Sentence], str]) -> dict[str, dict]:
    shares = {name: measures.share([o.flagged for o in own]) for name, own in groups(outcomes, key).items()}
    return {name: plain(value) for name, value in shares.items()}


def plain(value: measures.Share) -> dict | None:
    """A share as plain data, None without cases."""
    if not value.n:
        return None
    return {"value": round(value.value, 4), "low": round(value.low, 4), "high": round(value.high, 4), "n": value.n}


def _case(outcome: Outcome) -> dict:
    return {
        "id": outcome.sentence.id,
        "text": outcome.sentence.text,
        "concept": outcome.sentence.concept,
        "word": outcome.word,
        "score": round(outcome.score, 4),
        "threshold": round(outcome.limit, 4),
    }
