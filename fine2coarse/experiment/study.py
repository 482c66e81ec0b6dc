"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import dataclasses
import gc
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from fine2coarse.data.examples import (
    MAX_DECODED_BYTES,
    Examples,
    load_examples,
    stored_examples,
)
from fine2coarse.data.splits import held_out
from fine2coarse.experiment import results
from fine2coarse.experiment.best_of import CHOICES, best_of
from fine2coarse.experiment.claimed import ClaimedFolder, ClaimedObserver
from fine2coarse.experiment.claims import DEFAULT_TIMEOUT_S, Claim, Claims
from fine2coarse.experiment.label_sources import label_context, make_label_space
from fine2coarse.experiment.mirror import Mirror
from fine2coarse.experiment.phases import Run, execute
from fine2coarse.experiment.progress import ProgressBar
from fine2coarse.experiment.recipe import BASELINE, DatasetSpec, Recipe
from fine2coarse.experiment.run_folder import (
    PRETRAIN,
    RUNS,
    TRANSFER,
    RunFolder,
    check_or_write,
    last_phase,
    make_writable_folder,
    write_json,
)
from fine2coarse.experiment.share import UnitFailed, share_units
from fine2coarse.experiment.units import Unit, plan_units
from fine2coarse.labels.space import LabelSpace
from fine2coarse.training.loop import NonFiniteLossError
from fine2coarse.training.spec import PhaseSpec

STUDY, RESOLVED, RESULTS = "study.json", "recipe.json", "results.csv"
CLAIMS = "claims"


@dataclasses.dataclass(frozen=True, eq=False)
class StudyData:
    """What all runs of a study share.

    Attributes:
      name: of the prepared dataset.
      dataset_fingerprint: of the prepared images; where they come from several datasets, of all.
      train: images to pretrain on.
      transfer_train: images to transfer and train the baseline on; mostly the same ones.
      evaluate: test images.
      target: label space of the coarse task.
      spaces: (arm, seed) → label space to pretrain on.
    """

    name: str
    dataset_fingerprint: str
    train: Examples
    transfer_train: Examples
    evaluate: Examples
    target: LabelSpace
    spaces: dict[tuple[str, int], LabelSpace]

    @property
    def is_one_task(self) -> bool:
        """Whether the target labels the images that are pretrained on."""
        return self.transfer_train is self.train


def load_study_data(
    recipe: Recipe,
    dataset: Any,
    evaluation: Any = None,
    transfer_dataset: Any = None,
    units: Sequence[Unit] | None = None,
) -> StudyData:
    """Reads the images and makes every label space, so that mistakes show before any training.

    Args:
      recipe: of the study.
      dataset: a `PreparedDataset`.
      evaluation: the one that `recipe.evaluation` names, if it names one.
      transfer_dataset: the one that `recipe.transfer_dataset` names, if it names one.
      units: those whose label spaces are wanted; all of them where None.

    Raises:
      ValueError: on an unknown split, level, label source or option, or images to test on whose
        classes the dataset does not know.
    """
    train = _training_examples(dataset, recipe.dataset)
    task, task_spec, task_train = dataset, recipe.dataset, train
    if recipe.transfer_dataset is not None:
        task, task_spec = transfer_dataset, recipe.transfer_dataset
        task_train = _training_examples(task, task_spec)
    if recipe.evaluation is None:
        evaluate = open_examples(task, task_spec.eval_split, task_spec.storage)
    else:
        evaluate = open_examples(evaluation, recipe.evaluation.split, task_spec.storage)
        evaluate = evaluate.with_leaves(evaluation.taxonomy.leaf_ids, task.taxonomy.label_of_leaf)
    base = label_context(task.taxonomy, task_train, evaluate, task.fingerprint)
    target = make_label_space(recipe.target, base)
    task_train.targets(target)
    evaluate.targets(target)
    within = target
    if recipe.transfer_dataset is not None or recipe.evaluation is not None:
        # Arms are not tested on their own labels; nor need there be embeddings of those images.
        base = label_context(dataset.taxonomy, train, None, dataset.fingerprint)
        within = None if recipe.transfer_dataset is not None else target
    spaces = {}
    for unit in plan_units(recipe) if units is None else units:
        if unit.arm != BASELINE:
            context = dataclasses.replace(base, target=within, seed=unit.seed)
            spaces[unit.arm, unit.seed] = make_label_space(recipe.arms[unit.arm], context)
    others = [other for other in (transfer_dataset, evaluation) if other is not None]
    fingerprint = "+".join(used.fingerprint for used in (dataset, *others))
    name = "+".join(used.name for used in (dataset, *others))
    return StudyData(name, fingerprint, train, task_train, evaluate, target, spaces)


