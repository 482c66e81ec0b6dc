"""A phase run and an export as the same thing: encoded images to probabilities, or to features."""

from __future__ import annotations

import functools
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from fine2coarse import keras_settings
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import SummedHead
from fine2coarse.runs.classifiers import load_classifier, trained_space
from fine2coarse.runs.fine_classes import find_fine_space
from fine2coarse.runs.phase_folder import PhaseFolder

_PROBABILITIES = {"softmax": ops.softmax, "sigmoid": ops.sigmoid}

Probabilities = tuple[np.ndarray, np.ndarray | None]
Tensor = Any
"""A tensor of the backend."""
Apply = Callable[[np.ndarray], list[np.ndarray]]
"""Images float32 [B, S, S, 3] in [0, 1] to what the model makes of them."""


class Undecodable(Fine2CoarseError):
    """An image's bytes that cannot be decoded."""


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
        self._compute = _computing()
        self._decoding = self._compute.square_decoder(self.image_size_px)  # threads call it

    @functools.cached_property
    def _classifying(self) -> Apply:
        head = self._model.head

        def classify(images: Tensor) -> list[Tensor]:
            features = self._model.predict_features(images)
            found = [self._of_logits(head(features))]
            if self.fine_classes:
                of_fine = _PROBABILITIES[head.summation.fine_loss]
                found.append(of_fine(ops.cast(head.fine(features), "float32")))
            return found

        return self._compute.compiled(self._model, classify, self.image_size_px)

    @functools.cached_property
    def _encoding(self) -> Apply:
        def encode(images: Tensor) -> list[Tensor]:
            return [ops.cast(self._model.predict_features(images), "float32")]

        return self._compute.compiled(self._model, encode, self.image_size_px)

    @property
    def keras_model(self) -> keras.Model:
        """Images float [B, S, S, 3] in [0, 1] to logits float32 [B, K]."""
        return self._model

    def decode(self, data: bytes) -> np.ndarray:
        """The central square: float32 [S, S, 3] in [0, 1].

        Raises:
          Undecodable: where the bytes are no image that can be decoded.
        """
        return self._decoding(data)

    def probabilities(self, decoded: Sequence[np.ndarray]) -> Probabilities:
        """See `ImageModel`."""
        found, *fine = self._classifying(np.stack(decoded))
        return found, fine[0] if fine else None

    def features(self, decoded: Sequence[np.ndarray]) -> np.ndarray:
        """See `ImageModel`."""
        (found,) = self._encoding(np.stack(decoded))
        return found


def _computing() -> ModuleType:
    """What decodes and computes on the backend that Keras runs on."""
    if keras_settings.backend() == keras_settings.JAX:
        from fine2coarse.prediction import jax_compute

        return jax_compute
    from fine2coarse.prediction import tensorflow_compute

    return tensorflow_compute


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
