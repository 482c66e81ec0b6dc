"""A plain folder of images in the place of a prepared dataset: read as preparation would store it.

Each file is read twice: once to find out which images are whole, then to be embedded.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.errors import FailedError
from fine2coarse.formats import counted
from fine2coarse.input.batches import num_cores
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.preparation.image_checks import check_image
from fine2coarse.preparation.image_files import ImageFile, find_images
from fine2coarse.terminal import Bar

_log = logging.getLogger(__name__)

SPLIT = "images"
"""Its one split."""


@dataclasses.dataclass(frozen=True, eq=False)
class FolderIds:
    """Who the images are: see `input.prepared_images.ImageColumns`; none has a label."""

    image_ids: tuple[str, ...]
    labels: np.ndarray
    hard: None = None


class FolderImages:
    """Images below a folder, as `embeddings.embedding.embed_dataset` takes them.

    An image's id is its path below the folder. Labels there are none. The name ends with a digest
    of all names, sizes and times of change, so that what was begun with other files is not gone on
    with; the fingerprint is empty, so that the vectors are joined with a dataset by id alone.

    Args:
      folder: with images, at any depth.

    Raises:
      ImageFilesError: where it is no folder, or holds no image.
      LabelSpaceError: where none of its images can be read.
    """

    fingerprint = ""

    def __init__(self, folder: pathlib.Path) -> None:
        if not folder.is_dir():
            find_images(folder)  # which says what is wrong with its name
            raise LabelSpaceError(f"--images={folder} is a file; expected a folder of images")
        found = find_images(folder)
        if found.passed_over:
            _log.info("passed over: %s", found.passed_over)
        self.unreadable: list[str] = []
        self._files = self._whole(found.images)
        for one in self.unreadable:
            _log.warning("%s", one)
        if not self._files:
            raise LabelSpaceError(
                f"{folder}: none of its {len(found.images)} images can be read, such as "
                f"{self.unreadable[0]}"
            )
        self.name = f"{folder.resolve().name}/{_digest(self._files)}"

    def check_all_were_read(self) -> None:
        """Raises FailedError where images had to be left out."""
        if self.unreadable:
            num_files = len(self._files) + len(self.unreadable)
            raise FailedError(
                f"{len(self.unreadable):,} of {counted(num_files, 'image')} cannot be read, named "
                "above; all others have their row"
            )

    @property
    def splits(self) -> Mapping[str, int]:
        """One, with all images."""
        return {SPLIT: len(self._files)}

    def index(self, split: str) -> FolderIds:
        """Ids, in the order of the files' names."""
        del split
        ids = tuple(file.image_id for file in self._files)
        return FolderIds(ids, np.full(len(ids), -1, np.int64))

    def read(self, split: str) -> tf.data.Dataset:
        """Encoded images with `image`, `image_id` and `label` (-1), in the order of their names."""
        del split
        numbers = tf.data.Dataset.range(len(self._files))

        def example(number: tf.Tensor) -> dict[str, tf.Tensor]:
            image, image_id = tf.numpy_function(
                self._bytes_of, [number], (tf.string, tf.string), stateful=False
            )
            return {
                "image": tf.ensure_shape(image, []),
                "image_id": tf.ensure_shape(image_id, []),
                "label": tf.constant(-1, tf.int64),
            }

        return numbers.map(example, num_parallel_calls=num_cores())

    def _bytes_of(self, number: np.ndarray) -> tuple[bytes, bytes]:
        file = self._files[int(number)]
        found = check_image(file.path.read_bytes())
        if found.problem:
            raise RuntimeError(f"{file.name}: {found.problem}, though it was whole before")
        return found.data, file.image_id.encode()

    def _whole(self, files: Sequence[ImageFile]) -> list[ImageFile]:
        """The files whose images can be decoded; the others are told in `unreadable`."""
        whole = []
        with (
            concurrent.futures.ThreadPoolExecutor(num_cores()) as pool,
            Bar("check", len(files), unit="images") as bar,
        ):
            for file, problem in zip(files, pool.map(_problem, files), strict=True):
                if problem:
                    self.unreadable.append(f"{file.name}: {problem}")
                else:
                    whole.append(file)
                bar.advance()
        return whole


def _problem(file: ImageFile) -> str:
    try:
        found = check_image(file.path.read_bytes())
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return found.why


def _digest(files: Sequence[ImageFile]) -> str:
    total = hashlib.sha256()
    for file in files:
        found = file.path.stat()
        total.update(json.dumps([file.image_id, found.st_size, found.st_mtime_ns]).encode())
    return total.hexdigest()[:16]
