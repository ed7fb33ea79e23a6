"""What the ComfyUI registry asks of a pack: the rules of `comfy node validate` and of its specification."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMFY = PROJECT["tool"]["comfy"]


def test_name_version_and_licence_have_the_registrys_form():
    project = PROJECT["project"]
    assert re.fullmatch(r"[A-Za-z](?:[-_.]?[A-Za-z0-9])*", project["name"])
    assert len(project["name"]) < 100
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (ROOT / project["license"]["file"]).is_file()
    assert (ROOT / project["readme"]).is_file()
    assert project["description"]


def test_publisher_name_and_repository_are_there():
    assert re.fullmatch(r"[a-z][a-z0-9-]*", COMFY["PublisherId"])
    assert COMFY["DisplayName"]
    assert urlsplit(PROJECT["project"]["urls"]["Repository"]).scheme == "https"
    assert re.fullmatch(r">=\d+\.\d+\.\d+", COMFY["requires-comfyui"])


def test_a_pack_needs_nothing_that_comfyui_does_not_bring():
    assert PROJECT["project"]["dependencies"] == []
    assert not (ROOT / "requirements.txt").exists()
    assert not (ROOT / "install.py").exists()


def size(path: Path) -> tuple[float, float]:
    """(width, height) of an SVG or PNG."""
    if path.suffix == ".svg":
        picture = ElementTree.parse(path).getroot()
        return float(picture.get("width")), float(picture.get("height"))
    return struct.unpack(">II", path.read_bytes()[16:24])


@pytest.mark.parametrize(("key", "ratio"), [("Icon", 1), ("Banner", 21 / 9)])
def test_icon_and_banner_lie_in_the_repository_in_the_registrys_shape(key, ratio):
    repository = urlsplit(PROJECT["project"]["urls"]["Repository"]).path
    url = urlsplit(COMFY[key])
    assert (url.scheme, url.netloc) == ("https", "raw.githubusercontent.com")
    assert url.path.startswith(f"{repository}/main/")
    path = ROOT / url.path.removeprefix(f"{repository}/main/")
    assert path.suffix in (".svg", ".png", ".jpg", ".gif")
    width, height = size(path)
    assert width / height == pytest.approx(ratio)
    assert key != "Icon" or width <= 400


def test_the_version_is_the_newest_in_the_list_of_changes():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert versions[0] == PROJECT["project"]["version"]
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_the_security_rules_of_node_validate_find_nothing():
    """exec, eval, and several statements in a line: what `comfy node validate` has ruff look for, everywhere."""
    rules = ["--isolated", "--select", "S102,S307,E702", "--exclude", ".comfy", "--no-cache", "."]
    done = subprocess.run([sys.executable, "-m", "ruff", "check", *rules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_node_has_its_line_in_the_docs():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    nodes = re.findall(r'node_id="(\w+)"', sources)
    page = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    assert len(nodes) >= 9
    assert [node for node in nodes if node not in page] == []
