"""What `study --dry_run` prints: every run of a study with its classes, steps, time and disk."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.cards import folder_of
from fine2coarse.datasets.imagenet21k_subsets import IMAGENET21K_P, subset_of
from fine2coarse.formats import disk_size
from fine2coarse.labels.spec import LabelSource
from fine2coarse.recipes.names import BASELINE
from fine2coarse.recipes.recipe import DatasetSpec, Recipe
from fine2coarse.runs.classifiers import build_classifier
from fine2coarse.runs.transfers import PROBE
from fine2coarse.studies import run_phases
from fine2coarse.studies.before_data import check_recipe, levels_named
from fine2coarse.studies.measure import measure_rate
from fine2coarse.studies.open_study import INSTEAD_OF_DATASETS, open_study
from fine2coarse.studies.plan import (
    PRETRAINING,
    PlannedPhase,
    PlannedRun,
    Rate,
    known_num_classes,
    plan_study,
    with_rates,
)
from fine2coarse.studies.plan_table import describe_plan
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.study import check_study
from fine2coarse.studies.study_data import StudyData, load_study_data
from fine2coarse.studies.target_arms import notes_on_arms, notes_on_recipe
from fine2coarse.studies.throughput import device_hours, read_throughputs
from fine2coarse.taxonomy.inat2021 import LEVEL_SIZES
from fine2coarse.taxonomy.level_names import counted
from fine2coarse.taxonomy.summary import summarize_level
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO
from fine2coarse.taxonomy.wordnet import is_synset_id, read_wordnet
from fine2coarse.training.cost import train_flops_per_image
from fine2coarse.training.engine import Engine

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

# Datasets so quickly prepared that a plan may prepare them in a folder of its own.
_SMALL = ("demo", "folder")


def default_throughputs() -> pathlib.Path:
    """The table of throughputs that is shipped with the cards."""
    return folder_of("configs") / "throughput.csv"


def describe_study(
    recipe: Recipe,
    runs: Sequence[Run],
    workdir: pathlib.Path,
    engine: Engine,
    data_dir: str,
    throughputs: pathlib.Path | None = None,
    *,
    packed: str | None = None,
) -> Iterator[str]:
    """Every run with its cost, in parts, each when it is known; writes nothing below `workdir`.

    Args:
      recipe: of the study.
      runs: which of its runs.
      workdir: of the study; need not exist.
      engine: the process's engine, which a few steps are measured with.
      data_dir: folder of prepared data.
      throughputs: the table that GPU and TPU hours are estimated with; the shipped one where None.
      packed: folder of a pack to read in place of the datasets.

    Raises:
      RunError: where the folder belongs to another recipe.
      UsageError: where a file or a level that the recipe names is known not to exist.
    """
    check_study(recipe, workdir)
    if packed is None:
        check_recipe(recipe, runs)
    num_parameters, num_features, flops = _model_size(recipe)
    with contextlib.ExitStack() as stack:
        if packed is None:
            data, missing = _data(recipe, runs, data_dir, stack, engine)
        else:
            data, missing = open_study(recipe, data_dir, runs, packed=packed, devices=engine), ""
        if data is None:
            yield f"{missing}: classes are told as far as they are known, times are not"
            classes = _classes_from_recipe(recipe, data_dir)
            plan, is_measured = plan_study(recipe, runs, classes, _may_sum, workdir), False
            yield from (f"note: {note}" for note in notes_on_recipe(recipe))
            yield from _upper_bounds(recipe)
            yield from _downloads(recipe)
        else:
            plan = plan_study(recipe, runs, _classes_from_data(data), _can_sum(data), workdir)
            yield from (f"note: {note}" for note in notes_on_arms(data))
            yield "measuring a few steps ..."
            plan, is_measured = with_rates(plan, _measure(recipe, data, engine)), True
    yield describe_plan(plan, num_parameters, num_features)
    yield from _notes(plan, is_measured)
    yield from _device_hours(recipe, plan, flops, throughputs or default_throughputs())


def _data(
    recipe: Recipe,
    runs: Sequence[Run],
    data_dir: str,
    stack: contextlib.ExitStack,
    engine: Engine,
) -> tuple[StudyData | None, str]:
    """The study's data where it is prepared or quickly prepared elsewhere; else why it is not."""
    start_tensorflow("reading a prepared dataset", INSTEAD_OF_DATASETS)
    from fine2coarse.datasets.open import NotPreparedError

    specs = (recipe.dataset, recipe.evaluation, recipe.transfer_dataset)
    try:
        opened = [spec and _open(spec.name, spec.options, data_dir, stack) for spec in specs]
    except NotPreparedError as error:
        return None, str(error)
    return load_study_data(recipe, *opened, runs=runs, devices=engine), ""


