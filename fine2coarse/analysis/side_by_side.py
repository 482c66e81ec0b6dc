"""Studies of different recipes side by side: what differs, each arm's errors, which one is lowest.

Differences are to the first study. Where both studies were tested on the same images, for the same
target, errors are compared image by image: over the seeds that both have (paired), else seeds as
independent samples (not paired). Where they were not, errors stand side by side without a
difference.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fine2coarse.analysis.comparison import (
    HIGHER,
    LOWER,
    TOO_FEW_SEEDS,
    UNCLEAR,
    ArmComparison,
    Comparison,
)
from fine2coarse.analysis.intervals import Interval, TwoWayMean, holm, moderate
from fine2coarse.analysis.merging import distinct_names, flatten
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.analysis.statistics import CONFIDENCE, compare
from fine2coarse.analysis.study_folder import MergeError, StudyFolder
from fine2coarse.analysis.uses import (
    TRANSFERRED,
    USES,
    Use,
    have_predictions,
    predictions_in_use,
)
from fine2coarse.errors import RecipeError
from fine2coarse.recipes.names import BASELINE
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.schema import defining

_Wrong = Mapping[int, np.ndarray]  # seed → float [images], 1 where the model is wrong


@dataclasses.dataclass(frozen=True)
class Change:
    """The error of an arm in one study minus its error in another one, in one use.

    Attributes:
      difference: with its interval; a fraction.
      adjusted_p_value: of no difference, after Holm over all that is compared together; NaN where
        it cannot be told.
      verdict: 'lower', 'higher', 'unclear' or 'too few seeds'.
      is_paired: whether over seeds that both have.
      num_seeds: of these; of the study with fewer where they are not paired.
    """

    difference: Interval
    adjusted_p_value: float
    verdict: str
    is_paired: bool
    num_seeds: int


@dataclasses.dataclass(frozen=True, eq=False)
class SideBySide:
    """Studies side by side; what is of a study stands in the order of the studies.

    Attributes:
      studies: as they were read.
      names: what to call each; no two are the same.
      comparisons: of each study's arms with its own baseline.
      fields: recipe field → its value in each study, of the fields that differ.
      uses: (arm, use) of every arm of any study, the baseline first.
      changes: (arm, use) → study's number → change to the first study.
      best: each study's best arm, the one of least error first.
      notes: what cannot be compared, and why.
    """

    studies: Sequence[StudyFolder]
    names: Sequence[str]
    comparisons: Sequence[Sequence[ArmComparison]]
    fields: Mapping[str, Sequence[Any]]
    uses: Sequence[Use]
    changes: Mapping[Use, Mapping[int, Change]]
    best: Sequence[Best]
    notes: Sequence[str]

    def found(self, use: Use, study: int) -> Comparison | None:
        """An arm in one use in one study; None where that has none."""
        return _in_use(self.comparisons[study], use)

    @property
    def partial(self) -> str:
        """Which studies have unfinished runs; '' where none has."""
        told = [
            f"{name}: {len(study.runs)} of {study.num_planned} runs are finished"
            for name, study in zip(self.names, self.studies, strict=True)
            if not study.is_whole
        ]
        return f"Partial: {'; '.join(told)}." if told else ""


def side_by_side(studies: Sequence[StudyFolder]) -> SideBySide:
    """Compares studies, whatever their recipes.

    Args:
      studies: at least two; differences are to the first.

    Raises:
      MergeError: where there are fewer, or one is named twice.
      RunError: where predictions are damaged.
    """
    if len(studies) < 2:
        raise MergeError(
            f"got {len(studies)} study to compare; expected the folders of two or more, as in "
            "fine2coarse report --compare runs/a runs/b"
        )
    places = [study.workdir.resolve() for study in studies]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise MergeError(f"{twice} is named twice; expected the folders of different studies")
    by_place = distinct_names(studies)
    names = [by_place[study.workdir] for study in studies]
    comparisons = [compare(study.runs) for study in studies]
    wrong = [_wrong_by_use(study) for study in studies]
    comparable, notes = _comparable(studies, names)
    return SideBySide(
        studies=studies,
        names=names,
        comparisons=comparisons,
        fields=differing_recipe_fields(studies),
        uses=_uses(comparisons),
        changes=_changes(wrong, comparable[0]),
        best=rank(comparisons, wrong, comparable),
        notes=notes,
    )


def differing_recipe_fields(studies: Sequence[StudyFolder]) -> dict[str, list[Any]]:
    """Dotted name → value in each study, of the fields that differ; None where one has it not.

    What the data came to in the end (fingerprints) counts as a field.
    """
    arms = [study.recipe["arms"] for study in studies]
    shared = {arm for arm in arms[0] if all(arm in of_study for of_study in arms)}
    flat = [_flat_recipe(study, shared) for study in studies]
    names = list(dict.fromkeys(name for fields in flat for name in fields))
    values = {name: [fields.get(name) for fields in flat] for name in names}
    return {name: row for name, row in values.items() if any(v != row[0] for v in row)}


def _flat_recipe(study: StudyFolder, shared: Collection[str]) -> dict[str, Any]:
    """Field → value; of an arm that not all studies have, what its labels come from."""
    try:
        content = defining(Recipe.from_stored(study.recipe))
    except RecipeError:  # another version's: as it is written
        content = dict(study.recipe)
    content["arms"] = {
        arm: spec if arm in shared else spec["source"] for arm, spec in content["arms"].items()
    }
    flat: dict[str, Any] = {}
    flatten(content, "", flat)
    tested = study.runs[0].tested_recipe
    flat["fingerprint of the images"] = str(tested.get("dataset_fingerprint", ""))[:12]
    flat["fingerprint of the target"] = str(tested["label_space"].get("fingerprint", ""))[:12]
    return flat


def _uses(comparisons: Sequence[Sequence[ArmComparison]]) -> list[Use]:
    """Every arm of any study by its classes, directly and transferred where these differ."""
    arms: dict[str, int] = {}
    two = set()
    for of_study in comparisons:
        for c in of_study:
            arms.setdefault(c.arm, c.num_classes)
            if c.direct is not None and not c.is_always_direct:
                two.add(c.arm)
    order = sorted(arms, key=lambda arm: (arm != BASELINE, arms[arm], arm))
    return [(arm, use) for arm in order for use in USES if use == TRANSFERRED or arm in two]


def _in_use(comparisons: Sequence[ArmComparison], use: Use) -> Comparison | None:
    for c in comparisons:
        if c.arm == use[0]:
            return c.transferred if use[1] == TRANSFERRED else c.direct
    return None


def _wrong_by_use(study: StudyFolder) -> dict[Use, _Wrong]:
    """(arm, use) → seed → float [images]; empty where runs kept no predictions."""
    if not have_predictions(study.runs):
        return {}
    return {
        (arm, use): {seed: one.wrong.astype(np.float64) for seed, one in of_seed.items()}
        for use in USES
        for arm, of_seed in predictions_in_use(study.runs, use, BASELINE).items()
        if use == TRANSFERRED or arm != BASELINE
    }


def _comparable(
    studies: Sequence[StudyFolder], names: Sequence[str]
) -> tuple[list[list[bool]], list[str]]:
    """Whether each two studies were tested on the same images, and what of the first is not."""
    tested = [_tested(study) for study in studies]
    pairs = [[a is not None and b is not None and a.same_images(b) for b in tested] for a in tested]
    notes = []
    for name, predictions, is_same in zip(names, tested, pairs[0], strict=True):
        if predictions is None:
            notes.append(
                f"{name} kept no predictions for single images: its errors stand beside the "
                "others', without a difference."
            )
        elif not is_same and tested[0] is not None:
            notes.append(
                f"{name} was tested on other images or for another target than {names[0]}: their "
                "errors stand side by side, without a difference."
            )
    return pairs, notes


def _tested(study: StudyFolder) -> StoredPredictions | None:
    return study.runs[0].predictions.transferred if have_predictions(study.runs) else None


def _changes(
    wrong: Sequence[Mapping[Use, _Wrong]], comparable: Sequence[bool]
) -> dict[Use, dict[int, Change]]:
    """Every arm in every use of the other studies minus the first's."""
    pairs = {
        (use, number): (of_study[use], theirs)
        for use, theirs in wrong[0].items()
        for number, of_study in enumerate(wrong)
        if number and comparable[number] and use in of_study
    }
    changes: dict[Use, dict[int, Change]] = {}
    for (use, number), change in compare_pairs(pairs).items():
        changes.setdefault(use, {})[number] = change
    return changes


