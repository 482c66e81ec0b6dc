"""CONTRIBUTING.md: its three lists, followed to the letter in a copy of the tree; its table."""

from __future__ import annotations

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TEXT = (_ROOT / "CONTRIBUTING.md").read_text("utf-8")
# A step: a file, whether it is new, what to do there.
_STEP = re.compile(r"^\d+\. `([^`]+)`( \(new\))?:(.*(?:\n   .*)*)", re.M)

# What the steps of each list are here: file → its text where it is new, else pairs of a line that
# is there (the first empty lines, for definitions) and what to add after it.
_LABEL_SOURCE = {
    "fine2coarse/labels/parity.py": '''
from fine2coarse.labels.level import from_nodes
from fine2coarse.labels.space import LabelSpace
from fine2coarse.taxonomy.taxonomy import Taxonomy


def parity(taxonomy: Taxonomy, period: int) -> LabelSpace:
    """Every leaf in the class of one of the first `period` leaves, in turn."""
    nodes = [(taxonomy.leaf_nodes[leaf % period],) for leaf in range(taxonomy.num_leaves)]
    return from_nodes(taxonomy, nodes, name=f"parity-{period}", source={"kind": "parity"})
''',
    "fine2coarse/labels/sources.py": [
        ("from fine2coarse.labels.mixed import mixed\n",
         "from fine2coarse.labels.parity import parity\n"),
        ("__all__ = [\n", '    "parity",\n'),
    ],
    "fine2coarse/labels/spec.py": [
        ("SOURCES = {\n", '    "parity": Parity,\n'),
        ("LabelSource = Annotated[\n", "    Parity |\n"),
        ("\n\n\n", '''@dataclasses.dataclass(frozen=True)
class Parity:
    """See `sources.parity`."""

    period: int

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.parity(context.taxonomy, self.period)


'''),
    ],
    "configs/labels.py": [
        ("_SOURCES = (\n", '    "parity",\n'),
        ("    return {\n", '        "parity": {"period": 2},\n'),
    ],
}  # fmt: skip
_BACKBONE = {
    "fine2coarse/models/means.py": '''
import keras


def means(image_size_px: int) -> keras.Model:
    """Eight features of an image's mean colour."""
    inputs = keras.Input((image_size_px, image_size_px, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(8, "relu")(pooled))
''',
    "fine2coarse/models/backbones.py": [
        ("import numpy as np\n\n",
         "from fine2coarse.models.means import means\n"),
        ("_BUILDERS: Mapping[str, Builder] = {\n",
         '    "means": lambda spec: means(spec.image_size_px),\n'),
    ],
    "fine2coarse/recipes/backbone_spec.py": [("BACKBONES = (", '"means", ')],
    "fine2coarse/recipes/backbones.tsv": [("forward_flops\n", "means\t32\t8\t32\t48\n")],
}  # fmt: skip
_DATASET = {
    "fine2coarse/datasets/colours.py": '''
import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from fine2coarse.datasets import stored_taxonomy
from fine2coarse.taxonomy.csv_reader import from_rows

_LEAVES = [["red", "warm"], ["orange", "warm"], ["blue", "cold"], ["cyan", "cold"]]
_RGB = [(200, 30, 30), (220, 140, 40), (30, 30, 200), (40, 180, 220)]


@dataclasses.dataclass(kw_only=True)
class ColoursConfig(tfds.core.BuilderConfig):
    num_train: int = 64


class Colours(tfds.core.GeneratorBasedBuilder):
    """Plain colours, four fine classes in two coarse ones."""

    VERSION = tfds.core.Version("1.0.0")

    @property
    def taxonomy(self):
        return stored_taxonomy.read(self.info)

    def _info(self):
        taxonomy = from_rows([["fine", "coarse"], *_LEAVES], where="colours")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
                    "image_id": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=taxonomy.leaf_ids),
                }
            ),
            metadata=stored_taxonomy.metadata(taxonomy),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("train", self.builder_config.num_train),
                "test": self._generate_examples("test", 16)}

    def _generate_examples(self, split, count):
        generator = np.random.default_rng([count, split == "test"])
        for index in range(count):
            noise = generator.integers(-20, 20, (8, 8, 3))
            image = np.clip(np.asarray(_RGB[index % 4]) + noise, 0, 255).astype(np.uint8)
            yield index, {"image": image, "image_id": f"{split}-{index}", "label": index % 4}
''',
    "fine2coarse/datasets/open.py": [
        ("from fine2coarse.datasets.demo import Demo, DemoConfig\n",
         "from fine2coarse.datasets.colours import Colours, ColoursConfig\n"),
        ('    "demo": _demo,\n', '    "colours": _colours,\n'),
        ("\n\n\n", '''def _colours(options, data_dir, prepare):
    config = ColoursConfig(name="default", **options)
    return _prepared(Colours(config=config, data_dir=data_dir), prepare)


'''),
    ],
    "fine2coarse/recipes/dataset_options.py": [
        ("DATASET_OPTIONS: Mapping[str, type] = {\n", '    "colours": ColoursOptions,\n'),
        ("\n\n\n", '''@dataclasses.dataclass(frozen=True)
class ColoursOptions:
    """Of plain colours."""

    num_train: int | None = None


'''),
    ],
    "configs/colours.py": '''
from ml_collections import ConfigDict

from fine2coarse.recipes.card import recipe_card


def get_config():
    """Warm or cold?"""
    config = recipe_card()
    config.dataset.update({"name": "colours", "options": {"num_train": 32}})
    config.target = ConfigDict({"source": "level", "options": {"level": "coarse"}})
    config.arms = ConfigDict({"parity": {"source": "parity", "options": {"period": 2}}})
    config.seeds = (0,)
    config.backbone.update({"name": "means", "image_size_px": 8})
    config.transfer_candidates = "off"
    config.transfer_head = "new"
    for phase in (config.pretrain, config.transfer):
        phase.update({"total_steps": 4, "batch_size": 8})
        phase.augment.update({"crop": "none", "flip": False})
    return config.lock()
''',
}  # fmt: skip
LISTS = {
    "Add a label source": _LABEL_SOURCE,
    "Add a backbone": _BACKBONE,
    "Add a dataset": _DATASET,
}


