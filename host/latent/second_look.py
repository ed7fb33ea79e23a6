"""Second look: what a latent guard saw in a run, whether its result still shows it, and once more if it does."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from ...safree import SafreeError
from ..report.reports import Report
from .latent_guard import guard_of
from .latent_look import look


def look_report(found: list[dict]) -> dict:
    """The report of a look on its own."""
    seen = _names(found)
    verdict = f"Found: {', '.join(seen)}." if seen else "Nothing found."
    return Report("look", "found" if seen else "clear", verdict, fields={"second_look": found}).data()


@dataclasses.dataclass
class Seen:
    """What a latent guard saw in a run, and the second look at its result; plain data, empty without a guard."""

    presence: list[dict] = dataclasses.field(default_factory=list)
    found: list[dict] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    still: str = ""  # what is still seen after all
    guarded: bool = False


def sample(model, run: Callable[[], dict], on_problem: str) -> tuple[dict, Seen]:
    """(LATENT of `run`, what was seen): with a latent guard on `model` the result is looked at, found before or not.

    on_problem: where a concept is seen, 'error' raises SafreeError, 'warn' says so, 'again' samples such pictures once
    more with the guard at full strength, and says so if that does not help either.
    """
    latent, guard = run(), guard_of(model)
    if guard is None:
        return latent, Seen()
    seen = Seen(guard.last, look(model, guard.concepts, latent), guarded=True)
    if on_problem == "again" and (still := sorted({part["picture"] for part in seen.found if part["found"]})):
        with guard.at_full_strength():
            again = run()["samples"]
        samples = latent["samples"].clone()
        samples[still] = again[still]  # pictures that are fine stay as they are
        latent = {**latent, "samples": samples}
        seen.found = look(model, guard.concepts, latent)
        seen.notes.append("Sampled once more with the latent guard at full strength.")
    if names := _names(seen.found):
        text = f"{', '.join(names)} seen in the result"
        if on_problem == "error":
            raise SafreeError(
                f"{text}. Sample with another seed, raise the strength of LatentGuardPatch, or set on_problem to "
                "'again' or 'warn'."
            )
        logging.warning("SAFREE: %s", text)
        seen.still = f"{text[:1].upper()}{text[1:]}."
    return latent, seen


def join(report: dict, seen: Seen) -> dict:
    """A sampler's report with what a latent guard saw; the same without one."""
    if not seen.guarded:
        return report
    found = [part for part in seen.presence if _shown(part)]
    state, said = {}, f"Latent guard: nothing found {'while sampling' if seen.still else 'in the picture'}."
    if found:
        names = ", ".join(dict.fromkeys(part["concept"] for part in found))
        said = f"Latent guard: {names} found {_when(found)}, damped afterwards."
        state = {"state": "filtered"} if report["active"] else {}
    if seen.still:
        state = {"state": "inactive", "reason": "problem", "active": False}
        said = f"{said} {seen.still}"
    return {
        **report,
        **state,
        "verdict": f"{report['verdict']} {said}",
        "presence": seen.presence,
        "second_look": seen.found,
        "notes": [*report["notes"], *seen.notes],
    }


def _shown(part: dict) -> bool:
    """Whether a concept was found in a picture, in the making or as it was given."""
    return bool(part["given"] or part["found_at"])


def _when(found: list[dict]) -> str:
    if any(part["given"] for part in found):
        return "in the picture given"
    return f"at step {min(part['found_at'] for part in found)}"


def _names(found: list[dict]) -> list[str]:
    return list(dict.fromkeys(finding["concept"] for finding in found if finding["found"]))