def _open(
    name: str, options: Mapping[str, Any], data_dir: str, stack: contextlib.ExitStack
) -> PreparedDataset:
    """A prepared dataset; one that is quickly prepared, if need be in a folder of its own."""
    from fine2coarse.datasets.open import NotPreparedError, open_dataset

    try:
        return open_dataset(name, options, data_dir, prepare=False)
    except NotPreparedError:
        if name not in _SMALL:
            raise
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        return open_dataset(name, options, folder)


def _classes_from_data(data: StudyData) -> Callable[[Run], int]:
    def num_classes(run: Run) -> int:
        known = data.spaces.summaries.get((run.arm, run.seed), data.target)
        return known.num_classes

    return num_classes


def _can_sum(data: StudyData) -> Callable[[Run], bool]:
    def can_sum(run: Run) -> bool:
        return data.can_sum(data.class_map(data.spaces.summaries[run.arm, run.seed]))

    return can_sum


def _may_sum(run: Run) -> bool:
    """What is planned with before the data tells: that classes can be summed."""
    return True


def _classes_from_recipe(recipe: Recipe, data_dir: str) -> Callable[[Run], int | None]:
    arms = [arm.label for arm in recipe.arms.values()]
    task = recipe.transfer_dataset or recipe.dataset
    sizes, target_sizes = (
        {} if _has_some_leaves(dataset) else _level_sizes(dataset, data_dir, sources)
        for dataset, sources in ((recipe.dataset, arms), (task, [recipe.target]))
    )
    num_targets = known_num_classes(recipe.target, target_sizes)

    def num_classes(run: Run) -> int | None:
        spec = recipe.arms.get(run.arm)
        return known_num_classes(spec.label, sizes) if spec else num_targets

    return num_classes


def _has_some_leaves(dataset: DatasetSpec) -> bool:
    """Whether the source decides which leaves of the taxonomy there are."""
    return dataset.name == "imagenet21k" and subset_of(dataset.options).leaves == "present"


def _upper_bounds(recipe: Recipe) -> Iterator[str]:
    """How many classes there can be where the source decides."""
    if not _has_some_leaves(recipe.dataset):
        return
    taxonomy = read_wordnet()
    sources = [recipe.target, *(arm.label for arm in recipe.arms.values())]
    levels = dict.fromkeys(level for source in sources for level in levels_named(source))
    told = [
        f"{summarize_level(taxonomy, level).num_classes:,} classes at level {level}"
        for level in levels
    ]
    bounds = f": at most {', '.join(told)}" if told else ""
    subset = subset_of(recipe.dataset.options)
    if subset.min_images_per_class is None:
        yield f"leaves='present' takes the synsets that the archive has{bounds}"
    else:
        yield f"min_images_per_class={subset.min_images_per_class} decides the classes{bounds}"
    for published in IMAGENET21K_P if subset.name else ():
        yield f"{published.name}: {published.classes:,} classes at level 0 are published"


def _downloads(recipe: Recipe) -> Iterator[str]:
    """What preparing inat2021 downloads where no archives are given."""
    from fine2coarse.datasets.inat2021 import download_sizes

    for field in ("dataset", "transfer_dataset", "evaluation"):
        spec = getattr(recipe, field)
        if spec and spec.name == "inat2021" and not spec.options.get("manual_dir"):
            sizes = download_sizes(spec.options.get("splits"))
            told = ", ".join(f"{split} {disk_size(size)}" for split, size in sizes.items())
            yield (
                f"inat2021 is downloaded first, {disk_size(sum(sizes.values()))} ({told}); "
                f"--config.{field}.options.splits=\"('mini', 'val')\" takes fewer"
            )


