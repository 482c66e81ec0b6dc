"""Studies drawn from a known truth: errors of runs on images."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a simulated study is drawn from: a probit model with runs and images at random.

    Run s of arm a gets image i wrong where level[a] + run[a, s] + image[i] + own[a, i] + noise is
    positive; all but the level are normal.

    Attributes:
      num_arms: besides the baseline, which is the first.
      num_seeds: runs of each arm.
      num_images: test images.
      run_deviation: standard deviation of a run's error about its arm's, a fraction; or two, from
        which the arms' are spaced evenly by ratio (the baseline has their geometric mean).
      image_deviation: of the images' difficulty, which all arms share; noise has deviation 1.
      own_deviation: of the part of an image's difficulty that is each arm's own.
      error: of the baseline, and of all arms where `gain` is 0; a fraction.
      gain: baseline's error minus the arms'.
    """

    num_arms: int = 11
    num_seeds: int = 3
    num_images: int = 4000
    run_deviation: float | tuple[float, float] = 0.005
    image_deviation: float = 1.5
    own_deviation: float = 0.3
    error: float = 0.3
    gain: float = 0.0

    @property
    def errors(self) -> np.ndarray:
        """Float [1 + arms]: what each arm's error is over all runs and images."""
        return np.r_[self.error, np.full(self.num_arms, self.error - self.gain)]

    @property
    def run_deviations(self) -> np.ndarray:
        """Float [1 + arms]."""
        if isinstance(self.run_deviation, float):
            return np.full(1 + self.num_arms, self.run_deviation)
        spaced = np.geomspace(*self.run_deviation, self.num_arms)
        return np.r_[np.sqrt(np.prod(self.run_deviation)), spaced]


def simulate(truth: Truth, generator: np.random.Generator) -> np.ndarray:
    """Draws a study: float [1 + arms, seeds, images], 1 where a run is wrong."""
    return (simulate_scores(truth, generator) > 0).astype(np.float64)


def simulate_scores(truth: Truth, generator: np.random.Generator) -> np.ndarray:
    """Draws a study: float32 [1 + arms, seeds, images], wrong by how much where positive."""
    arms, seeds, images = 1 + truth.num_arms, truth.num_seeds, truth.num_images
    scale = np.sqrt(1 + truth.image_deviation**2 + truth.own_deviation**2)
    quantile = stats.norm.ppf(truth.errors)
    runs = truth.run_deviations / stats.norm.pdf(quantile) * scale  # to first order
    level = quantile * np.sqrt(scale**2 + runs**2)
    score = generator.standard_normal((arms, seeds, images), dtype=np.float32)
    score += (truth.image_deviation * generator.standard_normal(images)).astype(np.float32)
    score += (truth.own_deviation * generator.standard_normal((arms, 1, images))).astype(np.float32)
    drawn = level[:, None] + runs[:, None] * generator.standard_normal((arms, seeds))
    score += drawn[:, :, None].astype(np.float32)
    return score
