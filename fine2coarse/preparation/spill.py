"""First half of a preparation: a unit's images are checked and laid down in shuffled order.

A *spill* is a file of serialized examples, sorted by the shuffling key, with an index beside it.
The second half (`shards.py`) merges all spills into the final shards, so that no more than a
unit or a shard is ever in memory, and each byte is read in long runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from fine2coarse.archives.archives import Skip
from fine2coarse.archives.last_file import LastFile
from fine2coarse.files import write_atomic
from fine2coarse.preparation.digests import hash128
from fine2coarse.preparation.file_batches import Unit
from fine2coarse.preparation.image_checks import check_image

_INDEX_SUFFIX = ".index.npz"
_DATA_SUFFIX = ".examples"


@dataclasses.dataclass(frozen=True, eq=False)
class SpillIndex:
    """What a spill holds; arrays are in the spill's order, N examples.

    Attributes:
      key: the unit's.
      split: the unit's.
      shuffle_keys: uint64 [N, 2], first 128 bits of the SHA-256 of each image id; ascending.
      sizes: int64 [N], bytes of each serialized example; they lie end to end.
      labels: int32 [N].
      digests: uint64 [N, 2], what each stored image shows (`image_checks.content_digest`).
      image_ids: bytes [N].
      names: bytes [N], where each stood in the source.
      num_files: files in the unit, examples and skips together.
      skips: what gave no example.
      transcoded: names and former formats of what was transcoded.
    """

    key: str
    split: str
    shuffle_keys: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    digests: np.ndarray
    image_ids: np.ndarray
    names: np.ndarray
    num_files: int
    skips: tuple[Skip, ...]
    transcoded: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        """Checks that every file is accounted for."""
        num_skipped = sum(skip.num_files for skip in self.skips)
        if self.num_files != len(self.sizes) + num_skipped:
            raise AssertionError(
                f"{self.key}: {self.num_files} files, but {len(self.sizes)} examples and "
                f"{num_skipped} skipped"
            )


class ExampleEncoder:
    """Serializes examples as TFDS does, three times as fast, with the same bytes everywhere.

    Features are texts, class labels and an encoded image: bytes and integers, one each.
    """

    def __init__(self, features: tfds.features.FeaturesDict) -> None:
        self._check(features)

    def _check(self, features: tfds.features.FeaturesDict) -> None:
        """Asserts on an example that TFDS's own serializer gives the same bytes."""
        serializer = tfds.core.ExampleSerializer(features.get_serialized_info())
        example = {name: 0 if name == "label" else b"text" for name in features}
        theirs = serializer.get_tf_example(features.encode_example(example))
        if theirs.SerializeToString(deterministic=True) != self.encode(example):
            raise AssertionError(f"these features are not bytes and integers alone: {features}")

    def encode(self, example: Mapping[str, bytes | str | int]) -> bytes:
        """Serializes one example as `tf.train.Example`."""
        proto = tf.train.Example()
        feature = proto.features.feature
        for name, value in example.items():
            if isinstance(value, int):
                feature[name].int64_list.value.append(value)
            else:
                data = value.encode() if isinstance(value, str) else value
                feature[name].bytes_list.value.append(data)
        return proto.SerializeToString(deterministic=True)


def relabelled(example: bytes, label: int) -> bytes:
    """A serialized example with another label, as `ExampleEncoder` would have serialized it."""
    proto = tf.train.Example.FromString(example)
    proto.features.feature["label"].int64_list.value[:] = [label]
    return proto.SerializeToString(deterministic=True)


