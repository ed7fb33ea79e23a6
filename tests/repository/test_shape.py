"""Product code stays readable: no function above 40 lines or deeper than three blocks, but for a stated reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("safree", "host", "nodes", "headless")
MOST_LINES, MOST_DEPTH, MOST_FILE = 40, 3, 300
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith)
REASONS = {
    "define_schema": "a list of inputs with their tooltips: data, one line after the other",
    "patch": "the closures of one model patch, which share its settings",
    "self_validating": "the wrappers of one sampling run, a few lines each, which share its switch",
}


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


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_a_screen(path):
    source = path.read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    wrong = [
        f"line {node.lineno}: {node.name} has {lines(node)} lines, {depth(node)} blocks deep"
        for node in nodes
        if node.name not in REASONS and (lines(node) > MOST_LINES or depth(node) > MOST_DEPTH)
    ]
    assert not wrong
    assert len(source.splitlines()) <= MOST_FILE


def test_depth_counts_blocks_inside_one_another():
    chain = "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  for x in y:\n   with z:\n    pass"
    assert depth(ast.parse(chain).body[0]) == 3
    assert depth(ast.parse("def f():\n def g():\n  if a:\n   pass\n return g").body[0]) == 0
