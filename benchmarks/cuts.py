"""Levels and cuts over ImageNet-21k's 21,843 leaves: seconds and classes, one line each.

python benchmarks/cuts.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fine2coarse.labels import sources
from fine2coarse.labels.space import LabelSpace
from fine2coarse.taxonomy import Taxonomy, read_wordnet


def main() -> None:
    """Times each level and some cuts, on a taxonomy read anew for each."""
    total = 0.0
    for level in ("1", "2", "4", "6", "9"):
        total += timed(f"level {level}", lambda t, level=level: sources.level(t, level))
        total += timed(f"level {level}, first", lambda t, v=level: sources.level(t, v, "first"))
    print(f"levels together: {total:.2f} s of CPU time")
    for number in (23, 100, 1000, 5000):
        timed(
            f"cut of about {number}, leaves dropped",
            lambda t, n=number: sources.cut(t, n, drop_uncovered=True),
        )
    for number in (23, 100, 470):
        timed(f"cut of about {number}", lambda t, n=number: sources.cut(t, n))


def timed(name: str, make: Callable[[Taxonomy], LabelSpace]) -> float:
    """Prints and returns the CPU seconds it takes, the taxonomy's reading not among them."""
    taxonomy = read_wordnet()
    started = time.process_time()
    space = make(taxonomy)
    seconds = time.process_time() - started
    print(f"{name:32} {space.num_classes:6,} classes  {seconds:.2f} s")
    return seconds


if __name__ == "__main__":
    main()
