"""dev/browser.py: which Chromium the tests of the editor use, how one is brought, and what is said without one."""

from __future__ import annotations

import pytest

from dev import browser


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without a browser."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(browser, "BUILDS", tmp_path / "browsers")
    return tmp_path


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_without_a_browser_there_is_none(bare):
    assert browser.find() is None


def test_the_machine_s_own_browser_comes_before_a_build_of_playwright(bare):
    build = program(bare / "browsers" / "chromium-1200" / "chrome-linux" / "chrome")
    assert browser.find() == str(build)
    own = program(bare / "bin" / "chromium")
    assert browser.find() == str(own)


def test_a_build_that_an_attempt_leaves_is_found(bare, monkeypatch):
    build = bare / "browsers" / "chromium-1" / "chrome-linux" / "chrome"
    tried = []

    def run(command, **_):
        tried.append(command)
        program(build)

    monkeypatch.setattr(browser.subprocess, "run", run)
    assert browser.bring() == str(build)
    assert [command[-2:] for command in tried] == [["install", "chromium"]]  # and no package after that


def test_an_attempt_that_fails_is_followed_by_the_next(bare, monkeypatch):
    def run(command, **_):
        raise OSError("no network")

    monkeypatch.setattr(browser.subprocess, "run", run)
    assert browser.bring() is None


def test_only_who_may_install_packages_tries_to(bare):
    program(bare / "bin" / "apt-get")
    assert [command[0] for command in browser.attempts(root=True)][1:] == ["apt-get", "apt-get"]
    assert len(browser.attempts(root=False)) == 1


def test_only_tests_that_lack_a_browser_are_counted():
    assert browser.left_out(["this ComfyUI has no such node"]) is None
    assert browser.left_out([f"Skipped: {browser.REASON}"] * 3).startswith("3 tests of the editor were left out")
