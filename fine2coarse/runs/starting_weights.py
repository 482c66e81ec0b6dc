"""What a run starts from: fresh weights, a finished run, a KerasHub preset or a handle."""

from __future__ import annotations

import pathlib
from typing import Any

import keras

from fine2coarse.errors import UsageError
from fine2coarse.hub.resolve import HubError, resolve
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.models import Classifier, SummedHead
from fine2coarse.models.summation import averaged_head
from fine2coarse.models.weights import WeightsError, copy_weights, put_weights
from fine2coarse.recipes.names import NEW
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.recipes.transfer_spec import AVERAGED, KEPT, SUMMED
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.phase_folder import RunError
from fine2coarse.runs.presets import import_keras_hub
from fine2coarse.runs.pretrained import exported_weights, is_export, start_recipe
from fine2coarse.runs.run_folders import start_folder


def describe_start(start: StartSpec) -> str | dict[str, Any]:
    """A phase's start in its `recipe.json`: of a run all that determines its weights."""
    if start.kind == "scratch":
        return "scratch"
    if start.kind == "run":
        return start_recipe(start_folder(pathlib.Path(start.source)))
    if start.kind == "hub":
        return start_recipe(_exported_by_us(start.source))
    return {start.kind: start.source}


def start_from_run(
    model: Classifier,
    path: pathlib.Path,
    head: str,
    *,
    class_map: ClassMap | None = None,
    from_branch: bool = False,
) -> None:
    """Sets a fresh classifier's weights to those of a finished run, or of an export.

    Args:
      model: whose backbone, and whose head unless that is new, are set.
      path: folder of the run; of an export where the head is new.
      head: 'new', 'kept', 'summed' or 'averaged', see `PhaseRun`.
      class_map: from the run's classes to the model's, to average by.
      from_branch: the weights that other runs branch off from, not the last ones.

    Raises:
      RunError: where weights are missing or do not fit; nothing is loaded in part.
    """
    if is_export(path):
        if head != NEW:
            raise RunError(
                f"{path}: transfer_head={head!r} needs the label space that the head was trained "
                "on; give the run's own folder, or use transfer_head='new'"
            )
        start_weights(model.backbone, StartSpec("run", str(path)))
        return
    source = load_classifier(path, weights="branch" if from_branch else "auto")
    try:
        copy_weights(model.backbone, source.backbone, str(path))
        if head == KEPT:
            copy_weights(model.head, source.head, f"the head of {path}")
        elif head == SUMMED:
            copy_weights(fine_head(model), fine_head(source), f"the head of {path}")
        elif head == AVERAGED:
            kernel, bias = map(keras.ops.convert_to_numpy, fine_head(source).weights)
            model.head.set_weights(averaged_head(kernel, bias, class_map))
        elif head != NEW:
            raise UsageError(f"head is new, kept, summed or averaged, got {head!r}")
    except WeightsError as error:
        raise RunError(str(error)) from error


def fine_head(model: Classifier) -> keras.layers.Dense:
    """The linear layer of a classifier's head, whether its classes are summed or not."""
    return model.head.fine if isinstance(model.head, SummedHead) else model.head


def start_weights(backbone: keras.Model, start: StartSpec) -> None:
    """Sets a fresh backbone's weights to those it shall start from.

    Raises:
      RunError: where they are missing or do not fit; nothing is loaded in part.
    """
    if start.kind == "scratch":
        return
    try:
        if start.kind == "run":
            _start_from_run(backbone, start_folder(pathlib.Path(start.source)))
        elif start.kind == "hub":
            _start_from_run(backbone, _exported_by_us(start.source))
        else:
            source = _preset(start.source)
            copy_weights(_inner(backbone), source, start.source)
    except WeightsError as error:
        raise RunError(str(error)) from error


def _start_from_run(backbone: keras.Model, path: pathlib.Path) -> None:
    if is_export(path):
        put_weights(backbone, exported_weights(path), str(path))
    else:
        copy_weights(backbone, load_classifier(path).backbone, str(path))


def _exported_by_us(handle: str) -> pathlib.Path:
    """The folder of a handle whose weights have our backbone's names.

    Raises:
      RunError: where there is none.
    """
    try:
        folder = resolve(handle)
    except HubError as error:
        raise RunError(f"start.source={handle!r}: {error}") from error
    if not is_export(folder):
        raise RunError(
            f"start.source={handle!r}: expected an export of `fine2coarse export`, whose weights "
            "are named as in our backbones; a SavedModel of others cannot give its weights to "
            "another backbone, but can be one itself: fine2coarse transfer --pretrained="
            f"{handle}"
        )
    return folder


def _preset(name: str) -> keras.Model:
    keras_hub = import_keras_hub()
    try:
        return keras_hub.models.Backbone.from_preset(name)
    except (ValueError, OSError, KeyError) as error:
        raise RunError(f"KerasHub preset {name!r} cannot be loaded: {error}") from error


def _inner(backbone: keras.Model) -> keras.Model:
    """The part of a backbone that KerasHub has too: all but the normalisation of pixels."""
    bodies = [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    if len(bodies) != 1:
        raise RunError(f"{backbone.name} has no counterpart among KerasHub's backbones")
    return bodies[0]
