"""What a user installs: the registry's archive and a sparse clone, both without the 40 MB of test assets."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 3_000_000  # bytes of the archive, packed
UNPACKED = 5_500_000  # of its files; it was 3 MB before the words of twelve languages came, 4 MB before WordNet's kinds
GIT = 2_200_000  # of what git keeps beside them in a sparse clone
PUBLISHED = ("safree", "host", "nodes", "js", "locales", "concept_sets", "vocabulary", "example_workflows", "headless")
OWN = ("tests", "bench", "dev", ".ci")


def git(*words: str, at: Path = ROOT) -> list[str]:
    done = subprocess.run(["git", "-C", str(at), *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("a copy without git has no list of its files")
    return git("ls-files")


@pytest.fixture(scope="module")
def archive(tracked, tmp_path_factory) -> Path:
    """What `comfy node publish` packs: the files that git knows, without those that .comfyignore lists."""
    left_out = set(git("ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore"))
    path = tmp_path_factory.mktemp("archive") / "node.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in tracked:
            if name not in left_out and (ROOT / name).is_file():
                packed.write(ROOT / name, name)
    return path


def test_the_archive_holds_all_that_runs_and_nothing_else(archive, tracked):
    names = zipfile.ZipFile(archive).namelist()
    wanted = [name for name in tracked if name.split("/")[0] in PUBLISHED and (ROOT / name).is_file()]
    assert set(wanted) <= set(names)
    assert {"__init__.py", "pyproject.toml", "LICENSE", "README.md", "SECURITY.md"} <= set(names)
    assert not [name for name in names if name.split("/")[0] in OWN]


def test_the_archive_is_small_packed_and_unpacked(archive, tmp_path):
    zipfile.ZipFile(archive).extractall(tmp_path)
    print(f"archive {archive.stat().st_size / 1e6:.2f} MB, unpacked {size(tmp_path) / 1e6:.2f} MB")
    assert archive.stat().st_size < LIMIT
    assert size(tmp_path) < UNPACKED


def test_the_commands_run_from_the_archive(archive, tmp_path):
    zipfile.ZipFile(archive).extractall(tmp_path)
    workflow = ROOT / "example_workflows" / "api" / "tiny_checkpoint.json"
    command = [sys.executable, "-S", "-m", "headless", "check", str(workflow)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sparse_clone_is_small_and_whole(tracked, tmp_path):
    """The commands of docs/contributing.md, from this repository."""
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    patterns = re.findall(r"'([^']+)'", re.search(r"sparse-checkout set --no-cone (.*)", page)[1])
    source, target = tmp_path / "source.git", tmp_path / "custom_nodes" / "comfyui-safree"
    git("clone", "-q", "--bare", "--no-local", "--depth", "1", f"file://{ROOT}", str(source))
    git("config", "uploadpack.allowFilter", "true", at=source)
    git("clone", "-q", "--depth", "1", "--filter=blob:none", "--sparse", f"file://{source}", str(target))
    git("sparse-checkout", "set", "--no-cone", *patterns, at=target)
    packed = size(target / ".git")  # the same files once more, compressed
    print(f"clone {size(target) / 1e6:.2f} MB, of that git {packed / 1e6:.2f} MB")
    assert size(target) - packed < UNPACKED
    assert packed < GIT
    assert (target / "__init__.py").is_file()
    committed = git("ls-tree", "-r", "--name-only", "HEAD")
    assert all((target / name).exists() for name in committed if name.split("/")[0] in PUBLISHED)
    assert not any((target / folder).exists() for folder in ("tests", "bench", "dev"))


def test_the_readme_explains_every_folder_in_one_sentence_and_its_links_lead_somewhere(tracked):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {name.split("/")[0] for name in tracked if "/" in name and not name.startswith(".")}
    assert folders == set(re.findall(r"`(\w+)/`", re.search(r"\| folder \|.*?\n\n", page, re.S)[0]))
    for place in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)|src=\"([^\"]+)", place.read_text(encoding="utf-8")):
            target = "".join(link)
            assert target.startswith("https://") or (place.parent / target).exists(), f"{place.name}: {target}"
