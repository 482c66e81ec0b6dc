"""What all runs of a study share: images, target, label spaces, and the maps between them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fine2coarse.datasets.data_facts import Overlap, describe_data
from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.input.examples import Examples
from fine2coarse.input.image_shares import select_share
from fine2coarse.labels.class_map import ClassMap, targets_of_leaves
from fine2coarse.labels.space import LabelSpace
from fine2coarse.labels.spec import Clusters, Context, sources_within
from fine2coarse.packs.layout import wanted_images
from fine2coarse.packs.pack import PackedDataset
from fine2coarse.preparation.contents import found_in
from fine2coarse.recipes.names import BASELINE
from fine2coarse.recipes.recipe import DatasetSpec, Recipe
from fine2coarse.runs.transfers import arm_candidates, fixed_transfer
from fine2coarse.studies.arm_spaces import ArmSpaces, Key, SpaceSummary
from fine2coarse.studies.label_spaces import label_context
from fine2coarse.studies.run_plan import Run, plan_runs
from fine2coarse.studies.storage import DeviceSpace, ImageDevices, open_examples

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

ROLES = ("dataset", "evaluation", "transfer_dataset")
"""Fields of a recipe that name a dataset, in the order that `load_study_data` takes them."""


@dataclasses.dataclass(frozen=True, eq=False)
class StudyData:
    """What all runs of a study share.

    Attributes:
      name: of the prepared dataset.
      dataset_fingerprint: of the prepared images; where they come from several datasets, of all.
      train: images to pretrain on.
      transfer_train: images to transfer and train the baseline on; mostly the same ones.
      held_out: training images of the task that nothing is trained on, to choose transfers on;
        None where one transfer is fixed. Another dataset to pretrain on is without them too, as
        far as their image ids are the same there.
      evaluate: test images.
      target: label space of the coarse task.
      spaces: (arm, seed) → label space to pretrain on; any mapping is taken, and kept as
        `ArmSpaces`. Large ones are made when asked for: hold no more of them than needed.
      facts: how the images were prepared and which are there twice; JSON-able.
      train_targets: int32 [N], the target of each image of `train`, -1 for none; None where the
        images of `train` have no place among the target's classes.
      packed_pixels: how pixels from a pack differ from the stored ones, e.g. 'squares 64 px'; empty
        where none does.
    """

    name: str
    dataset_fingerprint: str
    train: Examples
    transfer_train: Examples
    held_out: Examples | None
    evaluate: Examples
    target: LabelSpace
    spaces: Mapping[Key, LabelSpace]
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    train_targets: np.ndarray | None = None
    packed_pixels: str = ""
    _class_maps: dict[str, ClassMap | None] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        """Keeps the spaces as `ArmSpaces`."""
        object.__setattr__(self, "spaces", ArmSpaces.of(self.spaces))

    @functools.cached_property
    def _present_targets(self) -> np.ndarray:
        """The targets that have training images."""
        return np.unique(self.transfer_train.targets(self.target))

    def can_sum(self, class_map: ClassMap | None) -> bool:
        """Whether classes can be summed into the target's and distinguish these.

        Asked of the targets that have training images.
        """
        if class_map is None:
            return False
        return class_map.tells_apart(self._present_targets)

    def class_map(self, space: LabelSpace | SpaceSummary) -> ClassMap | None:
        """Which targets the classes of a label space belong to, counted over the training images.

        None where the images that are pretrained on have no targets, or none of the space's.
        """
        if self.train_targets is None:
            return None
        # Counted over every image, and asked for several times a run.
        if space.fingerprint not in self._class_maps:
            if isinstance(space, SpaceSummary):
                space = self.spaces[space.key]
            shape = (space.num_classes, self.target.num_classes)
            found = ClassMap.from_labels(self.train.labelled(space), self.train_targets, shape)
            self._class_maps[space.fingerprint] = found if len(found.classes) else None
        return self._class_maps[space.fingerprint]


def load_study_data(
    recipe: Recipe,
    dataset: PreparedDataset | PackedDataset,
    evaluation: PreparedDataset | PackedDataset | None = None,
    transfer_dataset: PreparedDataset | PackedDataset | None = None,
    runs: Sequence[Run] | None = None,
    devices: ImageDevices | None = None,
) -> StudyData:
    """Reads the images and makes every label space, so that mistakes show before any training.

    Args:
      recipe: of the study.
      dataset: the images to pretrain on.
      evaluation: the one that `recipe.evaluation` names, if it names one.
      transfer_dataset: the one that `recipe.transfer_dataset` names, if it names one.
      runs: those whose label spaces are wanted; all of them where None.
      devices: the engine that trains, for `dataset.storage=device`; None where none does.

    Raises:
      UsageError: on an unknown split, level, label source or option, or images to test on whose
        classes the dataset does not know.
    """
    task, task_spec, space = dataset, recipe.dataset, DeviceSpace(devices)
    if recipe.transfer_dataset is not None:
        task, task_spec = transfer_dataset, recipe.transfer_dataset
    evaluate, test_digests = _test_examples(recipe, task, task_spec, evaluation, space)
    train, overlap = _training_examples(dataset, recipe.dataset, test_digests, space)
    task_train, overlaps = train, [overlap]
    if recipe.transfer_dataset is not None:
        task_train, overlap = _training_examples(task, task_spec, test_digests, space)
        overlaps.append(overlap)
    task_train, held_out = _without_held_out(task_train, recipe.held_out_share)
    if recipe.transfer_dataset is None:
        train = task_train
    elif held_out is not None:
        # The same images may lie in both, as those of ImageNet-1k do in ImageNet-21k.
        train = train.subset(held_out.image_ids.rows_of(train.image_ids) < 0)
    target = _target(recipe, task, task_train, evaluate, held_out)
    if recipe.transfer_dataset is None and recipe.evaluation is None:
        context = label_context(task.taxonomy, task_train, evaluate, task.fingerprint)
    else:
        # Arms are not tested on their own labels; nor need there be embeddings of those images.
        context = label_context(dataset.taxonomy, train, None, dataset.fingerprint)
    within = target if recipe.transfer_dataset is None else None
    context = dataclasses.replace(context, target=within)
    others = [other for other in (transfer_dataset, evaluation) if other is not None]
    data = StudyData(
        name="+".join(used.name for used in (dataset, *others)),
        dataset_fingerprint="+".join(used.fingerprint for used in (dataset, *others)),
        train=train,
        transfer_train=task_train,
        held_out=held_out,
        evaluate=evaluate,
        target=target,
        spaces=_arm_spaces(recipe, context, plan_runs(recipe) if runs is None else runs),
        facts=describe_data([dataset, *others], overlaps),
        train_targets=_train_targets(dataset, train, task_train, target),
        packed_pixels=_packed_pixels(recipe, (dataset, evaluation, transfer_dataset)),
    )
    _check_spaces(recipe, data)
    return data


def _test_examples(
    recipe: Recipe,
    task: PreparedDataset | PackedDataset,
    task_spec: DatasetSpec,
    evaluation: PreparedDataset | PackedDataset | None,
    space: DeviceSpace,
) -> tuple[Examples, np.ndarray]:
    """The images to test on, labelled with the task's leaves, and their digests."""
    if recipe.evaluation is None:
        split = task_spec.eval_split
        return open_examples(task, split, task_spec, space), task.digests(split)
    split = recipe.evaluation.split
    found = open_examples(evaluation, split, task_spec, space)
    found = found.with_leaves(evaluation.taxonomy.leaf_ids, task.taxonomy.label_of_leaf)
    return found, evaluation.digests(split)


