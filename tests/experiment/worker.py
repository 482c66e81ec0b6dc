"""One of several processes that share units without TensorFlow.

python worker.py FOLDER NUM_UNITS SECONDS_A_UNIT TIMEOUT_S
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

from fine2coarse.experiment.claims import Claims
from fine2coarse.experiment.share import share_units


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


def main(folder: pathlib.Path, num_units: int, seconds: float, timeout_s: float) -> None:
    def do(unit: Named, claim) -> None:
        if claim is None:
            return
        with (folder / "log").open("a") as log:  # O_APPEND: whole lines
            log.write(f"{unit} began {os.getpid()}\n")
        time.sleep(seconds)
        claim.check()
        (folder / unit.name).write_text(str(os.getpid()))
        with (folder / "log").open("a") as log:
            log.write(f"{unit} done {os.getpid()}\n")

    units = [Named(f"u{index}") for index in range(num_units)]
    claims = Claims(folder / "claims", timeout_s)
    share_units(units, claims, lambda unit: (folder / unit.name).exists(), do)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
