"""What prepared data holds, image by image: digests, from which fingerprint and duplicates follow.

Beside the records of a split lies `contents-SPLIT.npy`, a digest for each image in stored order.
Our own preparations write it; of other datasets, such as TFDS's, it is made when first asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from etils import epath

from fine2coarse.files import read_json, write_atomic
from fine2coarse.labels.space import UNREADABLE
from fine2coarse.paths import is_remote
from fine2coarse.preparation.digests import hash128
from fine2coarse.preparation.image_checks import content_digest

CONTENTS_NAME = "contents.json"
_BLOCK_ROWS = 1 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class SplitContents:
    """What a split holds, in stored order; N images.

    Attributes:
      digests: uint64 [N, 2], `content_digest` of each image's stored bytes; memory-mapped where
        they lie on this machine.
      digest: hex SHA-256 over every image's id, label, flag and bytes.
    """

    digests: np.ndarray
    digest: str

    @classmethod
    def of_arrays(
        cls,
        id_keys: np.ndarray,
        labels: np.ndarray,
        digests: np.ndarray,
        hard: np.ndarray | None = None,
    ) -> SplitContents:
        """Takes the arrays together.

        Args:
          id_keys: uint64 [N, 2], `hash128` of each image id.
          labels: int [N], leaf labels.
          digests: uint64 [N, 2].
          hard: bool [N], or None where no image is flagged.
        """
        total = hashlib.sha256(f"{len(labels)}\n".encode())
        columns = [(id_keys, "<u8"), (labels, "<i8"), (digests, "<u8")]
        if hard is not None:
            columns.append((hard, "u1"))
        for values, dtype in columns:
            total.update(np.ascontiguousarray(values, dtype))
        return cls(np.asarray(digests, np.uint64).reshape(-1, 2), total.hexdigest())

    @classmethod
    def of_examples(cls, examples: Iterable[Mapping]) -> SplitContents:
        """Reads undecoded examples: image bytes, `image_id`, `label` and perhaps `hard`."""
        ids, labels, digests, hard = [], [], [], []
        for example in examples:
            ids.append(hash128(example["image_id"]))
            labels.append(example["label"])
            digests.append(content_digest(example["image"]))
            if "hard" in example:
                hard.append(example["hard"])
        keys = np.asarray(ids, np.uint64).reshape(-1, 2)
        found = np.asarray(digests, np.uint64).reshape(-1, 2)
        flags = np.asarray(hard, bool) if hard else None
        return cls.of_arrays(keys, np.asarray(labels, np.int64), found, flags)


def write_contents(folder: epath.PathLike, splits: Mapping[str, SplitContents]) -> None:
    """Writes the contents of all splits beside their records; the JSON last, which marks them."""
    folder = epath.Path(folder)
    for name, split in splits.items():
        buffer = io.BytesIO()
        np.save(buffer, split.digests, allow_pickle=False)
        write_atomic(_array_path(folder, name), buffer.getvalue())
    told = {
        name: {"num_examples": len(split.digests), "digest": split.digest}
        for name, split in splits.items()
    }
    text = json.dumps({"splits": told}, indent=1) + "\n"
    write_atomic(folder / CONTENTS_NAME, text)


def read_contents(
    folder: epath.PathLike, num_examples: Mapping[str, int]
) -> dict[str, SplitContents] | None:
    """The contents of all splits; None where none are stored, or those of other data.

    Args:
      folder: of the records.
      num_examples: split → images that it holds.
    """
    folder = epath.Path(folder)
    try:
        told = read_json(folder / CONTENTS_NAME)["splits"]
        if {name: split["num_examples"] for name, split in told.items()} != dict(num_examples):
            return None
        found = {
            name: SplitContents(_load(_array_path(folder, name)), split["digest"])
            for name, split in told.items()
        }
    except (*UNREADABLE, AttributeError):  # or missing: they are made again
        return None
    lengths = {name: len(split.digests) for name, split in found.items()}
    return found if lengths == dict(num_examples) else None


def fingerprint(taxonomy_fingerprint: str, splits: Mapping[str, SplitContents]) -> str:
    """Hex SHA-256 over a taxonomy and every image's id, label, flag, split and bytes."""
    total = hashlib.sha256(f"{taxonomy_fingerprint}\n".encode())
    for name, split in sorted(splits.items()):
        total.update(f"{name} {split.digest}\n".encode())
    return total.hexdigest()


def found_in(digests: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which images are among others too: bool [N].

    Args:
      digests: uint64 [N, 2].
      others: uint64 [M, 2].
    """
    # The smaller side is sorted by its first words; the larger one goes by in blocks.
    small, large = sorted((digests, others), key=len)
    words = np.unique(small[:, 0])
    maybe = np.concatenate([np.zeros(0, np.int64), *_rows_with(words, large)])
    whole = _as_bytes(large[maybe])
    if large is digests:
        found = np.zeros(len(digests), bool)
        found[maybe[np.isin(whole, _as_bytes(small))]] = True
        return found
    return np.isin(_as_bytes(small), whole)


def _rows_with(words: np.ndarray, digests: np.ndarray) -> Iterator[np.ndarray]:
    """Rows whose first word is among these, which are sorted."""
    for begin in range(0, len(digests) if len(words) else 0, _BLOCK_ROWS):
        block = np.asarray(digests[begin : begin + _BLOCK_ROWS, 0])
        places = np.minimum(np.searchsorted(words, block), len(words) - 1)
        yield begin + np.flatnonzero(words[places] == block)


def _as_bytes(digests: np.ndarray) -> np.ndarray:
    """Each digest as 16 bytes, which are compared as one: [N]."""
    return np.ascontiguousarray(digests, np.uint64).view("S16").reshape(len(digests))


def duplicates_across(splits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Images of a split that another holds too, by 'SPLIT in OTHER'; pairs without are left out.

    Args:
      splits: name → digests uint64 [N, 2].
    """
    counts = {
        f"{name} in {other}": int(found_in(digests, others).sum())
        for name, digests in splits.items()
        for other, others in splits.items()
        if name != other
    }
    return {pair: count for pair, count in counts.items() if count}


def _array_path(folder: epath.Path, split: str) -> epath.Path:
    return folder / f"contents-{split}.npy"


def _load(path: epath.Path) -> np.ndarray:
    if not is_remote(path):
        return np.load(os.fspath(path), mmap_mode="r", allow_pickle=False)
    with path.open("rb") as file:
        return np.load(io.BytesIO(file.read()), allow_pickle=False)
