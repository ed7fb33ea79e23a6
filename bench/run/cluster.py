"""Where a run measures: in this process, or sharded over a Ray cluster, one worker a GPU. docs/cluster.md.

A worker is a Ray actor with the host in its process. A shard whose worker is lost goes to the next free one, and Ray
starts the lost worker again where there is room. Ray is optional: nothing imports it before a cluster is asked for.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import re
import socket
from collections.abc import Iterator
from typing import Any, Protocol

from tqdm import tqdm

from dev import setup_host

TRIES = 3  # workers that one shard may lose: one that kills all of them ends the run
FORWARDED = ("COMFYUI_PATH",)  # environment variables that the workers get from here
AMISS = (OSError, ValueError, setup_host.SetupError)  # SafreeError among them: what a user can mend
PAGE = "docs/cluster.md says what each machine needs"
KEPT = "What is done is kept: the same command goes on."


class Measurer(Protocol):
    """What measures shards, in the process that holds the host.

    identity: equal wherever rows may be mixed. about: what else the run wants to know; both are plain data
    """

    identity: Any
    about: Any

    def measure(self, shard: list) -> list:
        """An entry of plain data for each item of the shard."""


class Plan(Protocol):
    """A measurement as plain data: it is pickled and sent to the workers."""

    def start(self, gpu: bool) -> Measurer: ...


class Fault(RuntimeError):
    """Something amiss on a worker that its user can mend; the message says where."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gpu", action="store_true", help="let ComfyUI choose the device (default: the CPU)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="share the work over a Ray cluster, a worker for each GPU, or CPU where it has no GPU: 'auto', HOST:PORT, "
        "or 'local' for this machine alone. A lost worker's share is done by another; a stopped run goes on "
        "(docs/cluster.md)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="at most so many, with --ray (default: all)"
    )


@contextlib.contextmanager
def place(arguments: argparse.Namespace):
    """Where the options of `add_options` say: a Here or a Cluster, each with `open(plan)`."""
    if arguments.workers < 0:
        raise SystemExit(f"bench: --workers {arguments.workers} is below 0.")
    if not arguments.ray:
        if arguments.workers:
            raise SystemExit("bench: --workers goes with --ray.")
        yield Here(arguments.gpu)
        return
    ray = _connect(arguments.ray)
    try:
        yield Cluster(ray, arguments.workers)
    finally:
        ray.shutdown()


class Here:
    """This process as the only worker."""

    shared, workers = False, 1

    def __init__(self, gpu: bool = False):
        self._gpu = gpu

    @contextlib.contextmanager
    def open(self, plan: Plan):
        """What measures the plan's shards; `workers` of them at once."""
        self._measurer = plan.start(self._gpu)
        self.identity, self.about = self._measurer.identity, self._measurer.about
        yield self

    def measure(self, shards: list[list]) -> Iterator[tuple[int, list]]:
        """(number of a shard, its entries), in order."""
        for number, shard in enumerate(shards):
            yield number, self._measurer.measure(shard)


class Cluster:
    """A Ray cluster: workers on all its GPUs, or on all its CPUs where it has no GPU, `most` at most (0: no limit)."""

    def __init__(self, ray, most: int = 0):
        self._ray, self._most = ray, most

    @contextlib.contextmanager
    def open(self, plan: Plan):
        found = self._ray.cluster_resources()
        gpus, cpus = int(found.get("GPU", 0)), int(found.get("CPU", 0))
        count = min(gpus or cpus, self._most or gpus or cpus)
        if not count:
            raise SystemExit("bench: this Ray cluster has no GPU and no CPU to offer. See `ray status`.")
        print(f"{count} workers, on a {'GPU' if gpus else 'CPU'} each.")
        with Pool(self._ray, plan, count, bool(gpus)) as pool:
            yield pool


class Worker:
    """The actor's class. Loading is apart from the constructor: what fails there is told, and not tried again."""

    def __init__(self, plan: Plan, gpu: bool):
        self._plan, self._gpu, self._measurer = plan, gpu, None

    def start(self) -> tuple:
        """(identity, about) of the measurer, loaded if it is not."""
        with _telling():
            if self._measurer is None:
                self._measurer = self._plan.start(self._gpu)
            return self._measurer.identity, self._measurer.about

    def measure(self, shard: list) -> list:
        self.start()  # a worker that was lost while it had nothing to do is a new one
        with _telling():
            return self._measurer.measure(shard)


@contextlib.contextmanager
def _telling():
    """Faults as Fault with the node's name; the driver may lack the classes of others."""
    import ray

    try:
        yield
    except (*AMISS, SystemExit) as error:
        node = ray.util.get_node_ip_address()
        raise Fault(f"worker on {node}: {str(error).removeprefix('bench: ').rstrip('.')}") from error


