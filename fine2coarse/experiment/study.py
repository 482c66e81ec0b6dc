"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import pathlib
from collections.abc import Callable, Iterator
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
from fine2coarse.experiment.best_of import best_of
from fine2coarse.experiment.label_sources import label_context, make_label_space
from fine2coarse.experiment.phases import Run, execute
from fine2coarse.experiment.progress import ProgressBar
from fine2coarse.experiment.recipe import BASELINE, DatasetSpec, Recipe
from fine2coarse.experiment.run_folder import (
    RunFolder,
    check_or_write,
    make_writable_folder,
    write_json,
)
from fine2coarse.labels.space import LabelSpace
from fine2coarse.training.spec import PhaseSpec

STUDY, RESOLVED, RESULTS = "study.json", "recipe.json", "results.csv"


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
    recipe: Recipe, dataset: Any, evaluation: Any = None, transfer_dataset: Any = None
) -> StudyData:
    """Reads the images and makes every label space, so that mistakes show before any training.

    Args:
      recipe: of the study.
      dataset: a `PreparedDataset`.
      evaluation: the one that `recipe.evaluation` names, if it names one.
      transfer_dataset: the one that `recipe.transfer_dataset` names, if it names one.

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
    for (arm, spec), seed in itertools.product(recipe.arms.items(), recipe.seeds):
        context = dataclasses.replace(base, target=within, seed=seed)
        spaces[arm, seed] = make_label_space(spec, context)
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


class Study:
    """A study in its folder.

    Args:
      recipe: what to do.
      workdir: where all files go; one folder a study.

    Raises:
      RunError: where the folder is not writable or belongs to another recipe.
    """

    def __init__(self, recipe: Recipe, workdir: pathlib.Path) -> None:
        self.recipe, self.workdir = recipe, workdir
        make_writable_folder(workdir)
        check_or_write(workdir / STUDY, recipe.without_arms_and_seeds(), f"study {workdir}")
        write_json(workdir / RESOLVED, recipe.to_dict())

    def run(
        self,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        announce: Callable[[str], None] = print,
    ) -> list[results.Row]:
        """Does every run that is not finished yet; `results.csv` grows with each.

        Args:
          data: images and label spaces.
          strategy: the process's strategy.
          announce: told one line a finished run.

        Returns:
          A row for each run.
        """
        plan = list(self._plan())
        rows: list[results.Row] = []
        for number, (seed, arm) in enumerate(plan, start=1):
            title = f"run {number}/{len(plan)} {arm} seed {seed}"
            row = self._run_arm(arm, seed, data, strategy, title)
            rows.append(row)
            results.write_csv(self.workdir / RESULTS, rows)
            announce(f"{title}: {row.num_classes} classes, error {100 * row.error():.2f} %")
            keras.backend.clear_session()
            gc.collect()
        return rows

    def _plan(self) -> Iterator[tuple[int, str]]:
        """Seed by seed, so that a study cut short is still paired."""
        return itertools.product(self.recipe.seeds, [BASELINE, *self.recipe.arms])

    def _run_arm(
        self, arm: str, seed: int, data: StudyData, strategy: tf.distribute.Strategy, title: str
    ) -> results.Row:
        folder = self.workdir / "runs" / f"{arm}-seed{seed}"
        if arm == BASELINE:
            run = baseline_run(self.recipe, seed, data)
            final = _execute(run, folder / "baseline", strategy, title)
            return results.Row.from_results(arm, None, final)
        first = pretraining_run(self.recipe, data.spaces[arm, seed], seed, data, arm)
        pretrained = _execute(first, folder / "pretrain", strategy, title)
        second = transfer_run(self.recipe, seed, data, folder / "pretrain", arm)
        if self.recipe.transfer_choices:
            second = best_of(second, self.recipe.transfer_choices, folder / "choices", strategy)
        final = _execute(second, folder / "transfer", strategy, title)
        return results.Row.from_results(arm, pretrained, final)


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
    run: Run, path: pathlib.Path, strategy: tf.distribute.Strategy, title: str
) -> dict[str, Any]:
    return execute(run, RunFolder(path), strategy, ProgressBar(f"{title} {run.purpose}"))