def _level_sizes(
    dataset: DatasetSpec, data_dir: str, sources: Sequence[LabelSource]
) -> Mapping[str, int]:
    """Classes of each level of a dataset's whole taxonomy, where it is known without the data.

    Those are the levels that it names, and of `hops:2` and the like those that the sources name.
    """
    if dataset.name == "inat2021":
        return LEVEL_SIZES
    if dataset.name == "tfds":
        classes = _tfds_classes(dataset.options["name"], data_dir)
        if dataset.options.get("taxonomy") and classes:
            taxonomy = _taxonomy_of(dataset.options, classes)
        elif all(map(is_synset_id, classes)):
            taxonomy = read_wordnet(classes)
        else:
            return {"label": len(classes)}
    elif dataset.name == "imagenet21k":
        taxonomy = read_wordnet()
    else:
        return {}
    named = {level for source in sources for level in levels_named(source) if counted(level)}
    levels = dict.fromkeys((*taxonomy.levels, *sorted(named)))
    return {level: summarize_level(taxonomy, level).num_classes for level in levels}


def _taxonomy_of(options: Mapping[str, Any], classes: Sequence[str]) -> Taxonomy:
    """What a file of the user's own says of the classes of a TFDS dataset."""
    from fine2coarse.datasets.tfds_hierarchy import taxonomy_of_file

    taxonomy_format = options.get("taxonomy_format") or AUTO
    return taxonomy_of_file(options["name"], classes, options["taxonomy"], taxonomy_format)


def _tfds_classes(name: str, data_dir: str) -> list[str]:
    """Names of the classes of a TFDS dataset's `label`; empty where it has none."""
    import tensorflow_datasets as tfds

    features = tfds.builder(name, data_dir=data_dir).info.features
    return list(features["label"].names) if "label" in features else []


def _model_size(recipe: Recipe) -> tuple[int, int, int | None]:
    """Parameters of the backbone, features it gives, FLOPs of training on an image."""
    size = recipe.backbone.image_size_px
    model = build_classifier(recipe.backbone, 2, seed=0)
    flops = train_flops_per_image(model, (size, size, 3))
    found = model.backbone.count_params(), model.backbone.output_shape[-1], flops
    keras.backend.clear_session()
    return found


def _measure(
    recipe: Recipe, data: StudyData, engine: Engine
) -> Callable[[Run, PlannedPhase], Rate]:
    def measure(run: Run, planned: PlannedPhase) -> Rate:
        if run.arm == BASELINE:
            run = run_phases.baseline_run(recipe, run.seed, data)
        else:
            space = data.spaces[run.arm, run.seed]
            run = run_phases.pretraining_run(recipe, space, run.seed, data, run.arm)
        if planned.kind != PRETRAINING:
            # A head of as many classes as the transfer trains, summed or not.
            is_target = planned.num_classes == data.target.num_classes
            run = dataclasses.replace(
                run,
                space=data.target if is_target else run.space,
                evaluate=data.evaluate,
                phase=planned.phase,
            )
        rate = measure_rate(run, engine)
        keras.backend.clear_session()
        return rate

    return measure


def _notes(plan: Sequence[PlannedRun], is_measured: bool) -> Iterator[str]:
    if is_measured:
        yield (
            "time: from a few steps of each kind of phase on this machine as it is now, one run "
            "after another; building, compiling and evaluating included"
        )
    if any(phase.folder.endswith(f"/{PROBE}") for planned in plan for phase in planned.phases):
        yield "time of a linear probe: that of fine-tuning, which takes longer"
    yield "disk: weights and kept checkpoints; prepared images, logs and predictions come besides"


def _device_hours(
    recipe: Recipe, plan: Sequence[PlannedRun], flops: int | None, throughputs: pathlib.Path
) -> Iterator[str]:
    num_images = sum(
        phase.num_images for planned in plan for phase in planned.phases if not phase.is_finished
    )
    found = device_hours(
        read_throughputs(throughputs),
        backbone=recipe.backbone.name,
        image_size_px=recipe.backbone.image_size_px,
        precision=recipe.precision,
        num_images=num_images,
        train_flops_per_image=flops,
    )
    told = f"{flops / 1e9:.1f} GFLOPs" if flops else "unknown FLOPs"
    yield f"training: {num_images:,} images left, {told} an image"
    if not found:
        yield (
            f"{throughputs} has no row for {recipe.backbone.name} at "
            f"{recipe.backbone.image_size_px} px in {recipe.precision}"
        )
        return
    yield f"hours of training on one of these devices ({throughputs}, which you may edit):"
    for device in found:
        kind = "estimate from FLOPs" if device.is_estimate else "published rate"
        yield (
            f"  {device.device}: {device.hours:,.0f} h ({device.images_per_second:,.0f} images/s, "
            f"{kind})"
        )