def _training_examples(dataset: Any, spec: DatasetSpec) -> Examples:
    train = open_examples(dataset, spec.train_split, spec.storage)
    if spec.train_fraction == 1:
        return train
    return train.subset(held_out(train.image_ids, spec.train_fraction, "train_fraction"))


def open_examples(dataset: Any, split: str, storage: str) -> Examples:
    """A split of a `PreparedDataset`, in memory or left on disk: see `DatasetSpec.storage`."""
    stored = dataset.builder.info.splits
    is_large = split in stored and stored[split].num_bytes > MAX_DECODED_BYTES
    if storage == "memory" or (storage == "auto" and not is_large):
        return load_examples(dataset.read(split))
    index = dataset.index(split)
    paths = [str(path) for path in stored[split].filepaths]
    return stored_examples(paths, index.image_ids, index.labels, index.hard)


class StudyError(RuntimeError):
    """Some of a study's runs failed."""


def check_study(recipe: Recipe, workdir: pathlib.Path) -> None:
    """Makes sure that a folder holds no study or this one, and writes nothing.

    Raises:
      RunError: where it belongs to another recipe.
    """
    if (workdir / STUDY).is_file():
        check_or_write(workdir / STUDY, recipe.without_arms_and_seeds(), f"study {workdir}")


class Study:
    """A study in its folder, on which several processes may work at the same time.

    Args:
      recipe: what to do.
      workdir: where all files go; one folder a study.
      claim_timeout_s: a run whose process gave no sign of life for so long is taken over.
      mirror: where `workdir` is the local copy of a remote folder.

    Raises:
      RunError: where the folder is not writable or belongs to another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        workdir: pathlib.Path,
        claim_timeout_s: float = DEFAULT_TIMEOUT_S,
        mirror: Mirror | None = None,
    ) -> None:
        self.recipe, self.workdir, self._mirror = recipe, workdir, mirror
        make_writable_folder(workdir)
        if mirror:
            mirror.pull()
        check_or_write(workdir / STUDY, recipe.without_arms_and_seeds(), f"study {workdir}")
        write_json(workdir / RESOLVED, recipe.to_dict())
        self.units = plan_units(recipe)
        self.claims = Claims(workdir / CLAIMS, claim_timeout_s)
        self._rows: dict[Unit, results.Row] = {}
        self.publish()

    def publish(self) -> None:
        """Copies the study's own files to the remote folder, where there is one."""
        if self._mirror:
            for path in self.workdir.iterdir():
                if path.name != RUNS:
                    self._mirror.push(path)

    def run(
        self,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        announce: Callable[[str], None] = print,
        *,
        units: Sequence[Unit] | None = None,
        wait: bool = True,
    ) -> list[results.Row]:
        """Does every run that nobody has done or does; `results.csv` grows with each.

        Args:
          data: images and label spaces.
          strategy: the process's strategy.
          announce: told one line a finished run.
          units: which runs; all of them where None.
          wait: for the runs that other processes do, to take over those of the dead. Otherwise
            returns as soon as nothing is left that it could do.

        Returns:
          A row for each finished run, whoever did it, in the plan's order.

        Raises:
          StudyError: where runs failed; the others are finished.
          Preempted: where SIGTERM came; what was trained is saved.
        """

        def do(unit: Unit, claim: Claim | None) -> None:
            title = f"run {self.units.index(unit) + 1}/{len(self.units)} {unit}"
            row = self._run_unit(unit, data, strategy, title, claim)
            self._rows[unit] = row
            self.rows()
            before = "" if claim else " (done before)"
            error = f"error {100 * row.error():.2f} %"
            announce(f"{title}: {row.num_classes} classes, {error}{before}")
            if claim:
                keras.backend.clear_session()
                gc.collect()

        chosen = self.units if units is None else units
        failures = share_units(
            chosen, self.claims, self.is_finished, do, wait=wait, announce=announce
        )
        if self._mirror:
            self._mirror.pull()  # what other machines did
        if failures:
            told = "; ".join(f"{unit}: {reason}" for unit, reason in failures.items())
            raise StudyError(
                f"{len(failures)} of {len(chosen)} runs failed, the others did not: {told}"
            )
        return self.rows()

    def is_finished(self, unit: Unit) -> bool:
        """Whether a unit has its last result."""
        return RunFolder(self._folder(unit) / last_phase(unit.arm)).is_finished

    def rows(self) -> list[results.Row]:
        """A row for each finished run, in the plan's order; `results.csv` is written with them."""
        for unit in self.units:
            if unit not in self._rows and self.is_finished(unit):
                self._rows[unit] = read_row(unit, self._folder(unit))
        rows = [self._rows[unit] for unit in self.units if unit in self._rows]
        results.write_csv(self.workdir / RESULTS, rows)
        self.publish()
        return rows

    def _folder(self, unit: Unit) -> pathlib.Path:
        return self.workdir / RUNS / unit.name

    def _run_unit(
        self,
        unit: Unit,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        title: str,
        claim: Claim | None,
    ) -> results.Row:
        folder, (arm, seed) = self._folder(unit), (unit.arm, unit.seed)
        publish = self._mirror.push if self._mirror else lambda path: None
        if self._mirror and claim:
            self._mirror.pull(f"{RUNS}/{unit.name}", heavy=True)

        def do(run: Run, purpose: str) -> dict[str, Any]:
            return _execute(run, folder / purpose, strategy, title, claim, publish)

        if arm == BASELINE:
            do(baseline_run(self.recipe, seed, data), BASELINE)
            return read_row(unit, folder)
        do(pretraining_run(self.recipe, data.spaces[arm, seed], seed, data, arm), PRETRAIN)
        second = transfer_run(self.recipe, seed, data, folder / PRETRAIN, arm)
        if self.recipe.transfer_choices:
            second = best_of(
                second,
                self.recipe.transfer_choices,
                lambda trial, name: do(trial, f"{CHOICES}/{name}"),
            )
        do(second, TRANSFER)
        return read_row(unit, folder)