def _packed_pixels(
    recipe: Recipe, datasets: Sequence[PreparedDataset | PackedDataset | None]
) -> str:
    """How the pixels of some split differ from the stored ones; a pack has one way to."""
    wanted, of_roles = wanted_images(recipe), dict(zip(ROLES, datasets, strict=True))
    changed = {
        of_roles[role].changed_pixels(split)
        for role, images in wanted.items()
        if isinstance(of_roles[role], PackedDataset)
        for split in images.splits
    }
    return "".join(sorted(changed))


def _target(
    recipe: Recipe,
    task: PreparedDataset | PackedDataset,
    train: Examples,
    evaluate: Examples,
    held_out: Examples | None,
) -> LabelSpace:
    """The label space of the coarse task, which must give every image one class."""
    context = label_context(task.taxonomy, train, evaluate, task.fingerprint, held_out)
    with _named("target"):
        target = recipe.target.build(context)
    for images in (train, evaluate, held_out):
        if images is not None:
            images.targets(target)  # raises where an image has no class, or several
    return target


def _arm_spaces(recipe: Recipe, context: Context, runs: Sequence[Run]) -> ArmSpaces:
    """(arm, seed) → label space to pretrain on; none is made yet."""

    def make(key: Key) -> LabelSpace:
        arm, seed = key
        with _named(f"arm {arm!r}"):
            return recipe.arms[arm].label.build(dataclasses.replace(context, seed=seed))

    keys = [(run.arm, run.seed) for run in runs if run.arm != BASELINE]
    slow = {  # k-means on millions of images takes too long to do it twice
        arm
        for arm, _ in keys
        if any(isinstance(part, Clusters) for _, part in sources_within(recipe.arms[arm].label))
    }
    return ArmSpaces(keys, make, slow)


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Says in front of a mistake what of the recipe it is in."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error


