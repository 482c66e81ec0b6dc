"""How often intervals cover the truth, and how often a study without effect declares a winner.

python benchmarks/coverage.py --tries=200

Studies are drawn from a known truth (`_studies.py`), `tries` of them in each setting, with arms
that equal the baseline. Columns: share of 95 % intervals of the difference that hold the truth (of
all arms; of the worst arm), their mean half-width in percentage points, and share of studies in
which any arm is declared better or worse (Holm's method at 5 %); the last three columns are the
same for the percentile bootstrap that resamples seeds and images.

In the second table every run, of the baseline as well, tries several transfers and takes the one
of least error on held-out images. Both uses of each arm are tested: transferred (the chosen one)
and direct (the first candidate). "Covered", "worst", "bias" (mean of estimate minus truth, in
points) and "± points" are of the transferred use, the next two columns of the direct one, whose
truth is the gain that choosing brings. "False" is the share of studies with a wrong verdict of any
use. "Same" is the share of arms whose two uses are one in every seed.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from _studies import Candidates, Truth, simulate, simulate_differences

from fine2coarse.analysis.intervals import TwoWayMean, holm, moderate
from fine2coarse.analysis.statistics import DifferenceTest, compare_to_baseline, repeats
from fine2coarse.analysis.uses import TRANSFERRED, Use
from fine2coarse.recipes.names import DIRECT

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
CHOOSING = {
    "3 seeds, 2 alike": (Truth(), Candidates(number=2)),
    "3 seeds, 4 alike": (Truth(), Candidates()),
    "3 seeds, 4 that vary by 0.5 %": (Truth(), Candidates(deviation=0.005)),
    "3 seeds, 4 that vary by 2 %": (Truth(), Candidates(deviation=0.02)),
    "the same, few held-out images": (
        Truth(),
        Candidates(deviation=0.02, held_out_deviation=0.03),
    ),
    "3 seeds, 8 that vary by 2 %": (Truth(), Candidates(number=8, deviation=0.02)),
    "3 seeds, one arm, 2 alike": (Truth(num_arms=1), Candidates(number=2)),
    "2 seeds, 4 that vary by 2 %": (Truth(num_seeds=2), Candidates(deviation=0.02)),
    "5 seeds, 4 that vary by 2 %": (Truth(num_seeds=5), Candidates(deviation=0.02)),
}
_RESAMPLES = 400
_HEADER = (
    f"{'setting':32} {'covered':>8} {'worst':>6} {'± points':>9} {'winners':>8}   "
    f"{'bootstrap':>9} {'± points':>9} {'winners':>8}"
)


_CHOOSING_HEADER = (
    f"{'candidates':32} {'covered':>8} {'worst':>6} {'bias':>6} {'± points':>9}   "
    f"{'direct':>7} {'bias':>6}   {'false':>6} {'same':>6}"
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
    print(f"\n{_CHOOSING_HEADER}")
    for name, (truth, candidates) in CHOOSING.items():
        generator = np.random.default_rng(arguments.seed)
        shown = measure_choosing(truth, candidates, arguments.tries, generator)
        print(f"{name:32} " + shown, flush=True)


def measure_choosing(
    truth: Truth, candidates: Candidates, tries: int, generator: np.random.Generator
) -> str:
    """The numbers of one setting in which transfers are chosen, as printed."""
    expected = {TRANSFERRED: 0.0, DIRECT: candidates.gain}
    covers: dict[str, list[list[bool]]] = {use: [] for use in expected}
    means: dict[str, list[float]] = {use: [] for use in expected}
    halves, false, same = [], 0, 0
    for _ in range(tries):
        differences = simulate_differences(truth, candidates, generator)
        compared = compare_to_baseline(differences)
        same += len(repeats(differences))
        false += any(_is_false(use, one, candidates) for use, one in compared.items())
        for name, truly in expected.items():
            found = [one.difference for use, one in compared.items() if use[1] == name]
            covers[name].append([abs(d.mean - truly) <= d.half_width(0.05) for d in found])
            means[name] += [d.mean - truly for d in found]
            halves += [d.half_width(0.05) for d in found if name == TRANSFERRED]
    chosen = np.mean(covers[TRANSFERRED], 0)
    return (
        f"{chosen.mean():8.3f} {chosen.min():6.3f} {100 * np.mean(means[TRANSFERRED]):6.2f} "
        f"{100 * np.mean(halves):9.2f}   {np.mean(covers[DIRECT]):7.3f} "
        f"{100 * np.mean(means[DIRECT]):6.2f}   {false / tries:6.3f} "
        f"{same / (tries * truth.num_arms):6.3f}"
    )


def _is_false(use: Use, one: DifferenceTest, candidates: Candidates) -> bool:
    """Whether a verdict says what is not so: a direct use may really be worse than a chosen one."""
    if one.adjusted_p_value >= 0.05:
        return False
    return use[1] == TRANSFERRED or not candidates.deviation or one.difference.mean < 0


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
