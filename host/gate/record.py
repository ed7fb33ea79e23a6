"""What stands in the record of a server: of each prompt when, whose, what was found and done, and with which models.

No text and no picture: concepts are named where they are sets of this server, words never.
"""

from __future__ import annotations

import datetime
import logging
import re
from pathlib import Path

from ...headless.record_file import RecordFile, RecordTerms
from .. import compat
from ..data import concept_sets, term_lists
from . import files
from .findings import Findings

OWN = "(own)"  # a concept that whoever sent the prompt wrote: its name is a text of theirs
PACK = Path(__file__).parents[2] / "pyproject.toml"
REFUSALS = ("Refusal", "SafreeError")  # exceptions of ours, with which a prompt is stopped


class Queued(tuple):
    """An item of the queue that knows whose it is. whose: what its sender is known by;  who, policy: names."""

    whose: str
    who: str
    policy: str

    @classmethod
    def of(cls, item: tuple, whose: str, who: str, policy: str) -> Queued:
        queued = cls(item)
        queued.whose, queued.who, queued.policy = whose, who, policy
        return queued


class Record:
    """The record of one server. Prompts whose line cannot be written are counted, and told in a line of its own."""

    def __init__(self, terms: RecordTerms):
        self.file, self.go_on = RecordFile(terms), terms.go_on
        self.versions = {"safree": version_of_the_pack(), "comfyui": compat.version()}
        self._findings, self._lost = Findings(), 0

    def why_full(self) -> str:
        """Why no line could be written of one more prompt; '' where there is room, or prompts may go on without."""
        try:
            self.file.make_room()
            self._tell_lost()
        except OSError as error:
            logging.error("SAFREE: the record %s cannot be kept (%s).", self.file.terms.path, error)
            return "" if self.go_on else f"the record of this server cannot be kept ({error.strerror})"
        return ""

    def refused(self, who: str, policy: str, kind: str) -> None:
        """Note a prompt that was not queued. kind: of the refusal."""
        try:
            self.file.append(self._entry("", who, policy) | {"end": "refused", "actions": [f"not queued: {kind}"]})
        except OSError as error:  # nothing ran
            logging.error("SAFREE: a refusal is not in the record (%s).", error)

    def done(self, item: Queued, outputs: dict, messages: list) -> None:
        """Note a prompt that ran. outputs: by node, as the history shows them; messages: of its execution."""
        found, actions = set(), set()
        for concepts, action in self._findings.of(compat.prompt_of(item), outputs):
            found.update(concepts)
            actions.add(action)
        end, concepts, action = _end(messages)
        graph = compat.prompt_of(item)
        entry = self._entry(compat.id_of(item), item.who, item.policy) | {
            "end": end,
            "concepts": named({*found, *concepts}),
            "actions": sorted(actions | {action} - {""}),
            "models": files.digests(graph),
        }
        try:
            self._tell_lost()
            self.file.append(entry, must=True)
        except OSError as error:
            self._lost += 1
            logging.error("SAFREE: %d prompts ran without a line in the record (%s).", self._lost, error)

    def _tell_lost(self) -> None:
        """Write how many prompts have no line, if there are any; OSError where that cannot be written either."""
        if self._lost:
            self.file.append({"time": _now(), "lost": self._lost})
            self._lost = 0

    def _entry(self, name: str, who: str, policy: str) -> dict:
        head = {"time": _now(), "prompt": name if re.fullmatch(r"[0-9a-fA-F-]{1,64}", name) else "", "who": who}
        return head | {"policy": policy, "end": "", "concepts": [], "actions": [], "versions": self.versions}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _end(messages: list) -> tuple[str, list[str], str]:
    """(how a run ended, concepts that the error names, what was done) by the messages of its execution."""
    for event, data in messages:
        if event == "execution_interrupted":
            return "interrupted", [], ""
        if event == "execution_error":
            kind = str(data.get("exception_type", "")).rpartition(".")[2]
            if kind not in REFUSALS:
                return "failed", [], ""
            sentence = str(data.get("exception_message")).partition(".")[0]
            named_there = set(re.findall(r"\w+", sentence)) & known()
            return "stopped", sorted(named_there) if kind == "Refusal" else [], f"stopped: {data.get('node_type')}"
    return "done", [], ""


def known() -> set[str]:
    """The concepts that this server names: its sets and lists of terms."""
    return {*concept_sets.names(), *term_lists.names()}


def named(concepts: set) -> list[str]:
    return sorted({one if one in known() else OWN for one in concepts})


def version_of_the_pack() -> str:
    """Of this pack; '' where its pyproject.toml is not there."""
    found = re.search(r'^version = "([^"]+)"', PACK.read_text("utf-8"), re.M) if PACK.is_file() else None
    return found.group(1) if found else ""
