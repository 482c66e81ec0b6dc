"""A trained model that takes photographs: classes, probabilities and feature vectors of files."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.errors import FailedError, UsageError
from fine2coarse.prediction.image_models import ImageModel, RunModel
from fine2coarse.prediction.image_passes import (
    BATCH_SIZE,
    DecodedBatch,
    Unreadable,
    decoded_batches,
    in_words,
)
from fine2coarse.prediction.records import Record, columns, record
from fine2coarse.preparation.image_files import ImageFile, PathLike, find_images
from fine2coarse.terminal import Bar

_log = logging.getLogger(__name__)

_RAISE, _SKIP = "raise", "skip"


class UnreadableImages(FailedError):
    """Image files that cannot be decoded; all others were.

    Attributes:
      unreadable: the files, with what is wrong.
    """

    def __init__(self, unreadable: Sequence[Unreadable], num_files: int, remedy: str) -> None:
        super().__init__(f"{in_words(unreadable, num_files)}; {remedy}")
        self.unreadable = list(unreadable)


class LoadedModel:
    """A finished run's model, or an export; `fine2coarse.load` makes one.

    Images are shown to it as the run evaluates: upright by their EXIF orientation, transparency on
    white, the largest central square, resized with antialiasing. Whatever format
    `fine2coarse prepare` reads is read.

    Args:
      path: folder of a finished phase, or of an export.
      is_export: which.

    Raises:
      RunError: where it is not finished, or cannot be loaded.
      MissingBackendError: of an export, where TensorFlow is not installed.
    """

    def __init__(self, path: pathlib.Path, *, is_export: bool = False) -> None:
        self.path = path
        self._model: ImageModel = _export_model(path) if is_export else RunModel(path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `probabilities`; empty of an export without head.

        Names that several classes have stand with the class's id behind them.
        """
        return self._model.classes

    @property
    def fine_classes(self) -> tuple[str, ...]:
        """Names of the finer classes whose probabilities it sums; empty where there are none."""
        return self._model.fine_classes

    @property
    def image_size_px(self) -> int:
        """Side of the square that is shown to the model."""
        return self._model.image_size_px

    @property
    def keras_model(self) -> keras.Model:
        """Images float [B, S, S, 3] in [0, 1] to logits float32 [B, K].

        Raises:
          RunError: of an export, which is no Keras model.
        """
        return self._model.keras_model

    def __repr__(self) -> str:
        """Which model it is."""
        return f"<LoadedModel {self.path}: {len(self.classes)} classes>"

    def predict(
        self,
        paths: PathLike | Iterable[PathLike],
        top: int = 5,
        *,
        on_unreadable: str = _RAISE,
    ) -> list[Record]:
        """Classifies images.

        Args:
          paths: a file or folder, or several; folders are gone through to their ends.
          top: classes told of each image, at most.
          on_unreadable: 'raise', or 'skip' to leave damaged images out with a warning.

        Returns:
          A record an image, for `pandas.DataFrame`: `file`, `class`, `probability`, `class_2`,
          `probability_2` and so on, then the same with `fine_` before it where the model sums
          finer classes. Folders' images are in the order of their names.

        Raises:
          ImageFilesError: where there is no such file, or it is no image.
          RunError: of an export without its head.
          UnreadableImages: where images are damaged or of a format that is not read.
          UsageError: on another `on_unreadable`, or a `top` below 1.
        """
        if on_unreadable not in (_RAISE, _SKIP):
            raise UsageError(f"on_unreadable is {_RAISE!r} or {_SKIP!r}, got {on_unreadable!r}")
        files = self._found(paths)
        unreadable: list[Unreadable] = []
        found = [row for rows in self.rows(files, top, unreadable) for row in rows]
        _tell(unreadable, len(files), on_unreadable)
        return found

    def probabilities(self, paths: PathLike | Iterable[PathLike]) -> np.ndarray:
        """Probabilities of all classes: float32 [N, K], in the order of `predict`.

        Args:
          paths: as of `predict`.

        Raises:
          ImageFilesError: where there is no such file, or it is no image.
          UnreadableImages: where images are damaged or of a format that is not read.
        """
        return self._stacked(paths, lambda decoded: self._model.probabilities(decoded)[0])

    def embed(self, paths: PathLike | Iterable[PathLike]) -> np.ndarray:
        """Feature vectors, what the head is given: float32 [N, D], in the order of `predict`.

        Args:
          paths: as of `predict`.

        Raises:
          ImageFilesError: where there is no such file, or it is no image.
          UnreadableImages: where images are damaged or of a format that is not read.
        """
        return self._stacked(paths, self._model.features)

    def columns(self, top: int = 5) -> list[str]:
        """Names of the fields of what `predict` returns."""
        return columns(len(self.classes), len(self.fine_classes), top)

    def rows(
        self,
        files: Sequence[ImageFile],
        top: int,
        unreadable: list[Unreadable],
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[list[Record]]:
        """Classifies files a batch at a time, with a bar where there is a terminal.

        Args:
          files: any number.
          top: classes told of each image.
          unreadable: files that cannot be read are added to it.
          batch_size: images at once.

        Yields:
          The records of a batch.

        Raises:
          UsageError: where `top` is below 1.
          RunError: of an export without its head.
        """
        if top < 1:
            raise UsageError(f"top is at least 1, got {top}")
        for batch in self._batches(files, "predict", unreadable, batch_size):
            coarse, fine = self._model.probabilities(batch.decoded)
            yield [
                record(
                    file.name,
                    self.classes,
                    coarse[number],
                    self.fine_classes,
                    None if fine is None else fine[number],
                    top,
                )
                for number, file in enumerate(batch.files)
            ]

    def _stacked(
        self,
        paths: PathLike | Iterable[PathLike],
        apply: Callable[[Sequence[Any]], np.ndarray],
    ) -> np.ndarray:
        files = self._found(paths)
        unreadable: list[Unreadable] = []
        batches = self._batches(files, "images", unreadable, BATCH_SIZE)
        found = [apply(batch.decoded) for batch in batches]
        _tell(unreadable, len(files), _RAISE)
        return np.concatenate(found)

    def _batches(
        self, files: Sequence[ImageFile], title: str, unreadable: list[Unreadable], batch_size: int
    ) -> Iterator[DecodedBatch]:
        """Batches with at least one image that can be read."""
        with Bar(title, len(files), unit="images") as bar:
            for batch in decoded_batches(files, self._model.decode, batch_size):
                unreadable += batch.unreadable
                if batch.files:
                    yield batch
                bar.advance(len(batch.files) + len(batch.unreadable))

    def _found(self, paths: PathLike | Iterable[PathLike]) -> Sequence[ImageFile]:
        found = find_images(paths)
        if found.passed_over:
            _log.info("passed over: %s", found.passed_over)
        return found.images


def _export_model(path: pathlib.Path) -> ImageModel:
    start_tensorflow("an export, which is a SavedModel,", "predict with the run it was made of")
    from fine2coarse.prediction.export_model import ExportModel

    return ExportModel(path)


def _tell(unreadable: Sequence[Unreadable], num_files: int, on_unreadable: str) -> None:
    """Raises, or warns of, images that cannot be read.

    Raises:
      UnreadableImages: where it shall.
    """
    if not unreadable:
        return
    if on_unreadable == _SKIP:
        _log.warning("left out: %s", in_words(unreadable, num_files))
        return
    remedy = "mend or remove them, or pass on_unreadable='skip' to predict"
    raise UnreadableImages(unreadable, num_files, remedy)
