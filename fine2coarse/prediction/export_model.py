"""An export as an `ImageModel`: TensorFlow runs it, beside JAX where Keras is on that."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.input.augmentation import eval_image
from fine2coarse.labels.space import UNREADABLE
from fine2coarse.prediction.image_models import Probabilities, unique_names
from fine2coarse.runs.phase_folder import RECIPE, RunError
from fine2coarse.runs.run_folders import export_recipe

_LABELS = "labels.csv"
_SERVING, _FEATURES = "serving_default", "image_feature_vector"
_NUM_AT_ONCE = 8  # encoded images that an export decodes together, which takes memory


class ExportModel:
    """An export of `fine2coarse export`, by its own signatures.

    Args:
      path: the export's folder.

    Raises:
      RunError: where it cannot be loaded, or is another program's.
    """

    fine_classes: tuple[str, ...] = ()

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        recipe = export_recipe(path)
        if not recipe:
            raise RunError(
                f"{path} holds a SavedModel without the {RECIPE} of an export; expected a folder "
                "that `fine2coarse export` made"
            )
        try:
            self._loaded = tf.saved_model.load(str(path))
            self.classes = _read_labels(path / _LABELS)
        except UNREADABLE as error:
            raise RunError(f"{path}: cannot be loaded: {error}; export it again") from error
        self.image_size_px = recipe["backbone"]["image_size_px"]
        self._has_head = bool(recipe["export"]["with_head"])
        if not self._has_head:
            self.classes = ()

    @property
    def keras_model(self) -> keras.Model:
        """There is none.

        Raises:
          RunError: always.
        """
        raise RunError(
            f"{self._path} is an export; fine2coarse.hub.HubLayer({str(self._path)!r}) is its "
            "Keras layer, and of a run's folder there is a model"
        )

    def decode(self, data: bytes) -> bytes:
        """The bytes: the SavedModel decodes them."""
        return data

    def probabilities(self, decoded: Sequence[bytes]) -> Probabilities:
        """See `ImageModel`.

        Raises:
          RunError: where it was exported without its head.
        """
        if not self._has_head:
            raise RunError(
                f"{self._path} was exported without its head and gives feature vectors; export "
                "the run again with --head"
            )
        serve = self._loaded.signatures[_SERVING]
        parts = [serve(image_bytes=tf.constant(part))["probabilities"] for part in _parts(decoded)]
        return np.concatenate([part.numpy() for part in parts]), None

    def features(self, decoded: Sequence[bytes]) -> np.ndarray:
        """See `ImageModel`."""
        vectors = self._loaded.signatures[_FEATURES]
        found = []
        for part in _parts(decoded):
            images = tf.stack([eval_image(tf.constant(one), self.image_size_px) for one in part])
            found.append(vectors(images=images)["default"].numpy())
        return np.concatenate(found)


def _parts(decoded: Sequence[bytes]) -> list[list[bytes]]:
    starts = range(0, len(decoded), _NUM_AT_ONCE)
    return [list(decoded[start : start + _NUM_AT_ONCE]) for start in starts]


def _read_labels(path: pathlib.Path) -> tuple[str, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return unique_names([row["class_name"] for row in rows], [row["class_id"] for row in rows])
