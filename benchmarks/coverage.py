"""How often intervals cover the truth, and how often a study without effect declares a winner.

python benchmarks/coverage.py --tries=200

Studies are drawn from a known truth (`_studies.py`), `tries` of them in each setting, with arms
that equal the baseline. Columns: share of 95 % intervals of the difference that hold the truth (of
all arms; of the worst arm), their mean half-width in percentage points, and share of studies in
which any arm is declared better or worse (Holm's method at 5 %); the last three columns are the
same for the percentile bootstrap that resamples seeds and images.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from _studies import Truth, simulate

from fine2coarse.experiment.intervals import TwoWayMean, holm, moderate

SETTINGS = {
    "2 seeds": Truth(num_seeds=2),
    "3 seeds": Truth(),
    "3 seeds, runs vary by 0.3 %": Truth(run_deviation=0.003),
    "3 seeds, runs vary by 1 %": Truth(run_deviation=0.01),
    "3 seeds, from 0.2 to 1.5 %": Truth(run_deviation=(0.002, 0.015)),
    "3 seeds, images alike": Truth(image_deviation=0.0, own_deviation=0.0),
    "3 seeds, images differ by arm": Truth(own_deviation=1.0),
    "3 seeds, 50,000 images": Truth(num_images=50_000),
    "3 seeds, one arm": Truth(num_arms=1),
    "5 seeds": Truth(num_seeds=5),
    "5 seeds, from 0.2 to 1.5 %": Truth(num_seeds=5, run_deviation=(0.002, 0.015)),
}
_RESAMPLES = 400
_HEADER = (
    f"{'setting':32} {'covered':>8} {'worst':>6} {'± points':>9} {'winners':>8}   "
    f"{'bootstrap':>9} {'± points':>9} {'winners':>8}"
)


def main() -> None:
    """Prints a line a setting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tries", type=int, default=200, help="studies drawn for each setting")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.tries < 1:
        sys.exit(f"--tries={arguments.tries}: expected 1 or more")
    print(_HEADER)
    for name, truth in SETTINGS.items():
        generator = np.random.default_rng(arguments.seed)
        shown = measure(truth, arguments.tries, generator)
        print(f"{name:32} " + shown, flush=True)


def measure(truth: Truth, tries: int, generator: np.random.Generator) -> str:
    """The numbers of one setting, as printed."""
    ours, theirs = [], []
    for _ in range(tries):
        wrong = simulate(truth, generator)
        differences = [table - wrong[0] for table in wrong[1:]]
        ours.append(by_project(differences))
        if truth.num_images <= 10_000:
            theirs.append(by_bootstrap(differences, generator))
    covered, half, winners = _summary(ours)
    text = f"{covered.mean():8.3f} {covered.min():6.3f} {100 * half:9.2f} {winners:8.3f}   "
    if not theirs:
        return text + f"{'-':>9} {'-':>9} {'-':>8}"
    covered, half, winners = _summary(theirs)
    return text + f"{covered.mean():9.3f} {100 * half:9.2f} {winners:8.3f}"


def _summary(found: list[tuple[np.ndarray, np.ndarray, bool]]) -> tuple[np.ndarray, float, float]:
    covered, halves, winners = zip(*found)
    return np.mean(covered, 0), float(np.mean(halves)), float(np.mean(winners))


def by_project(differences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Covers zero, bool [arms]; half-widths [arms]; whether a winner is declared."""
    means = moderate({str(arm): TwoWayMean.of(table) for arm, table in enumerate(differences)})
    halves = np.asarray([mean.half_width(0.05) for mean in means.values()])
    covers = np.abs([mean.mean for mean in means.values()]) <= halves
    adjusted = holm({arm: mean.p_value() for arm, mean in means.items()})
    return covers, halves, min(adjusted.values()) < 0.05


def by_bootstrap(
    differences: list[np.ndarray], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The same by percentiles of means over resampled seeds and images."""
    seeds, images = differences[0].shape
    seed_weights, image_weights = (_resampling_weights(size, generator) for size in (seeds, images))
    covers, halves, p_values = [], [], {}
    for arm, table in enumerate(differences):
        means = ((image_weights @ table.T) * seed_weights).sum(1)
        low, high = np.quantile(means, (0.025, 0.975))
        covers.append(low <= 0 <= high)
        halves.append((high - low) / 2)
        tail = min(np.mean(means <= 0), np.mean(means >= 0))
        p_values[str(arm)] = 2 * max(tail, 0.5 / _RESAMPLES)
    return np.asarray(covers), np.asarray(halves), min(holm(p_values).values()) < 0.05


def _resampling_weights(size: int, generator: np.random.Generator) -> np.ndarray:
    """How much each of `size` counts in each resample: float [resamples, size], rows sum to 1."""
    drawn = generator.integers(size, size=(_RESAMPLES, size))
    return np.stack([np.bincount(row, minlength=size) for row in drawn]) / size


if __name__ == "__main__":
    main()
