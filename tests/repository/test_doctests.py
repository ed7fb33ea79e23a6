"""The examples in the docstrings of `safree` say what the functions do."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ["safree", *(f"safree.{path.stem}" for path in sorted((ROOT / "safree").glob("[!_]*.py")))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", ["safree", "safree.linear_algebra", "safree.validation"])
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(name)
    public = [value for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]
    bare = [one.__name__ for one in public if one.__module__ == name and ">>>" not in (one.__doc__ or "")]
    assert public
    assert not bare
