"""A phase run and an export as the same thing: encoded images to probabilities, or to features."""

from __future__ import annotations

import csv
import functools
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.input.augmentation import eval_image
from fine2coarse.labels.space import UNREADABLE, LabelSpace
from fine2coarse.models import SummedHead
from fine2coarse.runs.classifiers import load_classifier, trained_space
from fine2coarse.runs.fine_classes import find_fine_space
from fine2coarse.runs.phase_folder import RECIPE, PhaseFolder, RunError
from fine2coarse.runs.run_folders import export_recipe

_LABELS = "labels.csv"
_SERVING, _FEATURES = "serving_default", "image_feature_vector"
_NUM_AT_ONCE = 8  # encoded images that an export decodes together, which takes memory
_PROBABILITIES = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}

Probabilities = tuple[np.ndarray, np.ndarray | None]


class ImageModel(Protocol):
    """A trained model that takes encoded images.

    Attributes:
      classes: names of its K classes, as people read them, none twice.
      fine_classes: names of the C finer classes whose probabilities it sums; empty where there are
        none.
      image_size_px: side of the central square that is shown to it.
    """

    classes: tuple[str, ...]
    fine_classes: tuple[str, ...]
    image_size_px: int

    @property
    def keras_model(self) -> keras.Model:
        """Images float [B, S, S, 3] in [0, 1] to logits; RunError of an export."""
        ...

    def decode(self, data: bytes) -> Any:
        """What `probabilities` and `features` take of an image; safe to call from threads."""
        ...

    def probabilities(self, decoded: Sequence[Any]) -> Probabilities:
        """Of B images: float32 [B, K], and [B, C] of the finer classes where there are any."""
        ...

    def features(self, decoded: Sequence[Any]) -> np.ndarray:
        """Feature vectors of B images: float32 [B, D]."""
        ...


class RunModel:
    """The model of a finished phase, in float32; the average of its weights where it kept one.

    Args:
      path: the phase's folder.

    Raises:
      RunError: where it is not finished, or lacks its classes.
    """

    def __init__(self, path: pathlib.Path) -> None:
        folder = PhaseFolder(path)
        folder.result()
        recipe, space = folder.recipe(), trained_space(folder)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            self._model = load_classifier(path)
        finally:
            keras.config.set_dtype_policy(policy)
        head = self._model.head
        fine_space = find_fine_space(folder) if isinstance(head, SummedHead) else None
        self.classes = class_names(space)
        self.fine_classes = class_names(fine_space) if fine_space else ()
        self.image_size_px = recipe["backbone"]["image_size_px"]
        self._of_logits = _PROBABILITIES[recipe["phase"].get("loss", "softmax")]
        # Traced here: threads call it.
        self._decoding = _traced(self._central_square, tf.TensorSpec([], tf.string))

    def _central_square(self, data: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU"):  # where input pipelines decode
            return eval_image(data, self.image_size_px)

    @functools.cached_property
    def _classifying(self) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        head = self._model.head

        def classify(images: tf.Tensor) -> list[tf.Tensor]:
            features = self._model.predict_features(images)
            found = [self._of_logits(head(features))]
            if self.fine_classes:
                of_fine = _PROBABILITIES[head.summation.fine_loss]
                found.append(of_fine(tf.cast(head.fine(features), tf.float32)))
            return found

        return _traced(classify, self._images)

    @functools.cached_property
    def _encoding(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def encode(images: tf.Tensor) -> tf.Tensor:
            return tf.cast(self._model.predict_features(images), tf.float32)

        return _traced(encode, self._images)

    @property
    def _images(self) -> tf.TensorSpec:
        return tf.TensorSpec([None, self.image_size_px, self.image_size_px, 3], tf.float32)

    @property
    def keras_model(self) -> keras.Model:
        """Images float [B, S, S, 3] in [0, 1] to logits float32 [B, K]."""
        return self._model

    def decode(self, data: bytes) -> np.ndarray:
        """The central square: float32 [S, S, 3] in [0, 1]."""
        return self._decoding(tf.constant(data)).numpy()

    def probabilities(self, decoded: Sequence[np.ndarray]) -> Probabilities:
        """See `ImageModel`."""
        found, *fine = self._classifying(tf.constant(np.stack(decoded)))
        return found.numpy(), fine[0].numpy() if fine else None

    def features(self, decoded: Sequence[np.ndarray]) -> np.ndarray:
        """See `ImageModel`."""
        return self._encoding(tf.constant(np.stack(decoded))).numpy()


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


def _traced(function: Callable[..., Any], spec: tf.TensorSpec) -> Callable[..., Any]:
    """A concrete function: TensorFlow warns of the others where a process loads many models."""
    return tf.function(function, autograph=False).get_concrete_function(spec)


def _parts(decoded: Sequence[bytes]) -> list[list[bytes]]:
    starts = range(0, len(decoded), _NUM_AT_ONCE)
    return [list(decoded[start : start + _NUM_AT_ONCE]) for start in starts]


def class_names(space: LabelSpace) -> tuple[str, ...]:
    """Names of a label space's classes; those that several have with the class's id behind them."""
    return unique_names(space.class_names, space.class_ids)


def unique_names(names: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    """Names, none of them twice: `crane (n02012849)` where there is another crane.

    Args:
      names: as people read them.
      ids: of the same classes, all different.
    """
    times = Counter(names)
    return tuple(
        name if times[name] == 1 else f"{name} ({class_id})"
        for name, class_id in zip(names, ids, strict=True)
    )


def _read_labels(path: pathlib.Path) -> tuple[str, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return unique_names([row["class_name"] for row in rows], [row["class_id"] for row in rows])