def _check_spaces(recipe: Recipe, data: StudyData) -> None:
    """Makes each label space once, so that mistakes show before anything is trained.

    Raises:
      UsageError: where one cannot be made.
      RecipeError: where an arm's transfers cannot be made.
    """
    for (arm, _), space in data.spaces.items():
        can_sum = data.can_sum(data.class_map(space))
        _, phase = recipe.phases_of(arm)
        try:
            if recipe.tries_candidates:
                arm_candidates(phase, recipe.transfer_choices, can_sum)
            else:
                fixed_transfer(phase, recipe.transfer_head, recipe.transfer_mode, can_sum)
        except RecipeError as error:
            raise RecipeError(f"arm {arm!r}: {error}") from error


def _train_targets(
    dataset: PreparedDataset | PackedDataset,
    train: Examples,
    task_train: Examples,
    target: LabelSpace,
) -> np.ndarray | None:
    """Targets of the images to pretrain on; of another dataset's by the ids of the targets."""
    if train is task_train:
        return train.targets(target)
    of_leaves = targets_of_leaves(dataset.taxonomy, target.class_ids)
    return None if of_leaves is None else of_leaves[train.leaf_labels]


def _without_held_out(train: Examples, share: float) -> tuple[Examples, Examples | None]:
    """The images to train on, and those held out; None where none are."""
    if not share:
        return train, None
    try:
        members = select_share(train.image_ids, share, "transfer_validation_share")
    except ValueError as error:
        raise UsageError(
            f"{error}; another share, or --config.transfer_candidates=off for one transfer, which "
            "holds nothing out"
        ) from error
    return train.subset(~members), train.subset(members)


def _training_examples(
    dataset: PreparedDataset | PackedDataset,
    spec: DatasetSpec,
    test_digests: np.ndarray,
    space: DeviceSpace,
) -> tuple[Examples, Overlap]:
    """The images to train on, and which of them are among those to test on."""
    train = open_examples(dataset, spec.train_split, spec, space)
    chosen = np.ones(len(train), bool)
    if spec.train_fraction != 1:
        chosen = select_share(train.image_ids, spec.train_fraction, "train_fraction")
    in_test = chosen & found_in(dataset.digests(spec.train_split), test_digests)
    dropped = in_test if spec.drop_duplicates else np.zeros_like(in_test)
    overlap = Overlap(
        f"{dataset.name}: {spec.train_split}",
        int(chosen.sum()),
        int(in_test.sum()),
        int(dropped.sum()),
    )
    members = chosen & ~dropped
    if not members.any():
        raise UsageError(
            f"{overlap.images}: all {overlap.num_images} images are among the images to test on; "
            "choose other splits, or leave out drop_duplicates"
        )
    emptied = np.setdiff1d(train.leaf_labels[dropped], train.leaf_labels[members])
    if len(emptied):
        names = [dataset.taxonomy.leaf_ids[label] for label in emptied]
        raise UsageError(
            f"{overlap.images}: drop_duplicates leaves {len(names)} classes without a training "
            f"image, such as {names[:3]}, for all of theirs are among the test images; change the "
            "splits, or leave out drop_duplicates"
        )
    return train if members.all() else train.subset(members), overlap
