"""Every recipe card, in every form that is documented, parses and takes a step of each phase."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import pathlib
import re
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples
from fine2coarse.labels import LabelSpace
from fine2coarse.labels.spec import Clusters, Level
from fine2coarse.models import BackboneSpec, backbones
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.studies.run_phases import Executor, TransferStart, do_transfer, pretraining_run
from fine2coarse.studies.study_data import StudyData

pytestmark = pytest.mark.both_backends

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_CARDS = {path.stem: path for path in sorted((_ROOT / "configs").glob("*.py"))}
_NO_STUDY = {"labels"}  # options of label spaces, tried in tests/launch/test_label_space.py
_SMALLEST = {"resnet": "resnet18", "vit": "vit_ti16", "mlp": "mlp_B_2-Wi_64"}
TARGET = LabelSpace(("x", "y"), ("x", "y"), np.array([[0], [0], [1], [1]]), name="target")
ONE_LABEL = LabelSpace(tuple("abcd"), tuple("abcd"), np.arange(4)[:, None], name="one")
SEVERAL = LabelSpace(tuple("abc"), tuple("abc"), np.array([[0, 1], [0, -1], [2, -1], [2, 1]]))


@functools.cache
def get_config_of(stem: str):
    spec = importlib.util.spec_from_file_location(f"card_{stem}", _CARDS[stem])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config


def documented_forms(stem: str) -> list[str]:
    """What stands after the colon: in the card itself, in README and in the pages of docs/."""
    texts = [_CARDS[stem].read_text("utf-8").split('"""')[1]]
    forms = re.findall(r"`:([^`\s]+)`", texts[0])
    forms += re.findall(r"[`'](\w+)[`']", inspect.getdoc(get_config_of(stem)))
    pages = [_ROOT / "README.md", _ROOT / "BUILD.md", *sorted((_ROOT / "docs").glob("*.md"))]
    for text in [*texts, *(page.read_text("utf-8") for page in pages)]:
        forms += re.findall(rf"(?:configs/{stem}\.py|--config={stem}):([^\s`\"')]+)", text)
    (parameter,) = inspect.signature(get_config_of(stem)).parameters.values()
    # A card may need an argument.
    default = [] if parameter.default in ("", parameter.empty) else [parameter.default]
    return list(dict.fromkeys([*default, *(form.rstrip(".,;:") for form in forms)]))


ALL = [(stem, form) for stem in _CARDS if stem not in _NO_STUDY for form in documented_forms(stem)]


def shrunken_phase(phase: PhaseSpec) -> PhaseSpec:
    """One step on few images; what shapes the step stays."""
    warmup_steps = min(phase.optimizer.warmup_steps, 1)
    return dataclasses.replace(
        phase,
        total_steps=1,
        batch_size=4 * phase.accumulate_steps,
        optimizer=dataclasses.replace(phase.optimizer, warmup_steps=warmup_steps),
        log_every_steps=1,
        checkpoint_every_steps=1,
    )


def shrunken(recipe: Recipe) -> Recipe:
    """The same optimizers, losses, augmentation and precision, on the family's smallest network."""
    backbone = recipe.backbone
    family = next(family for family in _SMALLEST if backbone.name.startswith(family))
    if backbone.name != "resnet_tiny":
        name = _SMALLEST[family]
        backbone = BackboneSpec(name, 32, backbone.small_stem, backbone.dropout_rate)
    return dataclasses.replace(
        recipe,
        arms={},
        seeds=(0,),
        backbone=dataclasses.replace(backbone, image_size_px=32),
        pretrain=shrunken_phase(recipe.pretrain),
        transfer=shrunken_phase(recipe.transfer),
        test_crops=min(recipe.test_crops, 2),
        evaluation=None,
        transfer_dataset=None,
        dataset=dataclasses.replace(recipe.dataset, name="", options={}),
        target=Level("any"),
    )


@functools.cache
def recipe_of(stem: str, form: str) -> Recipe:
    with contextlib.chdir(_photographs()):
        return Recipe.from_config(get_config_of(stem)(form))


@functools.cache
def _photographs() -> str:
    """A working directory with the folder that the card `folder` names in its docstring."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="f2c_photographs_"))
    (folder / "photos").mkdir()
    (folder / "photos" / "taxonomy.csv").write_text("breed,animal\na,x\nb,y\n")
    return str(folder)


@pytest.mark.parametrize(("stem", "form"), ALL)
def test_parses(stem, form):
    recipe = recipe_of(stem, form)
    assert recipe.arms and recipe.baseline_phase.total_steps > recipe.pretrain.total_steps


def test_the_forms_are_found():
    assert {"smoke", "resnet34", "resnet50"} == set(documented_forms("paper_inat2021"))
    assert {"demo", "smoke", "photographs"} == set(documented_forms("label_sources"))
    assert {"photos,small", "photos@animal"} <= set(documented_forms("folder"))
    assert {stem for stem, _ in ALL} == set(_CARDS) - _NO_STUDY


def test_a_smoke_form_has_images_for_all_its_clusters():
    recipe = recipe_of("label_sources", "smoke")
    labels = [arm.label for arm in recipe.arms.values()]
    largest = max(label.num_clusters for label in labels if isinstance(label, Clusters))
    num_train = recipe.dataset.options["num_train"]
    assert largest <= num_train * (1 - recipe.transfer_validation_share)


def distinct() -> list[tuple[str, str]]:
    """A form for each shrunken recipe: most small forms shrink to the same as the large one."""
    found = {repr(dataclasses.asdict(shrunken(recipe_of(*one)))): one for one in reversed(ALL)}
    return sorted(found.values())


def images(count: int = 8) -> Examples:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 40, 36, 3), np.uint8)
    ids = tuple(f"i{number}" for number in range(count))
    return Examples(tf.constant(pixels), ids, np.arange(count) % 4)


@pytest.fixture
def shallow(monkeypatch):
    """One block where there are more: a card does not say how deep a network is."""
    shapes = {
        "resnet18": backbones._resnet((1, 1, 1, 1)),
        "vit_ti16": backbones._vit(16, 1, 2, 8),
    }
    for name, builder in shapes.items():
        monkeypatch.setitem(backbones._BUILDERS, name, builder)


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "form"), distinct())
def test_takes_a_step_of_each_phase(shallow, tmp_path, engine, stem, form):
    recipe = shrunken(recipe_of(stem, form))
    space = SEVERAL if recipe.pretrain.loss == "sigmoid" else ONE_LABEL
    data = StudyData(
        name="generated",
        dataset_fingerprint="x",
        train=images(),
        transfer_train=images(),
        held_out=images(),
        evaluate=images(),
        target=TARGET,
        spaces={},
    )
    first = PhaseFolder(tmp_path / "pretrain")
    run = dataclasses.replace(pretraining_run(recipe, space, 0, data), evaluate=None)
    assert np.isfinite(execute(run, first, engine)["last_loss"])
    recipe = dataclasses.replace(recipe, transfer_head="new", transfer_mode="finetune")
    executor = Executor(engine, "card")
    result = do_transfer(
        recipe, recipe.transfer, 0, data, TransferStart(first.path), tmp_path / "transfer", executor
    )
    assert np.isfinite(result["last_loss"]) and result["evaluation"]["num_images"] == 8
