"""Product code stays readable: no block deeper than three, no comprehension deeper than one in another, short files.

A function above 40 lines gets a warning, no more: a limit that is enforced rewards dense lines.
"""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("safree", "host", "nodes", "headless")
TOOLS = ("dev", "bench")
MOST_LINES, MOST_DEPTH, MOST_FILE, MOST_COMPREHENSIONS = 40, 3, 300, 2
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LONG = {"define_schema": "a list of inputs with their tooltips: data, one line after the other"}


def files() -> list[Path]:
    return [ROOT / "__init__.py", *(path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")))]


def lines(function: ast.FunctionDef) -> int:
    """From `def` to the end, without the docstring."""
    text = function.body[0] if ast.get_docstring(function) is not None else None
    return function.end_lineno - function.lineno + 1 - (text.end_lineno - text.lineno + 1 if text else 0)


def depth(node: ast.AST) -> int:
    """How many blocks stand inside one another; an elif is no deeper than its if, a function inside counts alone."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.FunctionDef, ast.Lambda)):
                continue
            chained = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If) and len(value) == 1
            deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not chained))
    return deepest


def nesting(node: ast.AST) -> int:
    """How many comprehensions stand inside one another; a lambda or a function inside counts alone."""
    children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.FunctionDef, ast.Lambda))]
    return isinstance(node, COMPREHENSIONS) + max(map(nesting, children), default=0)


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", files(), ids=named)
def test_functions_are_not_deep_and_files_not_long(path):
    source = path.read_text(encoding="utf-8")
    found = functions(ast.parse(source))
    deep = [f"line {one.lineno}: {one.name} is {depth(one)} blocks deep" for one in found if depth(one) > MOST_DEPTH]
    assert not deep
    assert len(source.splitlines()) <= MOST_FILE
    for one in found:
        if lines(one) > MOST_LINES and one.name not in LONG:
            warnings.warn(
                f"{named(path)}:{one.lineno} {one.name} has {lines(one)} lines: is it one thing?", stacklevel=1
            )


def test_comprehensions_nest_at_most_one_deep():
    wrong = {}
    for path in [*files(), *(path for folder in TOOLS for path in sorted((ROOT / folder).rglob("*.py")))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        deep = [
            node for node in ast.walk(tree) if isinstance(node, COMPREHENSIONS) and nesting(node) > MOST_COMPREHENSIONS
        ]
        if deep:
            wrong[named(path)] = len(deep)
    assert not wrong


def test_nesting_counts_comprehensions_inside_one_another():
    assert nesting(ast.parse("[[x for x in y] for y in z]")) == 2
    assert nesting(ast.parse("[x for y in z for x in y]")) == 1
    assert nesting(ast.parse("[(lambda: [x for x in y]) for y in z]")) == 1
    assert nesting(ast.parse("[x for x in [f(y for y in [w for w in v])]]")) == 3


def test_depth_counts_blocks_inside_one_another():
    chain = "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  for x in y:\n   with z:\n    pass"
    assert depth(ast.parse(chain).body[0]) == 3
    assert depth(ast.parse("def f():\n def g():\n  if a:\n   pass\n return g").body[0]) == 0
