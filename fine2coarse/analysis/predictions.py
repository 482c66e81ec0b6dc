"""What a run's models predict for the test images, image by image; read when first asked for."""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
import weakref

import numpy as np

from fine2coarse.labels.space import UNREADABLE
from fine2coarse.runs.phase_folder import PREDICTIONS, RunError


@dataclasses.dataclass(frozen=True, eq=False)
class StoredPredictions:
    """A model's predictions for the test images: the arrays of a phase's `predictions.npz`.

    Attributes:
      image_ids: str [N], the test images.
      targets: int32 [N], their classes.
      predicted: int32 [N].
      margins: float32 [N], the right class's score minus the largest other one.
    """

    image_ids: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray

    @functools.cached_property
    def wrong(self) -> np.ndarray:
        """Bool [N]: the images that were classified wrongly."""
        return self.predicted != self.targets

    def same_images(self, other: StoredPredictions) -> bool:
        """Whether both are of the same images, in the same order, for one task."""
        return _same(self.image_ids, other.image_ids) and _same(self.targets, other.targets)


def _same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours is theirs or np.array_equal(ours, theirs)


_last_read: weakref.WeakValueDictionary[str, np.ndarray] = weakref.WeakValueDictionary()


def _shared(name: str, column: np.ndarray) -> np.ndarray:
    """The column, as the array that was read before it where that is in use and holds the same.

    Half a million ids are 40 MB, and a study's runs and trials were tested on the same images.
    """
    last = _last_read.get(name)
    if last is not None and last.dtype == column.dtype and np.array_equal(last, column):
        return last
    column.setflags(write=False)  # others will hold it too
    _last_read[name] = column
    return column


def read_predictions(phase: pathlib.Path) -> StoredPredictions:
    """Reads the predictions that a finished phase's folder holds.

    Raises:
      RunError: where the file is missing or damaged, or lacks an array.
    """
    path = phase / PREDICTIONS
    if not path.is_file():
        raise RunError(
            f"{phase}: finished, but without {PREDICTIONS}; delete this folder and start the "
            "study again to repeat the run"
        )
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            columns = dict(file)
    except UNREADABLE as error:
        raise RunError(
            f"{path}: damaged ({error}); delete {phase} and start the study again to repeat "
            "that run"
        ) from error
    expected = [field.name for field in dataclasses.fields(StoredPredictions)]
    missing = [name for name in expected if name not in columns]
    if missing:
        raise RunError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(expected)}")
    for name in ("image_ids", "targets"):
        columns[name] = _shared(name, columns[name])
    return StoredPredictions(**{name: columns[name] for name in expected})


class RunPredictions:
    """Predictions of a run's models, each read from its folder once, when first asked for.

    Args:
      final: folder of the phase that was tested.
      pretrain: folder of the pretraining, where its model was tested on the same task; None for
        the baseline and where it was not.
    """

    def __init__(self, final: pathlib.Path, pretrain: pathlib.Path | None = None) -> None:
        self._final, self._pretrain = final, pretrain

    @property
    def are_stored(self) -> bool:
        """Whether the final model's predictions are there; runs of early versions kept none."""
        return (self._final / PREDICTIONS).is_file()

    @functools.cached_property
    def transferred(self) -> StoredPredictions:
        """Of the model after the transfer; of the baseline, of its one model.

        Raises:
          RunError: where they are missing or damaged.
        """
        return read_predictions(self._final)

    @functools.cached_property
    def direct(self) -> StoredPredictions | None:
        """Of the pretrained model used as it is, probabilities summed into the target's classes.

        None for the baseline, and where that was not tested on the same images and classes.

        Raises:
          RunError: where they are damaged.
        """
        if self._pretrain is None or not (self._pretrain / PREDICTIONS).is_file():
            return None
        found = read_predictions(self._pretrain)
        return found if found.same_images(self.transferred) else None
