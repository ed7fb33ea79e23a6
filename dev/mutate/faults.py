"""The faults of the sources: what cosmic-ray can change in them, which of it is tried, and how a reader sees it."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .. import setup_host

ROOT = setup_host.ROOT
# Operators whose faults are another program only by accident (`is` for `==`), or are a TypeError at once.
NOT_TRIED = re.compile(
    r"Comparison\w*_(Eq|NotEq|Lt|LtE|Gt|GtE)_Is(Not)?$|Comparison\w*_Is(Not)?_(Eq|NotEq|Lt|LtE|Gt|GtE)$"
    r"|Binary\w*_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(RShift|LShift|BitOr|BitAnd|BitXor)$"
    r"|Binary\w*_(RShift|LShift|BitOr|BitAnd|BitXor)_(Add|Mul|Div|FloorDiv|Mod|Pow|RShift|LShift)$"
)


@dataclasses.dataclass(frozen=True)
class Fault:
    """The `occurrence`-th place of a cosmic-ray operator in a file; line and column of its first and last token."""

    path: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    def code(self, source: str) -> str:
        """The file with the fault in it."""
        from cosmic_ray import mutating, plugins

        return mutating.mutate_code(source, plugins.get_operator(self.operator)(), self.occurrence)

    def key(self, source: str) -> str:
        """Names the fault and the whole file it was made in."""
        return digest(self.path, source, self.operator, self.occurrence)


@dataclasses.dataclass(frozen=True)
class Change:
    """A fault as a reader sees it: the line's number, its text and what it became."""

    path: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n    {self.before}\n    {self.after or '(left out)'}"


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


@functools.cache
def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def faults(path: str) -> Iterator[Fault]:
    """Every fault of a file, by operator."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast(read(path))))
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or NOT_TRIED.search(name):
            continue
        places = itertools.chain.from_iterable(map(kind().mutation_positions, nodes))
        yield from (Fault(path, name, number, *place) for number, place in enumerate(places))


def drawn(found: Iterable[Fault], seed: int) -> Iterator[Fault]:
    """In an order that the seed decides: one fault of each place, then a second of each that has more, ..."""
    places = defaultdict(list)
    for fault in found:
        places[fault.path, fault.start, fault.end].append(fault)
    chance = {fault: digest(seed, dataclasses.astuple(fault)) for own in places.values() for fault in own}
    rounds = itertools.zip_longest(*(sorted(own, key=chance.get) for own in places.values()))
    for one_each in rounds:
        yield from sorted(filter(None, one_each), key=chance.get)


def changes_something(fault: Fault) -> bool:
    """Whether the file with the fault is a program, and another one but for its annotations, which nobody reads."""
    try:
        return program(fault.code(read(fault.path))) != program(read(fault.path))
    except SyntaxError:
        return False


@functools.lru_cache(maxsize=64)
def program(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def change(fault: Fault) -> Change:
    number = fault.start[0]
    old, new = read(fault.path).splitlines(), fault.code(read(fault.path)).splitlines()
    before = [line.strip() for line in old[number - 1 : fault.end[0]]]
    after = [line.strip() for line in new[number - 1 : fault.end[0] + len(new) - len(old)]]
    return Change(fault.path, number, " ".join(before), re.sub(r"  +", " ", " ".join(after)).strip())