def read_row(unit: Unit, folder: pathlib.Path) -> results.Row:
    """The row of a finished unit."""
    final = RunFolder(folder / last_phase(unit.arm)).result()
    first = None if unit.arm == BASELINE else RunFolder(folder / PRETRAIN).result()
    return results.Row.from_results(unit.arm, first, final)


def baseline_run(recipe: Recipe, seed: int, data: StudyData) -> Run:
    """The run that trains on the target alone, for as many images as the other arms see."""
    return _run(recipe, "baseline", data.target, seed, data, recipe.baseline_phase)


def pretraining_run(
    recipe: Recipe, space: LabelSpace, seed: int, data: StudyData, arm: str = ""
) -> Run:
    """The run that pretrains on a label space; judged by coarse-from-fine, if at all."""
    phase, _ = recipe.phases_of(arm)
    run = dataclasses.replace(_run(recipe, "pretrain", space, seed, data, phase), test_crops=0)
    if space is not data.target:
        run = dataclasses.replace(run, train=data.train)
    if not data.is_one_task:
        return dataclasses.replace(run, evaluate=None)
    return dataclasses.replace(run, target=data.target)


def transfer_run(
    recipe: Recipe, seed: int, data: StudyData, start_from: pathlib.Path | None, arm: str = ""
) -> Run:
    """The run that transfers a finished run's backbone to the target.

    None is for a backbone that brings its weights along.
    """
    _, phase = recipe.phases_of(arm)
    run = _run(recipe, "transfer", data.target, seed, data, phase)
    is_probe = recipe.transfer_mode == "linear_probe"
    return dataclasses.replace(run, start_from=start_from, freeze_backbone=is_probe)


def _run(
    recipe: Recipe, purpose: str, space: LabelSpace, seed: int, data: StudyData, phase: PhaseSpec
) -> Run:
    return Run(
        purpose=purpose,
        space=space,
        phase=phase,
        backbone=recipe.backbone,
        seed=seed,
        precision=recipe.precision,
        train=data.transfer_train,
        evaluate=data.evaluate,
        dataset_fingerprint=data.dataset_fingerprint,
        dataset_name=data.name,
        start=recipe.start,
        test_crops=recipe.test_crops,
    )


def _execute(
    run: Run,
    path: pathlib.Path,
    strategy: tf.distribute.Strategy,
    title: str,
    claim: Claim | None,
    publish: Callable[[pathlib.Path], None],
) -> dict[str, Any]:
    folder, observer = RunFolder(path), ProgressBar(f"{title} {run.purpose}")
    if claim:
        folder, observer = ClaimedFolder(path, claim, publish), ClaimedObserver(observer, claim)
    try:
        return execute(run, folder, strategy, observer)
    except NonFiniteLossError as error:
        raise UnitFailed(str(error)) from error
