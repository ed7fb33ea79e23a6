"""The layers of the pack, read from its source: nodes -> host -> safree, and nothing that a registry would reject."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each layer may import besides the standard library and, relatively, the layers named after it.
LAYERS = {
    "safree": ({"torch", "safetensors"}, set()),
    "host": ({"torch", "numpy", "PIL", "comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes"}, {"safree"}),
    "nodes": ({"torch", "comfy_api", "comfy.samplers"}, {"host", "safree"}),  # comfy.samplers: KSampler's own lists
}
FORBIDDEN_MODULES = {
    *("pickle", "marshal", "shelve", "dill", "joblib", "yaml"),  # data that runs code
    *("subprocess", "multiprocessing", "ctypes", "importlib", "runpy", "code"),
    *("socket", "ssl", "urllib", "http", "ftplib", "smtplib", "requests", "aiohttp", "httpx", "websockets"),
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.hub.load"}


def sources(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str, int]]:
    """(level, dotted name, line) of every import of a file, wherever it stands; level 0 is absolute."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found += [(node.level, name, node.lineno) for name in names]
    return found


def within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_it_may(layer):
    outside, below = LAYERS[layer]
    wrong = []
    for path in sources(layer):
        up = len(path.relative_to(ROOT).parts)  # this many dots lead to the root of the pack
        for level, name, line in imports(path):
            if level == 0:
                allowed = name.split(".")[0] in sys.stdlib_module_names or within(name, outside)
            else:
                allowed = level < up or (level == up and name.split(".")[0] in below)
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {'.' * level}{name}")
    assert sources(layer)
    assert not wrong


@pytest.mark.fault(
    "code, data and requests smuggled in through the pack itself",
    "no published file runs code from data, starts a program or opens a connection; ruff's S rules hold as well",
)
@pytest.mark.parametrize(
    "path",
    [ROOT / "__init__.py", *(path for layer in LAYERS for path in sources(layer))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_pack_runs_no_code_from_data_and_opens_no_connection(path):
    modules = {name.split(".")[0] for level, name, _ in imports(path) if level == 0}
    assert not modules & FORBIDDEN_MODULES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, f"line {node.lineno} calls {ast.unparse(node.func)}"


def test_safree_needs_no_comfyui():
    """These tests import it from the source tree, and none of them has loaded ComfyUI for it."""
    code = "import sys; sys.path.append('.'); from safree import *; from safree import subspace, detection, fourier, "
    code += "projection, validation; print(sorted(m for m in sys.modules if m.split('.')[0] in ('comfy', 'nodes')))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
