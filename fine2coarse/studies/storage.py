"""Where the images of a study are read from: memory, random places of a disk, or shards in turn."""

from __future__ import annotations

import logging

import numpy as np

from fine2coarse.datasets.prepared import PreparedDataset
from fine2coarse.formats import disk_size
from fine2coarse.input.examples import MAX_DECODED_BYTES, Examples, load_examples
from fine2coarse.input.record_reader import RecordPlaces
from fine2coarse.input.stored import StoredImages
from fine2coarse.paths import is_remote
from fine2coarse.recipes.recipe import DatasetSpec

_log = logging.getLogger(__name__)


def open_examples(dataset: PreparedDataset, split: str, spec: DatasetSpec) -> Examples:
    """A split of a dataset, or a part of one, read from where `spec.storage` says.

    What was chosen, and why, is logged.

    Raises:
      DatasetError: on an unknown split.
      UsageError: where it has no images, or its records cannot be read that way.
    """
    index = dataset.index(split)
    num_bytes = int(index.size.sum(dtype=np.int64))
    storage, why = choose_storage(
        spec.storage, num_bytes, any(map(is_remote, dataset.paths(split)))
    )
    _log.info(
        "%s: the %d images of %s (%s) are read from %s: %s",
        dataset.name,
        len(index),
        split,
        disk_size(num_bytes),
        _DESCRIBED[storage],
        why,
    )
    if storage == "memory":
        return load_examples(dataset.read(split))
    return stored_examples(dataset, split, spec.stream_window_images if storage == "stream" else 0)


def stored_examples(dataset: PreparedDataset, split: str, window_images: int = 0) -> Examples:
    """A split of a dataset whose images are left where they are stored; see `StoredImages`.

    Raises:
      DatasetError: on an unknown split.
      UsageError: where records of its format cannot be read where they lie.
    """
    index, paths = dataset.index(split), dataset.paths(split)
    places = RecordPlaces(paths, dataset.file_format, index.shard, index.offset, index.size)
    places.check_readable()
    images = StoredImages(places, window_images=window_images)
    return Examples(images, index.image_ids, index.labels, index.hard)


def choose_storage(wanted: str, num_bytes: int, remote: bool) -> tuple[str, str]:
    """Where to read images from, and why.

    Args:
      wanted: one of `recipes.recipe.STORAGES`.
      num_bytes: of the encoded images.
      remote: whether they lie in a bucket.
    """
    if wanted != "auto":
        return wanted, f"dataset.storage={wanted}"
    limit = disk_size(MAX_DECODED_BYTES)
    if num_bytes <= MAX_DECODED_BYTES:
        return "memory", f"they are no more than {limit}"
    if remote:
        return "stream", f"they are more than {limit}, in a bucket"
    return "disk", f"they are more than {limit}, on a disk of this machine"


_DESCRIBED = {
    "memory": "memory",
    "disk": "random places of their files",
    "stream": "their files in sequence",
}
