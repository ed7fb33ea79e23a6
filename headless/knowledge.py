"""What is known of each node class: packs/*.json, one file per node pack, described by packs/schema.json.

A class that no file names is unknown, which means refused, but for what its connections say in one's own workflows
(by_links.py). `python -m headless guard` and `check` say so with options for it; `with_server` fills gaps from
what a running server tells of its nodes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from .names_by_rule import original
from .object_info import TEXT_TYPES, WORDLESS_TYPES, is_core, types

FOLDER = Path(__file__).with_name("packs")
CHANGES = (
    *("guidance", "attention", "conditioning", "latents", "pictures", "model", "files", "network", "program"),
    *("folder", "learning", "schedule"),  # burdens on a server that strangers may not put there
)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where something comes from: an input (a last `*` stands for any ending), or a lane of the pipe in that input.

    fallback: only where none of the sources before it is connected
    """

    input: str
    lane: str = ""
    fallback: bool = False

    @classmethod
    def parse(cls, text: str) -> Source:
        """'positive', 'basic_pipe.positive', 'any_*' or, as a fallback, 'basic_pipe.positive?'."""
        name, _, lane = text.removesuffix("?").partition(".")
        return cls(name, lane, text.endswith("?"))

    def names(self, inputs: Iterable[str]) -> list[str]:
        """Which of `inputs` it stands for."""
        if self.input.endswith("*"):
            return [name for name in inputs if name.startswith(self.input[:-1])]
        return [self.input] if self.input in inputs else []

    def __str__(self) -> str:
        return f"{self.input}.{self.lane}" if self.lane else self.input


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A node that makes a picture of CONDITIONING, or the guider of one that does.

    positive, negative: what the picture is drawn towards, and away from
    scales: inputs with guidance scales. Below 1 the negative is no longer drawn away from: with 0 it is the prompt
    """

    positive: tuple[Source, ...] = (Source("positive"),)
    negative: tuple[Source, ...] = (Source("negative"),)
    scales: tuple[str, ...] = ("cfg",)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An output slot that holds the encoded `texts` (input names), unguarded.

    clip: input with the CLIP, '@5' for the node's own output slot 5, '@0:6:class' for slot 6 of a node of that class
        on the pipe in slot 0, or '' where it has one inside
    encoders: in which text of SafreeMultiTextConditioning each of the texts goes (text_l, ...), where they differ
    rewrite: how guard puts SafreeConditioning in its place (see rewrite.py); '' where it cannot
    reads: the prompt language of its texts, beside ComfyUI's own weights (see prompts.py)
    text: '@3' where the node's own output slot 3 holds the prompt as it was encoded
    unless: inputs that change the conditioning further; connected, there is no guarded twin
    pipe: 'class pipe-input conditioning-input' of the node that puts another prompt into its pipe
    pictures: inputs that are encoded together with the text, with their names in SafreePictureConditioning
    filter: SafreeFilterConditioning can follow it
    """

    texts: tuple[str, ...]
    clip: str = "clip"
    encoders: tuple[str, ...] = ()
    rewrite: str = ""
    reads: str = ""
    text: str = ""
    unless: tuple[str, ...] = ()
    pipe: str = ""
    pictures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    filter: bool = False

    @property
    def needs_itself(self) -> bool:
        """Whether its guard takes the CLIP or the text from the encoder, which has to stay for that."""
        return self.clip.startswith("@") or self.text.startswith("@")


Lanes = Mapping[str, tuple[Source, ...]]  # of a pipe: what each lane is made of; '*' for those that are not named


@dataclasses.dataclass(frozen=True)
class Facts:
    """What one node class does; several may hold at once, and a class with none of them is inert.

    pack: file it stands in;  reason: why it may be in a workflow;  refused: why it may not
    changes: what else it can change, out of CHANGES
    limits: settings within which it is harmless, [least, most] or choices; outside them its changes count, or it is
        refused where it names none
    samples, encodes (by output slot and lane), scales (guidance scales of a MODEL patch): see Sampler and Encoder
    carries: by output slot the inputs that pass through it, or the lanes of the pipe that it is
    wordless: its CONDITIONING is made of pictures or fixed tensors;  reads: it takes CONDITIONING and draws nothing
    texts: inputs with prompts that are encoded past any guard, by it or by a node after it; they take the place of
        what comes into its input `into`. opens: 'class pipe-input clip positive' of the node that opens its pipe, with
        the slots of what is encoded with there, where no CLIP is connected to it
    guessed: taken from the types that a server tells;  vouched: from what whoever runs the check says
    by_links: judged by what its nodes are connected with in one workflow
    """

    pack: str
    reason: str = ""
    refused: str = ""
    changes: frozenset[str] = frozenset()
    limits: Mapping[str, list] = dataclasses.field(default_factory=dict)
    samples: Sampler | None = None
    scales: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    into: str = ""
    opens: str = ""
    encodes: Mapping[tuple[int, str], Encoder] = dataclasses.field(default_factory=dict)
    carries: Mapping[int, tuple[Source, ...] | Lanes] = dataclasses.field(default_factory=dict)
    wordless: bool = False
    reads: bool = False
    guessed: bool = False
    vouched: bool = False
    by_links: bool = False

    @property
    def takes(self) -> frozenset[str]:
        """The inputs, or their beginnings before a '*', that conditioning is known to go into."""
        sampler = (*self.samples.positive, *self.samples.negative) if self.samples else ()
        lanes = [slot if isinstance(slot, tuple) else sum(slot.values(), ()) for slot in self.carries.values()]
        return frozenset(source.input for source in (*sampler, *sum(lanes, ())))

    @property
    def looks_at_values(self) -> bool:
        """Whether settings of a node, not only its connections, decide what it does."""
        return bool(self.samples or self.scales or self.texts or self.encodes or self.limits)

    @property
    def inert(self) -> bool:
        """Whether neither conditioning, prompts nor a refusal have to do with it."""
        return not (self.refused or self.samples or self.texts or self.encodes or self.carries or self.wordless)


