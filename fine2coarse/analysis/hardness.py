"""Do finer labels help on hard images? Gains on images that held-out models find easy or hard.

At each seed the images are split by the baseline's runs of the *other* seeds, and the gain
(baseline error minus arm error) is taken on both parts with the runs of this seed: no run is judged
on a split that it made itself. A run that splits the images itself makes its own unlucky images
"hard", and any other run, even an equal one, does better there: regression to the mean. That naive
split is reported beside (`same_seed`), to show how large this is.

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
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.analysis.intervals import Interval, TwoWayMean, moderate
from fine2coarse.analysis.outcomes import (
    TRANSFERRED,
    Outcome,
    OutcomeError,
    by_arm,
    check_same_images,
    in_use,
)
from fine2coarse.analysis.statistics import CONFIDENCE
from fine2coarse.recipes.names import BASELINE

MARGIN, MISSED = "margin", "missed"
SPLITS = {
    MARGIN: "the half with the smaller mean margin",
    MISSED: "those missed by more than half of the runs",
}
NUM_RANDOM_SPLITS = 100


@dataclasses.dataclass(frozen=True)
class Gain:
    """Errors avoided on easy and on hard images; fractions.

    Attributes:
      easy: error of the one minus error of the other recipe, on easy images.
      hard: the same on hard images.
      difference: hard minus easy.
      easy_error: of the recipe that is to be improved on, on easy images.
      hard_error: on hard ones.
    """

    easy: Interval
    hard: Interval
    difference: Interval
    easy_error: float
    hard_error: float


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
        """Held-out gain and mirror in words, without the name."""
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
    outcomes: Sequence[Outcome],
    *,
    use: str = TRANSFERRED,
    baseline: str = BASELINE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Hardness:
    """Gains on easy and hard images, with their controls.

    Args:
      outcomes: runs tested on the same images. Arms that share fewer than 2 seeds with the
        baseline are left out.
      use: of the arms, 'transferred' or 'direct'; runs without the latter are left out of it.
      baseline: the arm that the others are compared with.
      confidence: of the intervals.
      seed: of the random splits.

    Raises:
      OutcomeError: where no arm shares 2 seeds with the baseline.
    """
    used = in_use(outcomes, use, baseline)
    arms = _paired(used, baseline)
    base = by_arm(used)[baseline]
    found = []
    for split_by in SPLITS:
        found += _arms_split(arms, base, split_by, confidence, np.random.default_rng(seed))
    return Hardness(
        tuple(dataclasses.replace(one, use=use) for one in found),
        tuple(dataclasses.replace(one, use=use) for one in _superclasses(arms, base, confidence)),
    )


def hard_wins(outcomes: Sequence[Outcome], arm: str, *, baseline: str = BASELINE) -> list[str]:
    """Images that show best what an arm wins: chosen by their outcome, so no measure of anything.

    An image is listed where it is hard by the held-out margin split in most seeds, and the arm is
    right and the baseline wrong in most of the seeds that both have.

    Returns:
      Image ids: first those with the most seeds in which the arm is right and the baseline wrong;
      among equals those whose mean margin rises most from the baseline to the arm, then by id.

    Raises:
      OutcomeError: where arm and baseline share fewer than 2 seeds.
    """
    arms = _paired(outcomes, baseline)
    if arm not in arms:
        raise OutcomeError(f"no arm {arm!r} shares 2 seeds with {baseline}; {', '.join(arms)} do")
    runs, base = arms[arm], by_arm(outcomes)[baseline]
    theirs = {seed: base[seed] for seed in runs}
    hard = _others(MARGIN, base, runs)
    right, wrong = ~_wrong(runs).astype(bool), _wrong(theirs).astype(bool)
    chosen = _most(right) & _most(wrong) & _most(hard)
    wins = (right & wrong).sum(0)
    rise = np.mean([runs[s].margins - theirs[s].margins for s in runs], 0)
    ids = next(iter(runs.values())).image_ids
    order = sorted(np.flatnonzero(chosen), key=lambda i: (-wins[i], -rise[i], ids[i]))
    return [str(ids[i]) for i in order]


def _paired(outcomes: Sequence[Outcome], baseline: str) -> dict[str, dict[int, Outcome]]:
    """Arm → its runs of the seeds that the baseline has too, arms by number of classes."""
    check_same_images(outcomes)
    arms = by_arm(outcomes)
    base = arms.get(baseline, {})
    shared = {
        arm: {seed: run for seed, run in runs.items() if seed in base}
        for arm, runs in arms.items()
        if arm != baseline
    }
    paired = {arm: runs for arm, runs in shared.items() if len(runs) > 1}
    if not paired:
        raise OutcomeError(
            f"easy and hard images are told apart by runs of other seeds: expected an arm and "
            f"{baseline!r} with at least 2 seeds in common, got "
            f"{ {arm: len(runs) for arm, runs in shared.items()} or 'no arm' }; add seeds"
        )
    return dict(sorted(paired.items(), key=lambda item: (_classes(item[1]), item[0])))


def _classes(runs: Mapping[int, Outcome]) -> int:
    return next(iter(runs.values())).num_classes


def _wrong(runs: Mapping[int, Outcome]) -> np.ndarray:
    return np.stack([run.wrong for run in runs.values()]).astype(np.float64)


def _most(table: np.ndarray) -> np.ndarray:
    return table.mean(0) > 0.5


def _others(split_by: str, judges: Mapping[int, Outcome], seeds: Sequence[int]) -> np.ndarray:
    """Bool [S, N]: the images hard at each seed, by the judges of all other seeds."""
    return np.stack(
        [_hard(split_by, [run for s, run in judges.items() if s != seed]) for seed in seeds]
    )


def _hard(split_by: str, judges: Sequence[Outcome]) -> np.ndarray:
    """Bool [N]: the images that these runs find hard."""
    if split_by == MISSED:
        return _most(np.stack([run.wrong for run in judges]))
    margins = np.mean([run.margins for run in judges], 0)
    hard = np.zeros(len(margins), bool)
    hard[np.argsort(margins, kind="stable")[: len(margins) // 2]] = True
    return hard


@dataclasses.dataclass(frozen=True, eq=False)
class _Split:
    """A gain's numbers: errors to improve on, errors now, and which images are hard; all [S, N]."""

    before: np.ndarray
    after: np.ndarray
    hard: np.ndarray

    @property
    def is_usable(self) -> bool:
        sizes = self.hard.sum(1)
        return bool(sizes.min() >= 2 and sizes.max() <= self.hard.shape[1] - 2)

    @functools.cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """Numbers [S, N] whose means over images are each seed's gain on each part.

        An image adds N / part's size times its deviation from the part's mean gain; the mean of
        its row is then that seed's gain, and its column's spread what sampling images does to it.
        """
        gain = self.before - self.after
        easy, hard = (_of_part(gain, part) for part in (~self.hard, self.hard))
        return {"easy": easy, "hard": hard, "difference": hard - easy}