class Pool:
    """Workers of one plan. They start with `__init__`, which waits for the first, and end with the context."""

    shared = True

    def __init__(self, ray, plan: Plan, count: int, gpu: bool):
        self._ray, self.workers = ray, count
        kind = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=-1)(Worker)
        self._actors = [kind.remote(plan, gpu) for _ in range(count)]
        self._idle: list = []
        self._busy: dict = {}  # reference of a running call -> (actor, number of its shard; None while it starts)
        self._waiting: collections.deque[int] = collections.deque()
        self._losses: collections.Counter[int] = collections.Counter()
        self.identity = self.about = None
        for actor in self._actors:
            self._start(actor)
        while not self._idle:
            self._next()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        for actor in self._actors:
            self._ray.kill(actor)

    def measure(self, shards: list[list]) -> Iterator[tuple[int, list]]:
        """(number of a shard, its entries) in the order in which they are done.

        SystemExit where a worker says what is amiss, a shard lost TRIES workers, or no worker is left.
        """
        self._waiting.extend(range(len(shards)))
        self._losses.clear()
        left = len(shards)
        while left:
            while self._idle and self._waiting:
                actor, number = self._idle.pop(), self._waiting.popleft()
                self._busy[actor.measure.remote(shards[number])] = actor, number
            number, value = self._next()
            if number is not None:
                left -= 1
                yield number, value

    def _start(self, actor) -> None:
        # Ray waits for a worker that is being started again, and repeats the call there.
        self._busy[actor.start.options(max_task_retries=TRIES).remote()] = actor, None

    def _next(self) -> tuple[int | None, Any]:
        """Wait until a worker has done something: (number of its shard, its entries), or (None, ...) without one."""
        if not self._busy:
            raise SystemExit(f"bench: no worker is left: {self._reason}. {PAGE}. {KEPT}")
        (call,), _ = self._ray.wait(list(self._busy), num_returns=1)
        actor, number = self._busy.pop(call)
        try:
            value = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            self._refuse(actor, number, error)
            return None, None
        except self._ray.exceptions.RayError as error:
            self._lose(actor, number, error)
            return None, None
        if number is None:
            self._welcome(actor, *value)
        else:
            self._idle.append(actor)
        return number, value

    def _welcome(self, actor, identity, about) -> None:
        """Give work to a worker that has loaded what the first one has."""
        if self.identity is None:
            self.identity, self.about = identity, about
        if identity == self.identity:
            self._idle.append(actor)
        else:
            differ = f"a worker has {identity}, the first one {self.identity}"
            self._dismiss(actor, f"{differ}: files or kinds of GPU differ")

    def _refuse(self, actor, number: int | None, error) -> None:
        """Do without a worker that cannot start; an error in a shard would come again on any other."""
        if not isinstance(error.cause, Fault):
            raise error
        if number is not None:
            raise SystemExit(f"bench: {error.cause}. {KEPT}")
        self._dismiss(actor, str(error.cause))

    def _lose(self, actor, number: int | None, error) -> None:
        """Put the shard of a lost worker in front of the others, and have the worker started again."""
        said = str(error).strip().splitlines()
        if number is None:
            node = re.search(r"\bip=([\w.:]+)", str(error))
            place = node.group(1) if node else "a machine that is gone"
            why = f"worker on {place} does not start ({said[-1].strip()})"
            self._dismiss(actor, f"{why}: see that {setup_host.ROOT} is the same there")
            return
        reason = said[0]
        self._losses[number] += 1
        if self._losses[number] == TRIES:
            raise SystemExit(
                f"bench: a shard lost {TRIES} workers, the last one so: {reason} Most often memory runs out: give each "
                f"worker more, or use fewer (--workers). {KEPT}"
            )
        tqdm.write(f"A worker was lost, another one does its share: {reason}")
        self._waiting.appendleft(number)
        self._start(actor)

    def _dismiss(self, actor, reason: str) -> None:
        self._reason = reason
        tqdm.write(f"Going on without a worker: {reason}. {PAGE}.")
        self._ray.kill(actor)


def _connect(address: str):
    """Ray, connected to a cluster; SystemExit says why not."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SystemExit(
            f"bench: --ray needs Ray, which is not installed ({error}). `make bench BENCH=...` brings it beside the "
            "interpreter, or: pip install -r bench/requirements-ray.txt"
        ) from error
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:  # Ray itself would try for minutes
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise SystemExit(f"bench: nothing answers at {address!r}: {error}. {PAGE}.") from error
    forwarded = {name: os.environ[name] for name in FORWARDED if name in os.environ}
    options = {"runtime_env": {"env_vars": forwarded}} if forwarded else {}
    if address == "local":
        options["include_dashboard"] = False
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # what Ray does by itself, with a warning
    try:
        ray.init(address, log_to_driver=False, logging_level="warning", **options)
    except (ConnectionError, RuntimeError, ValueError, ImportError, OSError) as error:
        raise SystemExit(f"bench: no Ray cluster at {address!r}, or not with this token: {error} {PAGE}.") from error
    return ray
