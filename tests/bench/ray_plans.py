"""Run by test_cluster.py with the address of a cluster and names of cases: plans without a host, each amiss in its way.

Prints a JSON object: by case, the shards that were measured and how the run ended.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.run import cluster

SHARDS = [[number, number] for number in range(12)]
SECONDS = {"another model": 0.25, "node lost": 0.5}  # of a shard, so that both workers get some


class Plan:
    """Its own Measurer. spoiled: the number that is amiss in `case`."""

    about = None
    spoiled = 3

    def __init__(self, case: str, mark: Path):
        self.case, self.mark, self.identity = case, mark, 0

    def start(self, gpu: bool):
        if self.case == "cannot start":
            raise FileNotFoundError("there is no model.safetensors")
        if self.case == "lost in its start" and self._first():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.case == "another model":
            self.identity = os.getpid()
        return self

    def measure(self, shard: list[int]) -> list[int]:
        time.sleep(SECONDS.get(self.case, 0))
        if self.spoiled in shard:
            if self.case == "kills its worker" or (self.case == "lost once" and self._first()):
                os.kill(os.getpid(), signal.SIGKILL)
            if self.case == "fails":
                raise ValueError("3 is no number")
        return [10 * number for number in shard]

    def _first(self) -> bool:
        first = not self.mark.exists()
        self.mark.touch()
        return first


def run(place, case: str) -> dict:
    found, end = {}, "done"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with place.open(Plan(case, Path(folder) / "mark")) as pool:
                for number, entries in pool.measure(SHARDS):
                    found[number] = entries
        except SystemExit as error:
            end = str(error)
    return {"found": found, "end": end}


if __name__ == "__main__":
    options = argparse.Namespace(ray=sys.argv[1], workers=0, gpu=False)
    with cluster.place(options) as place:
        print(json.dumps({case: run(place, case) for case in sys.argv[2:]}))
