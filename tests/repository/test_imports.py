"""The layers of the pack and of its tools, read from their source: imports go one way, and nothing that a registry
would reject is published.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What ComfyUI loads: each layer imports the standard library, these packages and, relatively, the layers below it.
LAYERS = {
    "safree": ({"torch", "safetensors"}, set()),
    "host": (
        {"torch", "safetensors", "numpy", "PIL", "comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes"}
        | {"comfyui_version", "latent_preview"}  # of ComfyUI, in compat.py
        | {"transformers", "nudenet"}  # judges of pictures: ComfyUI's own, and optional
        | {"server", "aiohttp.web"},  # of host/gate alone, see below
        {"safree", "headless"},
    ),
    "nodes": ({"torch", "comfy_api"}, {"host", "safree"}),
}
# What ComfyUI does not load: the standard library, these packages and, by name, these folders.
TOOLS = {
    "headless": (set(), set()),
    "dev": (
        {"torch", "numpy", "PIL", "comfy", "nodes", "utils", "playwright", "safetensors", "transformers", "tokenizers"}
        | {"english_words", "cosmic_ray"},  # optional
        {"headless"},
    ),
    "bench": (
        {"torch", "numpy", "PIL", "comfy", "folder_paths", "safetensors", "tqdm", "psutil", "transformers"}
        | {"matplotlib", "nudenet", "ray", "onnxruntime", "torchmetrics"},  # optional
        {"headless", "dev", "safree"},
    ),
}
# The gate answers requests that ComfyUI's server got; it opens no connection.
ANSWERS = {"host/gate/door.py": "aiohttp.web", "host/gate/editor_command.py": "aiohttp.web"}
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
            names = [f"aiohttp.{alias.name}" for alias in node.names] if node.module == "aiohttp" else names
            found += [(node.level, name, node.lineno) for name in names]
    return found


def within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


def crossed(folder: str) -> set[tuple[str, str]]:
    """(module, where from) of all that files of `folder` import from outside it and the standard library."""
    found = set()
    for path in sources(folder):
        up = len(path.relative_to(ROOT).parts)  # this many dots lead to the root of the pack
        own = {*sys.stdlib_module_names, folder}
        for level, name, line in imports(path):
            if level >= up or (level == 0 and not within(name, own)):
                found.add(("." * max(0, level - up + 1) + name, f"{path.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize("folder", [*LAYERS, *TOOLS])
def test_a_folder_imports_only_what_it_may(folder):
    assert sources(folder)
    if folder in LAYERS:
        packages, below = LAYERS[folder]
        wrong = {(n, at) for n, at in crossed(folder) if not within(n, packages | {f".{name}" for name in below})}
    else:
        packages, below = TOOLS[folder]
        wrong = {(n, at) for n, at in crossed(folder) if not within(n, packages | below)}
    assert not wrong


def test_imports_go_one_way():
    """Prints the picture: a line for each folder, those that import nothing first. A cycle raises CycleError."""
    picture = {}
    for folder in (*LAYERS, *TOOLS):
        heads = {name.lstrip(".").split(".")[0] for name, _ in crossed(folder) if folder in TOOLS or name[0] == "."}
        picture[folder] = heads & {*LAYERS, *TOOLS} - {"nodes"}  # `import nodes` is ComfyUI's
    for folder in graphlib.TopologicalSorter(picture).static_order():
        print(f"{folder:9}{' '.join(sorted(picture[folder])) or '-'}")
    assert picture["nodes"] == {"host", "safree"}
    assert picture["host"] == {"safree", "headless"}
    assert picture["headless"] == picture["safree"] == set()
    assert picture["bench"] == {"dev", "headless", "safree"}


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
    answers = ANSWERS.get(path.relative_to(ROOT).as_posix())
    modules = {name.split(".")[0] for level, name, _ in imports(path) if level == 0 and name != answers}
    assert not modules & FORBIDDEN_MODULES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, f"line {node.lineno} calls {ast.unparse(node.func)}"


def test_the_check_reaches_the_pack_through_the_gate_alone():
    """headless stands on the standard library; of the pack only host/gate asks it."""
    asking = {at.split(":")[0] for name, at in crossed("host") if "headless" in name}
    assert {str(Path(path).parent) for path in asking} == {"host/gate"}
    assert not any("headless" in name for name, _ in crossed("nodes") | crossed("safree"))


def test_safree_needs_no_comfyui():
    """These tests import it from the source tree, and none of them has loaded ComfyUI for it."""
    code = f"import sys; sys.path.append('.'); from safree import {', '.join(p.stem for p in sources('safree')[1:])}; "
    code += "print(sorted(m for m in sys.modules if m.split('.')[0] in ('comfy', 'nodes')))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
