"""What the sides of `input.py` read: photographs in TFRecord shards as TFDS writes them."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from collections.abc import Sequence

import numpy as np

_SIZE_PX = (500, 375)
"""Of a photograph; every fourth stands upright, as some of ImageNet's do."""
_UPRIGHT_EVERY = 4
_MAX_PICTURES = 4000
"""Different pictures; a larger dataset repeats them, each time under another image id."""
_MIN_SHARDS = 16
_HEADER_BYTES, _CHECKSUM_BYTES = 12, 4
_SPARE_BYTES = 2**29
PLACES = "jpeg_places.npy"
_COMPLETE = "complete"


def dataset_folder(folder: pathlib.Path, num_images: int) -> pathlib.Path:
    """Where the dataset of so many images lies."""
    return folder / f"photographs_{num_images}" / "1.0.0"


def prepare(archive: pathlib.Path, folder: pathlib.Path, num_images: int) -> pathlib.Path:
    """Writes the dataset of so many images, or finds it; returns its folder.

    Args:
      archive: a tar of per-synset tars, whose pictures are enlarged to photographs.
      folder: of all datasets.
      num_images: in its one split, `train`.
    """
    path = dataset_folder(folder, num_images)
    if (path / _COMPLETE).is_file():
        return path
    shutil.rmtree(path, ignore_errors=True)  # of a call that was killed
    path.mkdir(parents=True)
    pictures = _pictures(archive, min(num_images, _MAX_PICTURES))
    _check_disk(path, pictures, num_images)
    _write(path, pictures, num_images)
    open_prepared(path).index("train")  # is written beside the records on first use
    (path / _COMPLETE).touch()
    return path


def open_prepared(path: pathlib.Path):
    """The dataset as the project's own `PreparedDataset`."""
    import tensorflow_datasets as tfds

    from fine2coarse.datasets.prepared import PreparedDataset
    from fine2coarse.taxonomy.wordnet import read_wordnet

    builder = tfds.builder_from_directory(os.fspath(path))
    return PreparedDataset(builder, read_wordnet(builder.info.features["label"].names))


def shard_paths(path: pathlib.Path) -> list[pathlib.Path]:
    """Its shards, in order."""
    return sorted(path.glob("*.tfrecord-*"))


def _pictures(archive: pathlib.Path, count: int) -> list[tuple[str, bytes]]:
    """Synset and JPEG of evenly chosen pictures, as large as photographs."""
    from _sides import enlarged, images_in

    num_pictures = sum(1 for _ in images_in(archive))
    chosen = set(np.linspace(0, num_pictures - 1, min(count, num_pictures)).astype(int).tolist())
    found = []
    for number, (name, data) in enumerate(images_in(archive)):
        if number in chosen:
            size = _SIZE_PX[::-1] if len(found) % _UPRIGHT_EVERY == 0 else _SIZE_PX
            found.append((name.split("_")[0], enlarged(data, size)))
    return found


def _check_disk(path: pathlib.Path, pictures: Sequence[tuple[str, bytes]], num_images: int) -> None:
    """Ends the program where the disk is too small."""
    mean_bytes = sum(len(jpeg) for _, jpeg in pictures) / len(pictures)
    needed, free = mean_bytes * num_images + _SPARE_BYTES, shutil.disk_usage(path).free
    if free < needed:
        shutil.rmtree(path)
        sys.exit(
            f"{num_images:,} images need {needed / 1e9:.1f} GB in {path}, {free / 1e9:.1f} GB are "
            "free: make space, name another --folder, or fewer --num_images"
        )


def _write(path: pathlib.Path, pictures: Sequence[tuple[str, bytes]], num_images: int) -> None:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    synsets = sorted({synset for synset, _ in pictures})
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "image_id": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=synsets),
        }
    )
    template = tfds.core.ShardedFileTemplate(
        data_dir=path, dataset_name="photographs", split="train", filetype_suffix="tfrecord"
    )
    num_shards = min(num_images, max(_MIN_SHARDS, _shards_of_tfds(pictures, num_images)))
    bounds = np.linspace(0, num_images, num_shards + 1).astype(int)
    places, num_bytes = np.empty((num_images, 3), np.int64), 0
    # The pictures of a round are shuffled: neighbours in a shard are of many classes.
    generator = np.random.default_rng(0)
    order = np.concatenate(
        [generator.permutation(len(pictures)) for _ in range(-(-num_images // len(pictures)))]
    )
    for shard, shard_path in enumerate(template.sharded_filepaths(num_shards)):
        position = 0
        with tf.io.TFRecordWriter(os.fspath(shard_path)) as writer:
            for row in range(bounds[shard], bounds[shard + 1]):
                synset, jpeg = pictures[order[row]]
                record = features.serialize_example(
                    features.encode_example(
                        {"image": jpeg, "image_id": f"{synset}_{row:08d}", "label": synset}
                    )
                )
                writer.write(record)
                start = position + _HEADER_BYTES
                places[row] = shard, start + record.index(jpeg), len(jpeg)
                position = start + len(record) + _CHECKSUM_BYTES
                num_bytes += len(record)
    np.save(path / PLACES, places)
    split = tfds.core.SplitInfo(
        name="train",
        shard_lengths=np.diff(bounds).tolist(),
        num_bytes=num_bytes,
        filename_template=template,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=os.fspath(path), features=features, split_infos=[split], check_data=False
    )


def _shards_of_tfds(pictures: Sequence[tuple[str, bytes]], num_images: int) -> int:
    """How many shards TFDS would write."""
    from tensorflow_datasets.core.utils.shard_utils import ShardConfig

    num_bytes = sum(len(jpeg) for _, jpeg in pictures) * num_images // len(pictures)
    return ShardConfig().get_number_shards(num_bytes, num_images)


def drop_from_cache(path: pathlib.Path) -> None:
    """Has the operating system forget the shards that it holds in memory."""
    for shard in shard_paths(path):
        with shard.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_share(path: pathlib.Path, num_samples: int = 1000) -> float:
    """Share of sampled places of the shards that a read finds in memory."""
    shards = shard_paths(path)
    in_memory = total = 0
    each = -(-num_samples // len(shards))
    for shard in shards:
        with shard.open("rb") as file:
            for place in np.linspace(0, shard.stat().st_size - 1, each).astype(int).tolist():
                total += 1
                in_memory += _is_cached(file.fileno(), place)
    return in_memory / total


def _is_cached(descriptor: int, place: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
