"""dev/setup_host.py: which packages a given ComfyUI checkout needs."""

from __future__ import annotations

import pytest

from dev import setup_host


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text(
        "torch\ntorchsde\ntorchvision\ntorchaudio\nnumpy>=1.25.0\n\n#not needed:\nspandrel  # a comment\n"
    )
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    return tmp_path


def test_a_checkouts_packages_are_its_own_without_the_torch_family(checkout):
    assert setup_host.runtime_requirements() == ["torchsde", "numpy>=1.25.0", "spandrel", "requests"]


def test_torchaudio_is_installed_for_a_checkout_that_lists_it(checkout):
    assert setup_host.torchaudio() == ["torchaudio"]
    (checkout / "requirements.txt").write_text("torch\n")
    assert setup_host.torchaudio() == []


def test_the_pinned_host_and_a_checkout_without_a_list_get_ours(checkout, monkeypatch):
    (checkout / "requirements.txt").unlink()
    assert (setup_host.runtime_requirements(), setup_host.torchaudio()) == (setup_host.RUNTIME, [])
    monkeypatch.delenv("COMFYUI_PATH")
    assert (setup_host.runtime_requirements(), setup_host.torchaudio()) == (setup_host.RUNTIME, [])
