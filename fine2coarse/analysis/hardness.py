"""Do finer labels help on hard images? Gains on images that held-out models find easy or hard.

At each seed the images are split by the baseline's runs of the *other* seeds, and the gain
(baseline error minus arm error) is taken on both parts with the runs of this seed: no run is
evaluated on a split that it made itself. A run that splits the images itself makes its own unlucky
images "hard", and any other run, even an equal one, does better there: regression to the mean.
That naive split is reported beside (`same_seed`), to show how large this is.

Holding out seeds is not all. Runs of one recipe share their errors: images that are hard for the
baseline *as a recipe* favour any arm that errs elsewhere, better or not. So the mirror image is
taken too: split by the arm's other runs, gain of the baseline over the arm. For two recipes that
are exchangeable, the difference between hard and easy is the same both ways and cancels in
`excess`; only that speaks for the arm. And easy images are rarely wrong: there is little to gain on
them. `easy_error` and `hard_error` say how much there was.

All of it can be asked of either use of an arm. The theory speaks of a readout from the outputs of
the fine classes, so its prediction is to be looked for in the *direct* use; a transfer may add to
that, or forget it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse import formats
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.gains import Gain, SplitErrors, gains, intervals_of, random_difference
from fine2coarse.analysis.hard_images import (
    MARGIN,
    SPLITS,
    BySeed,
    hard_by,
    hard_by_others,
    paired_predictions,
    wrong_table,
)
from fine2coarse.analysis.intervals import Interval
from fine2coarse.analysis.statistics import CONFIDENCE
from fine2coarse.analysis.uses import TRANSFERRED
from fine2coarse.recipes.names import BASELINE

NUM_RANDOM_SPLITS = 100


@dataclasses.dataclass(frozen=True)
class ArmHardness:
    """What an arm gains over the baseline, and where.

    Attributes:
      arm: its name.
      num_classes: of its label space.
      num_pairs: seeds that it shares with the baseline.
      split_by: 'margin' or 'missed', see `SPLITS`.
      hard_share: of the images, mean over seeds.
      held_out: gain of the arm, images split by the baseline's other seeds.
      mirror: gain of the *baseline* over the arm, images split by the arm's other seeds.
      excess: half of `held_out.difference` minus `mirror.difference`: the arm's gain, hard minus
        easy, as a mean over the split that the baseline makes and the one that the arm makes.
        Near zero for exchangeable recipes.
      same_seed: like `held_out`, but split by the very run of the baseline that is compared with:
        biased by regression to the mean, never to be reported alone.
      random_difference: hard minus easy where as many images are called hard at random: mean, and
        the range of the middle 95 % of the splits.
      use: of the arm, 'transferred' or 'direct'.
    """

    arm: str
    num_classes: int
    num_pairs: int
    split_by: str
    hard_share: float
    held_out: Gain
    mirror: Gain
    excess: Interval
    same_seed: Gain
    random_difference: Interval
    use: str = TRANSFERRED

    @property
    def words(self) -> str:
        """Held-out gain and mirror as a sentence, without the name."""
        return _words(self)


@dataclasses.dataclass(frozen=True)
class SuperclassGain:
    """What an arm gains over the baseline within one class of the target.

    Attributes:
      arm: its name.
      class_name: of the target's class.
      num_images: test images of the class.
      hard_share: how many of them are hard by the held-out margin split.
      baseline_error: mean over the shared seeds; a fraction.
      gain: baseline error minus arm error. Not adjusted for the number of classes.
      use: of the arm, 'transferred' or 'direct'.
    """

    arm: str
    class_name: str
    num_images: int
    hard_share: float
    baseline_error: float
    gain: Interval
    use: str = TRANSFERRED


@dataclasses.dataclass(frozen=True)
class Hardness:
    """Easy and hard images of a study.

    Attributes:
      arms: one entry for each arm and split; splits by margin first, arms by number of classes.
        An arm is left out of a split in which some seed has fewer than 2 easy or hard images.
      superclasses: one for each arm and class of the target that has 2 images or more.
    """

    arms: tuple[ArmHardness, ...]
    superclasses: tuple[SuperclassGain, ...]


def hardness(
    runs: Sequence[FinishedRun],
    *,
    use: str = TRANSFERRED,
    baseline: str = BASELINE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Hardness:
    """Gains on easy and hard images, with their controls.

    Args:
      runs: tested on the same images. Arms that share fewer than 2 seeds with the baseline are
        left out.
      use: of the arms, 'transferred' or 'direct'; runs without the latter are left out of it.
      baseline: the arm that the others are compared with.
      confidence: of the intervals.
      seed: of the random splits.

    Raises:
      ComparisonError: where no arm shares 2 seeds with the baseline.
    """
    arms, base = paired_predictions(runs, use, baseline)
    classes = {run.arm: run.num_classes for run in reversed(runs)}
    found = []
    for split_by in SPLITS:
        generator = np.random.default_rng(seed)
        found += _arms_split(arms, base, classes, split_by, confidence, generator)
    superclasses = _superclasses(arms, base, runs[0].class_names(), confidence)
    return Hardness(
        tuple(dataclasses.replace(one, use=use) for one in found),
        tuple(dataclasses.replace(one, use=use) for one in superclasses),
    )


def _arms_split(
    arms: Mapping[str, BySeed],
    base: BySeed,
    classes: Mapping[str, int],
    split_by: str,
    confidence: float,
    generator: np.random.Generator,
) -> list[ArmHardness]:
    held_out, mirror, same_seed = {}, {}, {}
    for arm, of_seed in arms.items():
        ours, theirs = wrong_table(of_seed), wrong_table({seed: base[seed] for seed in of_seed})
        held_out[arm] = SplitErrors(theirs, ours, hard_by_others(split_by, base, list(of_seed)))
        mirror[arm] = SplitErrors(ours, theirs, hard_by_others(split_by, of_seed, list(of_seed)))
        naive = np.stack([hard_by(split_by, [base[seed]]) for seed in of_seed])
        same_seed[arm] = SplitErrors(theirs, ours, naive)
    kinds = (held_out, mirror, same_seed)
    usable = [arm for arm in arms if all(kind[arm].is_usable for kind in kinds)]
    if not usable:
        return []
    held_out_gains, mirror_gains, same_seed_gains = (
        gains({arm: kind[arm] for arm in usable}, confidence) for kind in kinds
    )
    excess = intervals_of(
        {
            arm: (held_out[arm].tables["difference"] - mirror[arm].tables["difference"]) / 2
            for arm in usable
        },
        confidence,
        bound=2.0,
    )
    orders = [
        generator.permutation(len(held_out[usable[0]].hard[0])) for _ in range(NUM_RANDOM_SPLITS)
    ]
    return [
        ArmHardness(
            arm=arm,
            num_classes=classes[arm],
            num_pairs=len(arms[arm]),
            split_by=split_by,
            hard_share=float(held_out[arm].hard.mean()),
            held_out=held_out_gains[arm],
            mirror=mirror_gains[arm],
            excess=excess[arm],
            same_seed=same_seed_gains[arm],
            random_difference=random_difference(held_out[arm], orders),
        )
        for arm in usable
    ]


def _superclasses(
    arms: Mapping[str, BySeed], base: BySeed, class_names: Sequence[str], confidence: float
) -> list[SuperclassGain]:
    targets = next(iter(base.values())).targets
    splits = {
        arm: SplitErrors(
            wrong_table({seed: base[seed] for seed in of_seed}),
            wrong_table(of_seed),
            hard_by_others(MARGIN, base, list(of_seed)),
        )
        for arm, of_seed in arms.items()
    }
    found = []
    for number, name in enumerate(class_names):
        members = targets == number
        if members.sum() < 2:
            continue
        gains_of_arm = {arm: (s.before - s.after)[:, members] for arm, s in splits.items()}
        intervals = intervals_of(gains_of_arm, confidence)
        found += [
            SuperclassGain(
                arm=arm,
                class_name=name,
                num_images=int(members.sum()),
                hard_share=float(split.hard[:, members].mean()),
                baseline_error=float(split.before[:, members].mean()),
                gain=intervals[arm],
            )
            for arm, split in splits.items()
        ]
    return found


def _words(found: ArmHardness) -> str:
    def points(interval: Interval) -> str:
        return formats.interval(interval, signed=True)

    gain, mirror = found.held_out, found.mirror
    if found.excess.low > 0:
        reading = "larger on hard images, whoever splits them"
    elif found.excess.high < 0:
        reading = "smaller on hard images, whoever splits them"
    else:
        reading = "no more than who splits them can explain"
    return (
        f"gains {points(gain.hard)} points on hard images, {points(gain.easy)} on "
        f"easy ones; hard minus easy {points(gain.difference)}, mirrored "
        f"{points(mirror.difference)}; over both splits {points(found.excess)}, {reading} "
        f"({found.num_pairs} seeds, split by {found.split_by})"
    )