def compare_pairs(pairs: Mapping[Any, tuple[_Wrong, _Wrong]]) -> dict[Any, Change]:
    """Tests several differences of errors together.

    Args:
      pairs: name → (ours, theirs), each seed → float [images], 1 where wrong; of the same images.

    Returns:
      Name → ours minus theirs. Variances over seeds of paired differences are moderated by each
      other's, p-values adjusted by Holm's method.
    """
    paired, alone = {}, {}
    for name, (ours, theirs) in pairs.items():
        seeds = [seed for seed in ours if seed in theirs]
        if seeds:
            paired[name] = TwoWayMean.of(np.stack([ours[s] - theirs[s] for s in seeds]))
        else:
            alone[name] = _unpaired(ours, theirs)
    means = {**moderate(paired), **alone}
    adjusted = holm({name: mean.p_value() for name, mean in means.items()})
    return {
        name: Change(
            difference=means[name].interval(CONFIDENCE),
            adjusted_p_value=adjusted.get(name, math.nan),
            verdict=_verdict(means[name].mean, adjusted.get(name, math.nan)),
            is_paired=name in paired,
            num_seeds=paired[name].num_seeds if name in paired else min(map(len, pairs[name])),
        )
        for name in pairs
    }


def _unpaired(ours: _Wrong, theirs: _Wrong) -> TwoWayMean:
    """The difference of two means over different seeds, by Welch's method over the seeds.

    The images' part is the variance of their differences, the seeds' noise in it included.
    """
    tables = [np.stack(list(of_seed.values())) for of_seed in (ours, theirs)]
    of_images = tables[0].mean(0) - tables[1].mean(0)
    sides = [TwoWayMean.of(table) for table in tables]
    parts = [side.seed_variance / side.num_seeds for side in sides if side.num_seeds > 1]
    images_variance = float(of_images.var(ddof=1) / len(of_images))
    mean = float(of_images.mean())
    if len(parts) < 2:
        return TwoWayMean(mean, math.nan, 0, images_variance, 1, len(of_images))
    total = float(sum(parts))
    spread = sum(p**2 / side.seed_freedom for p, side in zip(parts, sides, strict=True))
    freedom = total**2 / spread if spread else sum(map(len, tables)) - 2
    # `TwoWayMean` divides by its number of seeds, which is one of nothing here.
    return TwoWayMean(mean, 2 * total, freedom, images_variance, 2, len(of_images))


