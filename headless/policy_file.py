"""The policy file of a server: who may queue what. Read when the server starts; policy.schema.json describes it.

    {"policies": {"public": {"trust": "strangers", "concept_sets": ["nudity", "violence"]},
                  "me": {"trust": "all"}},
     "who": [{"key_sha256": "…", "policy": "me"}],
     "everyone_else": "public"}

Standard library alone. host/gate holds to it inside ComfyUI; `python -m headless policy` explains it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .bounds import MAX_BYTES, MAX_NODES
from .guarded_pictures import PictureTerms
from .json_fault import first_fault, line_of
from .policy import Policy
from .record_file import RecordTerms
from .workflow import WorkflowError

SCHEMA = json.loads(Path(__file__).with_name("policy.schema.json").read_text("utf-8"))
KINDS = ("models", "loras", "embeddings")  # of files that a policy may name
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KEY_HEADERS = ("authorization", "x-api-key")
EVERYONE_ELSE = "everyone else"
WAYS = ("key_sha256", "address", "header")  # by which somebody is known


class PolicyError(WorkflowError):
    """A policy file that cannot be held to; the text names file, line and field."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """One policy of the file, by its name.

    policy: what counts as guarded; None where nothing is checked
    files: by kind, the file names and digests ('sha256:…') that may be used; a kind that is not there is free
    largest: by input name, the largest number that it may have
    waiting: prompts of one and the same person that may wait at a time; None for any number
    warn: queue in spite of problems, and write them to the log
    pictures: what must look at pictures before they are saved or shown; None: nothing
    refuses_unchecked: whether a prompt is refused that holds a language which no text encoder of its model reads
    """

    name: str
    policy: Policy | None
    files: Mapping[str, frozenset[str]]
    largest: Mapping[str, float]
    nodes: int = MAX_NODES
    bytes: int = MAX_BYTES
    waiting: int | None = None
    warn: bool = False
    pictures: PictureTerms | None = None
    refuses_unchecked: bool = False


@dataclasses.dataclass(frozen=True)
class Visitor:
    """What is known of whoever sends a request. key: '' where none came; headers: by name in lower case."""

    address: str
    headers: Mapping[str, str]

    @property
    def key(self) -> str:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else self.headers.get("x-api-key", "")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Who has which policy: known by a key, by an address, or by a header that a front at one of `fronts` sets."""

    policy: str
    key_sha256: str = ""
    addresses: tuple = ()  # of ipaddress
    header: tuple[str, str] = ("", "")
    fronts: tuple = ()
    name: str = ""  # in the record

    def fits(self, visitor: Visitor) -> bool:
        if self.key_sha256:
            return bool(visitor.key) and hmac.compare_digest(_sha256(visitor.key), self.key_sha256)
        if self.addresses:
            return _within(visitor.address, self.addresses)
        name, value = self.header
        return _within(visitor.address, self.fronts) and visitor.headers.get(name) == value


class Known(NamedTuple):
    """A visitor. terms: None for one who may queue nothing; by: key digest or address; name: in the record."""

    terms: Terms | None
    by: str
    name: str


@dataclasses.dataclass(frozen=True)
class PolicyFile:
    """Every policy by its name, who has which, and that of everybody else (None: they queue nothing).

    record: where a line of each prompt is kept; None for nowhere
    """

    policies: Mapping[str, Terms]
    who: tuple[Entry, ...]
    everyone_else: str | None
    record: RecordTerms | None = None

    def of(self, visitor: Visitor) -> Known:
        """Who a visitor is. Raises KeyError for a key that stands in no entry."""
        for entry in self.who:
            if (entry.key_sha256 or not visitor.key) and entry.fits(visitor):
                by = entry.key_sha256 or visitor.address
                return Known(self.policies[entry.policy], by, entry.name or _name(entry))
        if visitor.key:
            raise KeyError("unknown key")
        return Known(self.others, visitor.address, EVERYONE_ELSE)

    @property
    def others(self) -> Terms | None:
        return self.policies[self.everyone_else] if self.everyone_else is not None else None


