"""What was trained, from a run's folder or from one that was exported from it."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import tensorflow as tf

from fine2coarse.experiment.classifiers import backbone_spec, load_classifier
from fine2coarse.experiment.run_folder import RECIPE, RunFolder, read_json
from fine2coarse.hub.resolve import SAVED_MODEL, fingerprint
from fine2coarse.models import BackboneSpec, build_backbone


def is_export(folder: pathlib.Path) -> bool:
    """Whether a folder is an export whose backbone our code builds."""
    if not ((folder / SAVED_MODEL).is_file() and (folder / RECIPE).is_file()):
        return False
    recipe = read_json(folder / RECIPE)
    return "export" in recipe and isinstance(backbone_spec(recipe), BackboneSpec)


def start_recipe(path: pathlib.Path) -> dict[str, Any]:
    """What the recipe of a run says of the run or export that it starts from."""
    if is_export(path):
        return {"export": read_json(path / RECIPE) | {"sha256": fingerprint(path)}}
    return {"recipe": RunFolder(path).recipe()}


def trained_backbone(path: pathlib.Path) -> keras.Model:
    """The backbone of a finished or exported run, built by our code, with its weights.

    Raises:
      RunError: where there is no finished run.
    """
    if not is_export(path):
        return load_classifier(path).backbone
    recipe = read_json(path / RECIPE)
    backbone = build_backbone(backbone_spec(recipe), seed=0)
    loaded = tf.saved_model.load(str(path))
    # The backbone's weights stand before the head's.
    count = recipe["export"]["num_backbone_weights"]
    backbone.set_weights([variable.numpy() for variable in loaded.variables[:count]])
    return backbone
