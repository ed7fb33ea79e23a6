"""Second look: what a latent guard saw in a run, whether its result still shows it, and once more if it does."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from ...safree import Refusal, SafreeError
from ..report.reports import Report
from .latent_guard import Guard, guard_of, guarded_by
from .latent_look import look


def look_report(found: list[dict]) -> Report:
    """The report of a look on its own."""
    seen = _names(found)
    verdict = f"Found: {', '.join(seen)}." if seen else "Nothing found."
    return Report("look", "found" if seen else "clear", verdict, fields={"second_look": found})


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a latent guard saw in a run, and the second look at its result; plain data.

    presence: of each concept and picture while sampling
    looks: what each look at the result found, see latent_look.look; of two the second is at what was sampled again
    still: a sentence about what is seen in the result after all, '' for nothing
    """

    presence: list[dict]
    looks: tuple[list[dict], ...]
    notes: tuple[str, ...] = ()
    still: str = ""


def sample(model, run: Callable[..., dict], on_problem: str, second=None) -> tuple[dict, Seen | None]:
    """(LATENT of `run`, what was seen): with a latent guard on `model` the result is looked at, found before or not.

    run: samples with the model that it is given, or the two that draw one schedule in turn
    second: the second of these, which has a latent guard of its own, and looks at the result
    on_problem: where a concept is seen, 'error' raises Refusal, 'warn' says so, 'again' samples such pictures once
    more with the guard at full strength, and says so if that does not help either.
    """
    models, presence, notes = [model] if second is None else [model, second], [], ()
    guards = _guards(models)
    if not guards:
        return run(*models), None
    latent = run(*_guarded(models, guards, presence.append))
    looking, concepts = models[-1], guards[-1].concepts
    looks = [look(looking, concepts, latent)]
    if on_problem == "again" and _names(looks[0]):
        full = _guarded(models, [guard.at_full_strength() for guard in guards])
        latent = _sampled_again(latent, run(*full), looks[0])
        looks.append(look(looking, concepts, latent))
        notes = ("Sampled once more with the latent guard at full strength.",)
    still = ""
    if names := _names(looks[-1]):
        still = f"{', '.join(names)} seen in the result"
        if on_problem == "error":
            raise Refusal(
                f"{still}. Sample with another seed, raise the strength of LatentGuardPatch, or set on_problem to "
                "'again' or 'warn'."
            )
        logging.warning("SAFREE: %s", still)
        still = f"{still[:1].upper()}{still[1:]}."
    return latent, Seen(presence[-1] if presence else [], tuple(looks), notes, still)


def _guards(models: list) -> list[Guard]:
    """The latent guard of each model, none where none has one; SafreeError where they watch for other concepts."""
    guards = [guard_of(model) for model in models]
    if not any(guards):
        return []
    names = [{concept.name for concept in guard.concepts} if guard else set() for guard in guards]
    if len(models) == 2 and names[0] != names[1]:
        missing = ", ".join(sorted(names[0] ^ names[1]))
        raise SafreeError(
            f"{missing} is watched for on one of the two models alone, so the other could draw it. Put a "
            "LatentGuardPatch on each, with presences of the same names: each is learned with its own model."
        )
    return guards


def _guarded(models: list, guards: list[Guard], tell: Callable[[list[dict]], None] | None = None) -> list:
    """The models with their guards; what the first saw goes on in the second."""
    carried = [] if len(models) > 1 else None
    return [guarded_by(model, guard, tell, carried) for model, guard in zip(models, guards, strict=True)]


def _sampled_again(first: dict, again: dict, found: list[dict]) -> dict:
    """The LATENT `first` with the pictures that show a concept from `again`; those that are fine stay as they are."""
    shown = sorted({finding["picture"] for finding in found if finding["found"]})
    samples = first["samples"].clone()
    samples[shown] = again["samples"][shown]
    return {**first, "samples": samples}


def joined(report: Report, seen: Seen | None) -> Report:
    """A sampler's report with what a latent guard saw; the same without one."""
    if seen is None:
        return report
    found = [part for part in seen.presence if _shown(part)]
    state, reason = report.state, report.reason
    said = f"Latent guard: nothing found {'while sampling' if seen.still else 'in the picture'}."
    if found:
        names = ", ".join(dict.fromkeys(part["concept"] for part in found))
        said = f"Latent guard: {names} found {_when(found)}, damped afterwards."
        state = "filtered" if report.active else state
    if seen.still:
        state, reason = "inactive", "problem"
        said = f"{said} {seen.still}"
    return dataclasses.replace(
        report,
        state=state,
        reason=reason,
        verdict=f"{report.verdict} {said}",
        notes=(*report.notes, *seen.notes),
        fields={**report.fields, "presence": seen.presence, "second_look": seen.looks[-1]},
    )


def _shown(part: dict) -> bool:
    """Whether a concept was found in a picture, in the making or as it was given."""
    return part["given"] or part["found_at"] is not None


def _when(found: list[dict]) -> str:
    if any(part["given"] for part in found):
        return "in the picture given"
    return f"at step {min(part['found_at'] for part in found)}"


def _names(found: list[dict]) -> list[str]:
    return list(dict.fromkeys(finding["concept"] for finding in found if finding["found"]))