def read_policy(path: str | Path) -> PolicyFile:
    """The policy file at `path`. PolicyError with line and field where it cannot be held to."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"the policy file {path} cannot be read ({error}).") from error
    try:
        document = json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise PolicyError(f"{path}, line {error.lineno}: this is not JSON ({error.msg}).") from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: this is not JSON to rely on ({error}).") from error
    folder = Path(path).resolve().parent
    fault = first_fault(document, SCHEMA) or _fault_of_meaning(document, folder)
    if fault:
        where, what = fault
        field = ".".join(map(str, where)) or "the whole"
        raise PolicyError(f"{path}, line {line_of(text, where)}: {field} {what}.")
    policies = {name: _terms(name, entry) for name, entry in document["policies"].items()}
    record = _record(document["record"], folder) if "record" in document else None
    return PolicyFile(policies, tuple(map(_entry, document.get("who", ()))), document["everyone_else"], record)


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {double!r} stands twice in one object")
    return found


def _fault_of_meaning(document: dict, folder: Path) -> tuple[tuple, str] | None:
    """(path, what is wrong) of the first fault that a schema cannot tell."""
    policies, others = document["policies"], document["everyone_else"]
    found = [fault for name, entry in policies.items() for fault in _faults_of_terms(("policies", name), entry)]
    for place, entry in enumerate(document.get("who", ())):
        found += _faults_of_entry(("who", place), entry, policies)
    if others is not None and others not in policies:
        found.append((("everyone_else",), f"is {others!r}, and no policy has that name"))
    if "record" in document and not _record(document["record"], folder).path.parent.is_dir():
        found.append((("record", "file"), f"is {document['record']['file']!r}, whose folder is not there"))
    return found[0] if found else None


def _faults_of_terms(path: tuple, entry: dict) -> Iterator[tuple[tuple, str]]:
    if entry["trust"] != "all" and not entry.get("concept_sets"):
        yield path, 'has no concept_sets; name what must be guarded against, such as ["nudity"]'
    if "pictures" in entry and not any(entry["pictures"].values()):
        yield (*path, "pictures"), "names no judges and no concept_sets; name who must look"
    if entry["trust"] == "strangers" and entry.get("pictures", {}).get("concept_sets"):
        yield (
            (*path, "pictures", "concept_sets"),
            "counts for trust 'own' alone: a stranger chooses what ClipSafetyJudge takes for everyday; name judges",
        )
    named = [(kind, place, one) for kind in KINDS for place, one in enumerate(entry.get(kind, ()))]
    for kind, place, one in named:
        if one.startswith("sha256:") and not DIGEST.fullmatch(one):
            yield (*path, kind, place), f"is {one!r}, which is no sha256: with 64 hex digits"


def _faults_of_entry(path: tuple, entry: dict, policies: dict) -> Iterator[tuple[tuple, str]]:
    if sum(way in entry for way in WAYS) != 1:
        yield path, f"({entry['policy']!r}) needs one of {', '.join(WAYS)}, and no more"
    if "header" in entry and not ("is" in entry and "from" in entry):
        yield (*path, "header"), "needs 'is', its value, and 'from', the addresses of the fronts that set it"
    if entry["policy"] not in policies:
        yield (*path, "policy"), f"is {entry['policy']!r}, and no policy has that name"
    for one in [entry[name] for name in ("address",) if name in entry] + entry.get("from", []):
        if _network(one) is None:
            yield path, f"names {one!r}, which is no address such as 10.0.0.0/8"


def _terms(name: str, entry: dict) -> Terms:
    sets, packs, allowed = (tuple(entry.get(key, ())) for key in ("concept_sets", "packs", "allow"))
    if entry["trust"] == "all":
        policy = None
    elif entry["trust"] == "own":
        policy = Policy(concept_sets=sets, allowed=frozenset(allowed), packs=frozenset(packs))
    else:
        policy = Policy.for_strangers(sets, frozenset(allowed), frozenset(packs))
        judges = frozenset(entry.get("pictures", {}).get("judges", ()))
        policy = dataclasses.replace(policy, faults=entry.get("negatives", "faults") == "faults", judges=judges)
    return Terms(
        name,
        policy,
        files={kind: frozenset(entry[kind]) for kind in KINDS if kind in entry},
        largest=dict(entry.get("largest", {})),
        nodes=min(entry.get("nodes", MAX_NODES), MAX_NODES),
        bytes=min(entry.get("bytes", MAX_BYTES), MAX_BYTES),
        waiting=entry.get("waiting"),
        warn=entry.get("on_problem") == "warn",
        pictures=PictureTerms(**{name: tuple(one) for name, one in entry["pictures"].items()})
        if "pictures" in entry
        else None,
        refuses_unchecked=_refuses_unchecked(entry),
    )


def _refuses_unchecked(entry: dict) -> bool:
    usual = "refuse" if entry["trust"] == "strangers" else "report"
    return entry["trust"] != "all" and entry.get("unchecked_languages", usual) == "refuse"


def _entry(entry: dict) -> Entry:
    return Entry(
        entry["policy"],
        entry.get("key_sha256", ""),
        tuple(_network(one) for one in [entry["address"]] if one) if "address" in entry else (),
        (entry.get("header", "").lower(), entry.get("is", "")),
        tuple(map(_network, entry.get("from", ()))),
        entry.get("name", ""),
    )


def _name(entry: Entry) -> str:
    """Of an entry without a name; no address of anybody, and nothing that tells the key."""
    if entry.key_sha256:
        return f"key {entry.key_sha256[:8]}"
    return f"{entry.header[0]}: {entry.header[1]}" if entry.header[0] else ", ".join(map(str, entry.addresses))


def _record(entry: dict, folder: Path) -> RecordTerms:
    more = {name: entry[name] for name in ("bytes", "keep") if name in entry}
    return RecordTerms(folder / entry["file"], go_on=entry.get("when_full") == "go on", **more)


def _network(text: str):
    """An address or a range of them; None where `text` is neither."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(address: str, networks: tuple) -> bool:
    try:
        place = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(place, "ipv4_mapped", None)  # an IPv4 client of a socket that takes both
    return any((mapped or place) in network for network in networks)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
