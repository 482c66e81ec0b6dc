"""Studies drawn from a known truth: errors of runs on images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import integrate, stats

from fine2coarse.analysis.uses import TRANSFERRED, Use
from fine2coarse.recipes.names import DIRECT


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
    score = generator.standard_normal((arms, seeds, images), dtype=np.float32)
    return score + _shared_score(truth, 0.0, generator)


def _shared_score(
    truth: Truth, other_deviation: float, generator: np.random.Generator
) -> np.ndarray:
    """What all models of a run share: level, run, image; float32 [1 + arms, seeds, images].

    The level is right where `other_deviation`, a fraction, is added to the run's deviation later.
    """
    arms, seeds, images = 1 + truth.num_arms, truth.num_seeds, truth.num_images
    quantile = stats.norm.ppf(truth.errors)
    runs = truth.run_deviations * _points_of_score(truth)
    others = other_deviation * _points_of_score(truth)
    level = quantile * np.sqrt(_scale(truth) ** 2 + runs**2 + others**2)
    score = (truth.image_deviation * generator.standard_normal(images)).astype(np.float32)
    own = truth.own_deviation * generator.standard_normal((arms, 1, images))
    drawn = level[:, None] + runs[:, None] * generator.standard_normal((arms, seeds))
    return score + own.astype(np.float32) + drawn[:, :, None].astype(np.float32)


def _scale(truth: Truth) -> float:
    return float(np.sqrt(1 + truth.image_deviation**2 + truth.own_deviation**2))


def _points_of_score(truth: Truth) -> np.ndarray:
    """How much score makes an error larger by one, to first order: float [1 + arms]."""
    return _scale(truth) / stats.norm.pdf(stats.norm.ppf(truth.errors))


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The transfers that every run of a study tries, the baseline's runs as well.

    The first is the direct use. The one of least error on held-out images is the transferred use.

    Attributes:
      number: of candidates.
      deviation: standard deviation of their errors about their run's, a fraction.
      held_out_deviation: of what held-out images add to them, a fraction: 0.01 is about that of
        2,000 images at an error of 30 %.
      shared_noise: share of the noise that all candidates of a run have in common.
    """

    number: int = 4
    deviation: float = 0.0
    held_out_deviation: float = 0.01
    shared_noise: float = 0.5

    @property
    def gain(self) -> float:
        """By how much the chosen one's error is expected below any one's; a fraction."""
        if not self.deviation:
            return 0.0

        def largest(x: float) -> float:
            return x * self.number * stats.norm.cdf(x) ** (self.number - 1) * stats.norm.pdf(x)

        expected, _ = integrate.quad(largest, -9, 9)
        return self.deviation**2 / np.hypot(self.deviation, self.held_out_deviation) * expected


def simulate_differences(
    truth: Truth, candidates: Candidates, generator: np.random.Generator
) -> dict[Use, np.ndarray]:
    """Draws a study in which every run chooses a transfer, and takes the baseline off.

    Returns:
      (arm, use) → errors minus those of the baseline's chosen model: float [seeds, images]. The
      expected ones are -`truth.gain` of the transferred uses, and `candidates.gain` more of the
      direct ones.
    """
    shape = (1 + truth.num_arms, truth.num_seeds)
    errors = candidates.deviation * generator.standard_normal((*shape, candidates.number))
    seen = errors + candidates.held_out_deviation * generator.standard_normal(errors.shape)
    chosen = seen.argmin(-1)
    shared = _shared_score(truth, candidates.deviation, generator)
    size = (*shape, truth.num_images)
    shared += np.float32(candidates.shared_noise**0.5) * _noise(size, generator)
    own = np.float32((1 - candidates.shared_noise) ** 0.5)
    scores = [shared + own * _noise(size, generator) for _ in range(2)]
    direct = np.zeros_like(chosen)
    wrong = {}
    for use, member, score in ((DIRECT, direct, scores[0]), (TRANSFERRED, chosen, scores[1])):
        error = np.take_along_axis(errors, member[..., None], -1)
        wrong[use] = score + (error * _points_of_score(truth)[:, None, None]) > 0
    is_direct = (chosen == 0)[..., None]
    transferred = np.where(is_direct, wrong[DIRECT], wrong[TRANSFERRED]).astype(np.float64)
    uses: Mapping[str, np.ndarray] = {TRANSFERRED: transferred, DIRECT: wrong[DIRECT]}
    return {
        (f"arm{arm}", use): tables[arm] - transferred[0]
        for use, tables in uses.items()
        for arm in range(1, 1 + truth.num_arms)
    }


def _noise(size: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(size, dtype=np.float32)