def relabelled_sizes(sizes: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The bytes that serialized examples have with other labels, without serializing them.

    A label takes as many bytes as its varint; the example's own length stands before all of it.

    Args:
      sizes: int64 [N], bytes of each example.
      before: int [N], its label.
      after: int [N], its label then.

    Returns:
      int64 [N].
    """
    inner = sizes - 1  # less the tag of `features`, the only field of an example
    inner = inner - _varint_bytes(inner - _varint_bytes(inner))
    inner = inner + _varint_bytes(after) - _varint_bytes(before)
    return 1 + _varint_bytes(inner) + inner


def _varint_bytes(values: np.ndarray) -> np.ndarray:
    """How many bytes protocol buffers need for each of some numbers from 0 on: int64 [N]."""
    return 1 + sum((values >= 1 << (7 * digits)).astype(np.int64) for digits in range(1, 5))


def spill_path(folder: epath.Path, unit_key: str) -> epath.Path:
    """Path of a unit's spill without its suffixes."""
    return folder / hashlib.sha256(unit_key.encode()).hexdigest()[:24]


def data_path(folder: epath.Path, unit_key: str) -> epath.Path:
    """Path of the serialized examples."""
    path = spill_path(folder, unit_key)
    return path.with_name(path.name + _DATA_SUFFIX)


def index_path(folder: epath.Path, unit_key: str) -> epath.Path:
    """Path of the index, which is written last: where it is, the spill is whole."""
    path = spill_path(folder, unit_key)
    return path.with_name(path.name + _INDEX_SUFFIX)


def finished_units(folder: epath.Path) -> set[str]:
    """Paths' stems of the spills that are whole."""
    return {path.name.removesuffix(_INDEX_SUFFIX) for path in folder.glob(f"*{_INDEX_SUFFIX}")}


class _Record(NamedTuple):
    shuffle_key: tuple[int, int]
    data: bytes
    image_id: bytes
    name: bytes
    label: int
    digest: tuple[int, int]


def write_spill(unit: Unit, encoder: ExampleEncoder, folder: epath.PathLike) -> None:
    """Reads a unit, checks its images and writes its spill.

    Raises:
      OSError: where the disk is full (errno ENOSPC), or a file cannot be read.
    """
    folder = epath.Path(folder)
    with LastFile(folder) as last_file:
        _write_spill(unit, encoder, folder, last_file)


def _write_spill(
    unit: Unit, encoder: ExampleEncoder, folder: epath.Path, last_file: LastFile
) -> None:
    records: list[_Record] = []
    skips: list[Skip] = []
    transcoded: list[tuple[str, str]] = []
    num_files = 0
    for item in unit.read():
        num_files += item.num_files
        if isinstance(item, Skip):
            skips.append(item)
            continue
        last_file.note(item.name)
        checked = check_image(item.data)
        if checked.problem:
            skips.append(Skip(item.name, checked.problem, checked.detail))
            continue
        if checked.transcoded_from:
            transcoded.append((item.name, checked.transcoded_from))
        example = {"image": checked.data, "image_id": item.image_id, "label": item.label}
        data = encoder.encode({**example, **item.features})
        image_id = item.image_id.encode()
        name = stored_name(item.name)
        record = _Record(hash128(image_id), data, image_id, name, item.label, checked.digest)
        records.append(record)
    records.sort(key=lambda record: record.shuffle_key)
    write_atomic(data_path(folder, unit.key), b"".join(record.data for record in records))
    _write_index(
        index_path(folder, unit.key),
        SpillIndex(
            key=unit.key,
            split=unit.split,
            shuffle_keys=np.asarray([r.shuffle_key for r in records], np.uint64).reshape(-1, 2),
            sizes=np.asarray([len(r.data) for r in records], np.int64),
            labels=np.asarray([r.label for r in records], np.int32),
            digests=np.asarray([r.digest for r in records], np.uint64).reshape(-1, 2),
            image_ids=np.asarray([r.image_id for r in records], np.bytes_),
            names=np.asarray([r.name for r in records], np.bytes_),
            num_files=num_files,
            skips=tuple(skips),
            transcoded=tuple(transcoded),
        ),
    )


def stored_name(name: str) -> bytes:
    """A file's name as an index holds it; archives and disks may hold any encoding."""
    return name.encode("utf-8", "backslashreplace")


_ARRAYS = ("shuffle_keys", "sizes", "labels", "digests", "image_ids", "names")


def _write_index(path: epath.Path, index: SpillIndex) -> None:
    text = {
        "key": index.key,
        "split": index.split,
        "num_files": index.num_files,
        "skips": [dataclasses.astuple(skip) for skip in index.skips],
        "transcoded": index.transcoded,
    }
    buffer = io.BytesIO()
    arrays = {name: getattr(index, name) for name in _ARRAYS}
    np.savez(buffer, text=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)
    write_atomic(path, buffer.getvalue())


def read_index(folder: epath.PathLike, unit_key: str) -> SpillIndex:
    """Reads the index of a unit's spill."""
    with index_path(epath.Path(folder), unit_key).open("rb") as file:
        stored = np.load(io.BytesIO(file.read()), allow_pickle=False)
    text = json.loads(stored["text"].tobytes())
    return SpillIndex(
        key=text["key"],
        split=text["split"],
        num_files=text["num_files"],
        skips=tuple(Skip(*fields) for fields in text["skips"]),
        transcoded=tuple((name, source_format) for name, source_format in text["transcoded"]),
        **{name: stored[name] for name in _ARRAYS},
    )