def _verdict(mean: float, p_value: float) -> str:
    if math.isnan(p_value):
        return TOO_FEW_SEEDS
    if p_value >= 1 - CONFIDENCE:
        return UNCLEAR
    return LOWER if mean < 0 else HIGHER


@dataclasses.dataclass(frozen=True)
class Best:
    """A study's arm of least error in its better use, the baseline apart.

    Attributes:
      study: its number.
      found: the arm.
      change: its error minus that of the study of least error; None for that one, and where the
        two cannot be compared.
    """

    study: int
    found: Comparison
    change: Change | None = None


def rank(
    comparisons: Sequence[Sequence[ArmComparison]],
    wrong: Sequence[Mapping[Use, _Wrong]],
    comparable: Sequence[Sequence[bool]],
) -> list[Best]:
    """Each study's best arm, the one of least error first; studies without an arm are left out."""
    found = {number: _best(of_study) for number, of_study in enumerate(comparisons)}
    known = {number: use for number, use in found.items() if use is not None}
    first, *others = sorted(known, key=lambda number: known[number].error.estimate) or [None]
    if first is None:
        return []
    pairs = {
        number: (_of(wrong[number], known[number]), _of(wrong[first], known[first]))
        for number in others
        if comparable[first][number]
    }
    changes = compare_pairs({n: pair for n, pair in pairs.items() if None not in pair})
    return [Best(first, known[first]), *(Best(n, known[n], changes.get(n)) for n in others)]


def _best(comparisons: Sequence[ArmComparison]) -> Comparison | None:
    """The arm of least error in its better use, apart from the baseline."""
    arms = [c.better for c in comparisons if c.arm != BASELINE]
    return min(arms, key=lambda use: use.error.estimate) if arms else None


def _of(wrong: Mapping[Use, _Wrong], found: Comparison) -> _Wrong | None:
    return wrong.get((found.arm, found.use))
