"""Where the images of a study are read from: memory, a disk, shards in turn, or the devices."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.formats import disk_size
from fine2coarse.input.examples import MAX_DECODED_BYTES, Examples, load_examples
from fine2coarse.packs.images import PackedImages
from fine2coarse.packs.pack import PackedDataset
from fine2coarse.paths import is_remote
from fine2coarse.recipes.recipe import DatasetSpec

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

_log = logging.getLogger(__name__)
_SQUARES = "a pack of equal squares (fine2coarse pack --pixels=squares --size_px=N, then --packed)"


class ImageDevices(Protocol):
    """What an engine tells of its devices: `training.engine.Engine`, or the like.

    Attributes:
      is_accelerator: whether they are GPUs or TPUs.
      device_budget_bytes: how many bytes of images they may hold; None where that is not known.
    """

    is_accelerator: bool
    device_budget_bytes: int | None


class DeviceSpace:
    """The room that a study's images have on the devices, less as splits are placed there.

    Args:
      devices: the engine that trains; None where none does.
    """

    def __init__(self, devices: ImageDevices | None = None) -> None:
        self.is_accelerator = devices is not None and devices.is_accelerator
        budget = None if devices is None else devices.device_budget_bytes
        self.free_bytes = MAX_DECODED_BYTES if budget is None else budget

    def take(self, num_bytes: int) -> bool:
        """Whether so many more bytes fit; then they count as taken."""
        fits = num_bytes <= self.free_bytes
        self.free_bytes -= num_bytes if fits else 0
        return fits


def open_examples(
    dataset: PreparedDataset | PackedDataset,
    split: str,
    spec: DatasetSpec,
    space: DeviceSpace | None = None,
) -> Examples:
    """A split of a dataset, or a part of one, read from where `spec.storage` says.

    What was chosen, and why, is logged.

    Args:
      dataset: prepared or packed.
      split: of it; of a pack one that it holds.
      spec: whose `storage` says where images are read from.
      space: on the devices; None for no GPU or TPU.

    Raises:
      DatasetError, PackError: on an unknown split.
      UsageError: where it has no images, or its records cannot be read that way.
    """
    space, index = space or DeviceSpace(), dataset.index(split)
    if isinstance(dataset, PackedDataset):
        num_bytes = dataset.num_bytes(split)
        storage, why = choose_packed_storage(spec.storage, dataset.pack.folder)
    else:
        num_bytes = int(index.size.sum(dtype=np.int64))
        remote = any(map(is_remote, dataset.paths(split)))
        storage, why = choose_storage(spec.storage, num_bytes, remote)
    what = f"{dataset.name}: the {len(index)} images of {split} ({disk_size(num_bytes)})"
    _log.info("%s are read from %s: %s", what, _DESCRIBED[storage], why)
    if isinstance(dataset, PackedDataset):
        images = dataset.images(split)
        if storage == "memory":
            images = images.in_memory() if isinstance(images, PackedImages) else np.array(images)
        found = Examples(images, index.image_ids, index.labels, index.hard)
    elif storage == "device" and num_bytes > MAX_DECODED_BYTES:
        raise _not_even(what)
    elif storage in ("memory", "device"):
        found = load_examples(dataset.read(split))
    else:
        window_images = spec.stream_window_images if storage == "stream" else 0
        return stored_examples(dataset, split, window_images)
    # Of itself a pack alone: on the devices random changes are drawn anew, and a run that was begun
    # with images in memory would go on with others.
    suits = spec.storage == "auto" and space.is_accelerator and isinstance(dataset, PackedDataset)
    if storage == "device" or suits:
        found = _on_devices(found, what, space, is_asked=storage == "device")
    return found


def stored_examples(dataset: PreparedDataset, split: str, window_images: int = 0) -> Examples:
    """A split of a dataset whose images are left where they are stored; see `StoredImages`.

    Raises:
      DatasetError: on an unknown split.
      UsageError: where records of its format cannot be read where they lie.
    """
    from fine2coarse.input.record_reader import RecordPlaces
    from fine2coarse.input.stored import StoredImages

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


def choose_packed_storage(wanted: str, folder: Any) -> tuple[str, str]:
    """Where to read the images of a pack from, and why; 'map' is from the pack as it lies there.

    Args:
      wanted: one of `recipes.recipe.STORAGES`.
      folder: of the pack, for people to read.

    Raises:
      UsageError: where the pack would be streamed.
    """
    if wanted == "stream":
        raise UsageError(
            f"dataset.storage=stream: {folder} is a pack, which has no shards to read in sequence; "
            "take --config.dataset.storage=auto or memory"
        )
    if wanted in ("auto", "disk"):
        return "map", str(folder)
    return wanted, f"dataset.storage={wanted}"


def _on_devices(found: Examples, what: str, space: DeviceSpace, *, is_asked: bool) -> Examples:
    """The same examples, to be placed on the devices.

    Raises:
      UsageError: where that was asked for and cannot be.
    """
    pixels = _even_pixels(found.images)
    if pixels is None:
        if is_asked:
            raise _not_even(what)
        return found
    if not space.take(pixels.nbytes):
        if is_asked:
            raise _too_large(what, pixels.nbytes, space)
        return found
    if not is_asked:
        _log.info("%s are placed on the devices: they fit", what)
    return dataclasses.replace(found, images=pixels, on_device=True)


def _even_pixels(images: Any) -> np.ndarray | None:
    """Images of one size as uint8 [N, h, w, 3]; None of others."""
    if len(getattr(images, "shape", ())) != 4:
        return None
    return images if isinstance(images, np.ndarray) else images.numpy()


def _not_even(what: str) -> UsageError:
    return UsageError(
        f"{what} cannot lie on the devices, for they are of several sizes, packed as files, or "
        f"take more than {disk_size(MAX_DECODED_BYTES)} and are no pack; make {_SQUARES}, or take "
        "--config.dataset.storage=auto"
    )


def _too_large(what: str, num_bytes: int, space: DeviceSpace) -> UsageError:
    return UsageError(
        f"{what} do not fit on the devices: they take {disk_size(num_bytes)}, and "
        f"{disk_size(space.free_bytes)} are free for images; make {_SQUARES} of a smaller size, or "
        "take --config.dataset.storage=auto"
    )


_DESCRIBED = {
    "memory": "memory",
    "disk": "random places of their files",
    "stream": "their files in sequence",
    "map": "their pack, memory-mapped",
    "device": "the memory of the devices",
}
