"""What a run starts from: fresh weights, a finished run, a KerasHub preset or a handle."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras

from fine2coarse.experiment.classifiers import load_classifier
from fine2coarse.experiment.pretrained import exported_weights, is_export, start_recipe
from fine2coarse.experiment.run_folder import RunError
from fine2coarse.hub.resolve import HubError, resolve
from fine2coarse.models.weights import WeightsError, copy_weights, put_weights

START_KINDS = ("scratch", "run", "preset", "hub")


@dataclasses.dataclass(frozen=True)
class StartSpec:
    """Where a backbone's first weights come from.

    Attributes:
      kind: 'scratch', 'run' (a finished run's folder, or its export), 'preset' (KerasHub's name
        of one, e.g. `resnet_18_imagenet`, or a folder that its `save_to_preset` wrote) or 'hub'
        (a TF Hub or Kaggle handle, or a folder, of what launch/export.py wrote).
      source: folder, name or handle; empty for 'scratch'.
    """

    kind: str = "scratch"
    source: str = ""

    def __post_init__(self) -> None:
        """Checks the kind and that it has its source."""
        if self.kind not in START_KINDS:
            raise ValueError(f"start.kind is one of {START_KINDS}, got {self.kind!r}")
        if (self.kind == "scratch") == bool(self.source):
            raise ValueError(f"start.kind={self.kind!r} does not go with source={self.source!r}")

    def recipe(self) -> Any:
        """What `recipe.json` says of it: of a run all that determines its weights."""
        if self.kind == "scratch":
            return "scratch"
        if self.kind == "run":
            return start_recipe(pathlib.Path(self.source))
        if self.kind == "hub":
            return start_recipe(_exported_by_us(self.source))
        return {self.kind: self.source}


def start_weights(backbone: keras.Model, start: StartSpec) -> None:
    """Sets a fresh backbone's weights to those it shall start from.

    Raises:
      RunError: where they are missing or do not fit; nothing is loaded in part.
    """
    if start.kind == "scratch":
        return
    try:
        if start.kind == "run":
            _start_from_run(backbone, pathlib.Path(start.source))
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
            f"start.source={handle!r}: expected an export of launch/export.py, whose weights are "
            "named as in our backbones; a SavedModel of others cannot give its weights to "
            "another backbone, but can be one itself: launch/transfer.py --pretrained="
            f"{handle}"
        )
    return folder


def _preset(name: str) -> keras.Model:
    import keras_hub

    try:
        return keras_hub.models.Backbone.from_preset(name)
    except (ValueError, OSError, KeyError) as error:
        raise RunError(f"KerasHub preset {name!r} cannot be loaded: {error}") from error


def _inner(backbone: keras.Model) -> keras.Model:
    """The part of a backbone that KerasHub's has too: all but the normalisation of pixels."""
    bodies = [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    if len(bodies) != 1:
        raise RunError(f"{backbone.name} is not one of KerasHub's backbones")
    return bodies[0]