def _of_part(gain: np.ndarray, part: np.ndarray) -> np.ndarray:
    mean = _part_means(gain, part).mean()
    weight = part * (part.shape[1] / part.sum(1, keepdims=True))
    return weight * (gain - mean) + mean


def _part_means(table: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Each seed's mean over a part of the images: float [S]."""
    return (table * part).sum(1) / part.sum(1)


def _arms_split(
    arms: Mapping[str, dict[int, Outcome]],
    base: Mapping[int, Outcome],
    split_by: str,
    confidence: float,
    generator: np.random.Generator,
) -> list[ArmHardness]:
    held_out, mirror, same_seed = {}, {}, {}
    for arm, runs in arms.items():
        ours, theirs = _wrong(runs), _wrong({seed: base[seed] for seed in runs})
        held_out[arm] = _Split(theirs, ours, _others(split_by, base, runs))
        mirror[arm] = _Split(ours, theirs, _others(split_by, runs, runs))
        naive = np.stack([_hard(split_by, [base[seed]]) for seed in runs])
        same_seed[arm] = _Split(theirs, ours, naive)
    kinds = (held_out, mirror, same_seed)
    usable = [arm for arm in arms if all(kind[arm].is_usable for kind in kinds)]
    if not usable:
        return []
    gains = [_gains({arm: kind[arm] for arm in usable}, confidence) for kind in kinds]
    excess = _intervals(
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
            num_classes=_classes(arms[arm]),
            num_pairs=len(arms[arm]),
            split_by=split_by,
            hard_share=float(held_out[arm].hard.mean()),
            held_out=gains[0][arm],
            mirror=gains[1][arm],
            excess=excess[arm],
            same_seed=gains[2][arm],
            random_difference=_at_random(held_out[arm], orders),
        )
        for arm in usable
    ]


def _gains(splits: Mapping[str, _Split], confidence: float) -> dict[str, Gain]:
    intervals = {
        part: _intervals({arm: s.tables[part] for arm, s in splits.items()}, confidence, bound)
        for part, bound in (("easy", 1.0), ("hard", 1.0), ("difference", 2.0))
    }
    return {
        arm: Gain(
            easy=intervals["easy"][arm],
            hard=intervals["hard"][arm],
            difference=intervals["difference"][arm],
            easy_error=float(_part_means(split.before, ~split.hard).mean()),
            hard_error=float(_part_means(split.before, split.hard).mean()),
        )
        for arm, split in splits.items()
    }


def _intervals(
    tables: Mapping[str, np.ndarray], confidence: float, bound: float = 1.0
) -> dict[str, Interval]:
    means = moderate({arm: TwoWayMean.of(table) for arm, table in tables.items()})
    return {arm: mean.interval(confidence, -bound, bound) for arm, mean in means.items()}


def _at_random(split: _Split, orders: Sequence[np.ndarray]) -> Interval:
    """Hard minus easy with the same numbers of hard images, and the same overlaps over seeds."""
    gain = split.before - split.after
    found = []
    for order in orders:
        hard = split.hard[:, order]
        found.append((_part_means(gain, hard) - _part_means(gain, ~hard)).mean())
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(float(np.mean(found)), float(low), float(high))


def _superclasses(
    arms: Mapping[str, dict[int, Outcome]], base: Mapping[int, Outcome], confidence: float
) -> list[SuperclassGain]:
    first = next(iter(base.values()))
    splits = {
        arm: _Split(
            _wrong({seed: base[seed] for seed in runs}), _wrong(runs), _others(MARGIN, base, runs)
        )
        for arm, runs in arms.items()
    }
    found = []
    for number, name in enumerate(first.class_names()):
        members = first.targets == number
        if members.sum() < 2:
            continue
        gains = {arm: (s.before - s.after)[:, members] for arm, s in splits.items()}
        intervals = _intervals(gains, confidence)
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
        low, high = 100 * interval.low, 100 * interval.high
        return f"{100 * interval.estimate:+.1f} [{low:+.1f}, {high:+.1f}]"

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
