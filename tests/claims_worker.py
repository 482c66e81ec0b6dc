"""One of several processes that share runs without TensorFlow.

python worker.py FOLDER NUM_UNITS SECONDS_A_UNIT TIMEOUT_S
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

from fine2coarse.claims import Claims
from fine2coarse.studies.worker import work_through


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


def main(folder: pathlib.Path, num_units: int, seconds: float, timeout_s: float) -> None:
    def do(run: Named, claim) -> None:
        if claim is None:
            return
        with (folder / "log").open("a") as log:  # O_APPEND: whole lines
            log.write(f"{run} began {os.getpid()}\n")
        time.sleep(seconds)
        claim.check()
        (folder / run.name).write_text(str(os.getpid()))
        with (folder / "log").open("a") as log:
            log.write(f"{run} done {os.getpid()}\n")

    runs = [Named(f"u{index}") for index in range(num_units)]
    claims = Claims(folder / "claims", timeout_s)
    work_through(runs, claims, lambda run: (folder / run.name).exists(), do)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