class Knowledge(dict[str, Facts]):
    """Facts by class name; `get` gives None for an unknown class.

    A class whose name a rule makes has the facts of its original, and belongs to the pack that makes it.
    """

    def get(self, kind: str, default: Facts | None = None) -> Facts | None:
        if dict.__contains__(self, kind):
            return self[kind]
        made = original(kind)
        facts = self.get(made.kind) if made else None
        return dataclasses.replace(facts, pack=made.pack) if facts else default

    def __contains__(self, kind) -> bool:
        return self.get(kind) is not None

    def __missing__(self, kind: str) -> Facts:
        facts = self.get(kind)
        if facts is None:
            raise KeyError(kind)
        return facts

    def with_server(self, object_info: dict) -> Knowledge:
        """Together with what GET /object_info of a server tells about classes that are unknown here."""
        told = {kind: facts for kind, info in object_info.items() if kind not in self and (facts := _told(info))}
        return Knowledge({**self, **told})

    def treating(self, kinds: Iterable[tuple[str, str]]) -> Knowledge:
        """Together with (class, key of VOUCHED) of unknown classes that someone vouches for; what is known stays."""
        return Knowledge({**{name: VOUCHED[kind] for name, kind in kinds}, **self})

    def judging(self, found: Mapping[str, Facts]) -> Knowledge:
        """Together with facts about classes of which nobody else is sure."""
        return Knowledge({**self, **found})


_ENCODER = {(0, ""): Encoder(("text",), rewrite="plain")}
_CARRIER = {0: (Source("positive"), Source("conditioning"))}
# What a person may say of a class that no pack file names. Conditioning that goes into a harmless one must be guarded.
VOUCHED = {
    "harmless": Facts("", "Called harmless by whoever runs this.", vouched=True),
    "sampler": Facts("", "Called a sampler by whoever runs this.", samples=Sampler(), vouched=True),
    "carrier": Facts("", "Said to pass conditioning on.", carries=_CARRIER, vouched=True),
    "encoder": Facts("", "Said to encode its text.", encodes=_ENCODER, vouched=True),
}


@functools.cache
def load() -> Knowledge:
    """The pack files beside this module. ValueError for a class that stands in two of them."""
    known = Knowledge()
    for path in sorted(FOLDER.glob("*.json")):
        if path.name == "schema.json":
            continue
        for kind, facts in parse(json.loads(path.read_text("utf-8"))).items():
            if dict.__contains__(known, kind):
                raise ValueError(f"{path.name}: {kind} is already described as a node of {known[kind].pack}")
            known[kind] = facts
    return known


def parse(file: dict) -> dict[str, Facts]:
    """The classes of one pack file."""
    pack = file["pack"]
    found = {}
    for reason, kinds in file.get("inert", {}).items():
        found |= {kind: Facts(pack, reason) for kind in kinds}
    for kind, entry in file.get("nodes", {}).items():
        found[kind] = _facts(pack, entry)
    return found


def _facts(pack: str, entry: dict) -> Facts:
    values = {
        name: entry[name]
        for name in ("reason", "refused", "wordless", "reads", "into", "opens", "limits")
        if name in entry
    }
    if "samples" in entry:
        values["samples"] = _sampler(entry["samples"])
    values |= {name: tuple(entry[name]) for name in ("scales", "texts") if name in entry}
    encodes = {_place(key): _encoder(value) for key, value in entry.get("encodes", {}).items()}
    carries = {int(slot): _carried(value) for slot, value in entry.get("carries", {}).items()}
    return Facts(pack, **values, changes=frozenset(entry.get("changes", ())), encodes=encodes, carries=carries)


def _place(key: str) -> tuple[int, str]:
    """(output slot, lane) of '0' or '0.positive'."""
    slot, _, lane = key.partition(".")
    return int(slot), lane


def _sampler(entry: dict) -> Sampler:
    sides = {name: _sources(entry[name]) for name in ("positive", "negative") if name in entry}
    return Sampler(**sides, **({"scales": tuple(entry["scales"])} if "scales" in entry else {}))


def _encoder(entry: dict) -> Encoder:
    return Encoder(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()})


def _carried(entry: list | dict) -> tuple[Source, ...] | Lanes:
    if isinstance(entry, list):
        return _sources(entry)
    return {lane: _sources(texts) for lane, texts in entry.items()}


def _sources(texts: Iterable[str]) -> tuple[Source, ...]:
    return tuple(map(Source.parse, texts))


def _told(info: dict) -> Facts | None:
    """What the types of a class leave no doubt about; None where they leave any."""
    if info.get("api_node"):
        return Facts("", refused="Makes its result on another machine, where there is no guard.", samples=Sampler())
    inputs, outputs = types(info)
    changes = {"latents"} if "LATENT" in inputs & outputs else {"model"} if "MODEL" in inputs & outputs else set()
    changes |= {"files"} if not outputs else set()
    told = functools.partial(Facts, "", changes=frozenset(changes), guessed=True)
    if is_core(info) and "CONDITIONING" not in inputs | outputs:
        return told("One of this server's own ComfyUI nodes, without conditioning.")
    if inputs | outputs <= WORDLESS_TYPES:
        return told("No type of its inputs and outputs can hold a prompt.")
    if outputs and outputs <= TEXT_TYPES:
        return told("Makes text or numbers, which are judged where they are encoded.")
    return None
