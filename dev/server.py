"""The real ComfyUI server in a child process, for as long as a `with` block lasts."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from headless.client import Client

from . import setup_host

START_LIMIT = 180.0  # seconds; 4 on a quick machine, but a first start compiles every module
END_LIMIT = 10.0
LOG_TAIL = 40  # lines


class ServerError(RuntimeError):
    """The server did not come up, or went away; the message carries the end of its log."""


class Server:
    """`with Server(folder) as server: server.client()`. Pictures and the log go into `folder`.

    `flags` are further command line options of ComfyUI, `variables` of its environment.
    """

    def __init__(self, folder: Path, *flags: str, variables: dict[str, str] | None = None):
        self.folder, self.flags, self.variables = folder.resolve(), flags, variables or {}
        self.log = self.folder / "server.log"
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=setup_host.host(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.variables},
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the server in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> Client:
        return Client(self.address)

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])

    def _command(self) -> list[str]:
        options = {
            "--listen": "127.0.0.1",
            "--port": self.address.split(":")[1],
            "--base-directory": setup_host.base(),
            "--output-directory": self.folder / "pictures",
            "--temp-directory": self.folder,
            "--database-url": "sqlite:///:memory:",
        }
        flags = ["--cpu", "--disable-auto-launch", "--disable-api-nodes", *setup_host.flags(), *self.flags]
        command = [setup_host.python(), "main.py", *flags, *(part for pair in options.items() for part in pair)]
        return [str(part) for part in command]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise ServerError(f"ComfyUI ended with code {code} while starting. Its log:\n{self.log_tail()}")
            try:
                with urllib.request.urlopen(f"http://{self.address}/queue", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise ServerError(f"ComfyUI did not answer within {START_LIMIT:.0f} s. Its log:\n{self.log_tail()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end_with_parent() -> None:
    """In the child, on Linux: ask for SIGTERM when this process dies, even by SIGKILL."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