def section(heading: str) -> str:
    return _TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def steps(heading: str) -> list[tuple[str, bool, str]]:
    """Path, whether it is new, and what to do there, of each step of a list."""
    return [(path, bool(new), text) for path, new, text in _STEP.findall(section(heading))]


def follow(tree: pathlib.Path, edits: dict) -> None:
    """Makes new files and adds lines to those that are there."""
    for name, edit in edits.items():
        path = tree / name
        if isinstance(edit, str):
            assert not path.exists(), name
            path.write_text(edit, "utf-8")
            continue
        text = path.read_text("utf-8")
        for after, added in edit:
            assert after in text, f"{name}: no line {after!r} to add to"
            text = text.replace(after, after + added, 1)
        path.write_text(text, "utf-8")


def run(tree: pathlib.Path, *command: str) -> None:
    """Runs a program of a copied tree in it."""
    shown = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr[-3000:]


@pytest.mark.parametrize("heading", LISTS)
def test_the_files_of_a_list_and_what_it_says_is_in_them(heading):
    found = steps(heading)
    assert len(found) >= 4 and section(heading).count("\n") <= 22
    for path, is_new, text in found:
        assert is_new == ("NAME" in path) and (is_new or (_ROOT / path).is_file()), path
        for code in re.findall(r"`([^`]+)`", text):
            if "NAME" not in code and "/" in code:
                assert (_ROOT / code).is_file(), code
            elif re.fullmatch(r"_?[A-Za-z_]+", code) and not is_new and path.endswith(".py"):
                assert re.search(rf"\b{code}\b", (_ROOT / path).read_text("utf-8")), (path, code)


@pytest.mark.parametrize("heading", LISTS)
def test_this_test_touches_the_files_that_the_list_names(heading):
    of_package = [
        path for path, _, _ in steps(heading) if path.startswith(("fine2coarse", "configs"))
    ]
    names = {"labels": "parity", "models": "means", "datasets": "colours", "configs": "colours"}
    named = {path.replace("NAME", names.get(path.split("/")[-2], "")) for path in of_package}
    assert named == set(LISTS[heading])


@pytest.mark.parametrize(
    ("heading", "name"), [("Add a label source", "mixed"), ("Add a backbone", "resnet_small")]
)
def test_where_one_that_is_there_is_registered(heading, name):
    """Its name stands in the files of the list, and in no other of the package."""
    listed = {path for path, is_new, _ in steps(heading) if not is_new}
    found = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "fine2coarse").rglob("*.py")
        if path.parent.name != "theory" and path.stem != name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value == name
    }
    assert found and found <= listed


def test_the_table_names_each_package_and_its_first_file():
    rows = re.findall(r"^\| `fine2coarse/(\w+)/` .*\| `(\w+\.py)` \|$", _TEXT, re.M)
    packages = {path.parent.name: path for path in (_ROOT / "fine2coarse").glob("*/__init__.py")}
    assert {name for name, _ in rows} == set(packages)
    for name, first in rows:
        docstring = " ".join(
            ast.get_docstring(ast.parse(packages[name].read_text("utf-8"))).split()
        )
        assert re.search(rf"Start\s+with\s+`{first}`", docstring), name


@pytest.mark.slow
def test_a_source_a_backbone_and_a_dataset_made_by_the_lists_take_part_in_a_study(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("fine2coarse", "configs", "launch"):
        shutil.copytree(_ROOT / folder, tmp_path / folder, ignore=ignored)
    for edits in LISTS.values():
        follow(tmp_path, edits)
    run(tmp_path, "launch/study.py", "--config=colours", "--workdir=study", "--noreport")
    results = (tmp_path / "study" / "results.csv").read_text("utf-8")
    assert "parity" in results and "baseline" in results
    dataset = ["--dataset=colours", "--data_dir=study/data"]
    run(tmp_path, "launch/label_space.py", "--config=labels:parity", *dataset, "--out=parity.npz")
    assert (tmp_path / "parity.npz").is_file()
