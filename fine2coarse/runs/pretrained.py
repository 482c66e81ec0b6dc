"""What a transfer may start from: a run, an exported folder, a TF Hub or Kaggle handle."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.files import read_json
from fine2coarse.hub.backbone import SavedModelBackbone, check_on_tensorflow
from fine2coarse.hub.resolve import SAVED_MODEL, HubError, fingerprint_of_folder, resolve
from fine2coarse.models import BackboneSpec
from fine2coarse.paths import expand
from fine2coarse.runs.classifiers import backbone_spec
from fine2coarse.runs.phase_folder import RECIPE, RESULT, PhaseFolder, RunError
from fine2coarse.runs.run_folders import export_recipe, suggestion

_EXPORT = "a transfer from an export's SavedModel"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Where a transfer starts.

    Attributes:
      start_from: a finished phase run or an export, whose backbone's weights are taken into a
        backbone that our code builds; None where the SavedModel itself is the backbone.
      backbone: the SavedModel that is the backbone; None where the recipe says which it is.
    """

    start_from: pathlib.Path | None
    backbone: SavedModelBackbone | None


def find_pretrained(handle: str, image_size_px: int) -> Pretrained:
    """Finds what `--pretrained` names, before any work.

    Args:
      handle: a run's folder, a folder with a SavedModel, a TF Hub or a Kaggle handle.
      image_size_px: side of the images that a SavedModel will be given.

    Raises:
      RunError: where there is nothing of the kind, or the run is not finished.
      HubError: where the handle cannot be fetched, or Keras does not run on TensorFlow, which a
        SavedModel as a backbone needs.
      MissingBackendError: of an export, where TensorFlow is not installed.
    """
    path = pathlib.Path(expand(handle))
    if (path / RECIPE).is_file() and not (path / SAVED_MODEL).is_file():
        PhaseFolder(path).result()  # an unfinished run is refused
        spec = backbone_spec(PhaseFolder(path).recipe())
        is_saved_model = isinstance(spec, SavedModelBackbone)
        if is_saved_model:
            check_on_tensorflow()
        return Pretrained(path, spec if is_saved_model else None)
    try:
        folder = resolve(handle)
    except HubError as error:
        near = suggestion(path)
        hint = f"; did you mean {near}?" if near else ""
        raise RunError(
            f"--pretrained={handle}: no {RESULT} of a finished run; {error}{hint}"
        ) from error
    if is_export(folder):
        start_tensorflow(_EXPORT)
        return Pretrained(folder, None)
    check_on_tensorflow()
    local = str(path.resolve()) if path.exists() else handle
    return Pretrained(None, SavedModelBackbone.find(local, image_size_px))


def start_recipe(start_from: pathlib.Path | None) -> str | dict[str, Any]:
    """What `recipe.json` says about a start: all that determines its weights."""
    if start_from is None:
        return "scratch"
    if is_export(start_from):
        return {
            "export": read_json(start_from / RECIPE) | {"sha256": fingerprint_of_folder(start_from)}
        }
    return {"recipe": PhaseFolder(start_from).recipe()}


def exported_weights(folder: pathlib.Path) -> list[tuple[str, np.ndarray]]:
    """Path and value of each weight of an export's backbone, in the backbone's order."""
    paths = read_json(folder / RECIPE)["export"]["backbone_weights"]
    start_tensorflow(_EXPORT)
    import tensorflow as tf

    # The backbone's weights stand before the head's.
    variables = list(tf.saved_model.load(str(folder)).variables)[: len(paths)]
    return [(path, variable.numpy()) for path, variable in zip(paths, variables, strict=True)]


def is_export(folder: pathlib.Path) -> bool:
    """Whether a folder is an export whose backbone our code builds."""
    if not (folder / SAVED_MODEL).is_file():
        return False
    recipe = export_recipe(folder)
    return bool(recipe) and isinstance(backbone_spec(recipe), BackboneSpec)
