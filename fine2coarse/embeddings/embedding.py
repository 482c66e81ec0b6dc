"""Embeddings of a dataset's images: written as they come, gone on with after a kill, then finished.

While encoding, raw vectors lie in `OUT.partial.npy` with `OUT.partial.json` beside it, which says
what they are and how many rows are done. At the end they are projected and scaled as asked, and
`OUT`, `OUT.ids.txt` and `OUT.json` are put in place, `OUT` last.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import tensorflow as tf

from fine2coarse.embeddings.encoders import Encoder
from fine2coarse.files import read_json, replacing, write_atomic, write_json
from fine2coarse.image_ids import ImageIds
from fine2coarse.input.augmentation import eval_image
from fine2coarse.input.prepared_images import ImageColumns, PreparedImages
from fine2coarse.labels.embeddings import (
    LARGEST_VALUE,
    Embeddings,
    ids_file_of,
    largest_values,
    meta_file_of,
    unit_rows,
)
from fine2coarse.labels.space import UNREADABLE, LabelSpaceError
from fine2coarse.terminal import Bar
from fine2coarse.training.tensorflow.engine import TensorFlowEngine

_SAVE_EVERY_ROWS = 4096
_BLOCK_ROWS = 16_384


@dataclasses.dataclass(frozen=True)
class FinishSpec:
    """What is done to the raw vectors, in this order.

    Attributes:
      num_pca_dims: project on so many principal axes of the first split's vectors; 0 for none.
      l2: scale every row to length one.
    """

    num_pca_dims: int = 0
    l2: bool = False

    @property
    def any_scale(self) -> bool:
        """Whether only directions are kept, so that vectors may have any finite length."""
        return self.l2 and not self.num_pca_dims


def embed_dataset(
    dataset: PreparedImages,
    splits: Sequence[str],
    encoder: Encoder,
    out: pathlib.Path,
    engine: TensorFlowEngine,
    *,
    finish: FinishSpec | None = None,
    batch_size: int = 128,
    announce: Callable[[int, int], None] = lambda done, total: None,
) -> Embeddings:
    """Embeds splits of a prepared dataset; goes on where an earlier call was cut off.

    Args:
      dataset: the images.
      splits: in the order of the rows; PCA is fitted on the first.
      encoder: built in the engine's scope.
      out: the .npy to write.
      engine: the process's engine, on TensorFlow; a batch is spread over its replicas.
      finish: PCA and scaling.
      batch_size: images a step, over all replicas.
      announce: told (rows done, rows in all) now and then.

    Raises:
      LabelSpaceError: where a file at `out` is of something else, or PCA asks for too much.
      RuntimeError: where the data changes under way.
    """
    finish = finish or FinishSpec()
    indexes = [dataset.index(split) for split in splits]
    ids = _all_ids(indexes)
    plan = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "splits": list(splits),
        "num_images": len(ids),
        "image_size_px": encoder.image_size_px,
        "source": dict(encoder.source),
    }
    raw = _RawFile(out, plan)
    batches = _batches(dataset, splits, raw.num_done, encoder.image_size_px, batch_size, engine)
    for image_ids, vectors in _encoded(batches, encoder, engine):
        expected = ids[raw.num_done : raw.num_done + len(image_ids)]
        if image_ids != expected:
            raise RuntimeError(f"read images {image_ids[:3]}, expected {list(expected[:3])}")
        raw.append(vectors)
        announce(raw.num_done, len(ids))
    return _finish(raw.finished(len(ids)), ids, len(indexes[0].image_ids), plan, finish, out)


def _all_ids(indexes: Sequence[ImageColumns]) -> ImageIds:
    return ImageIds.concatenate([ImageIds.of(index.image_ids) for index in indexes])


def progress_bar() -> Callable[[int, int], None]:
    """What `embed_dataset` announces its progress to, shown as a bar in a terminal."""
    bar = Bar("embed", unit="images")

    def announce(done: int, total: int) -> None:
        bar.move_to(done, total)
        if done == total:
            bar.close()

    return announce


def adopt(
    given: Embeddings,
    dataset: PreparedImages,
    splits: Sequence[str],
    out: pathlib.Path,
    *,
    finish: FinishSpec | None = None,
) -> Embeddings:
    """Joins vectors one already has with a dataset's images, by id, and writes them as `out`.

    Raises:
      LabelSpaceError: where images have no vector (they are counted), or vectors hold values that
        cannot be computed with.
    """
    indexes = [dataset.index(split) for split in splits]
    ids = _all_ids(indexes)
    rows = given.rows_for(ids, dataset.fingerprint)
    finish = finish or FinishSpec()
    given.check_values(rows, any_scale=finish.any_scale)
    plan = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "splits": list(splits),
        "num_images": len(ids),
        "source": dict(given.source),
    }
    chosen = _Rows(given.vectors, rows)
    return _finish(chosen, ids, len(indexes[0].image_ids), plan, finish, out)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """Chosen rows of a matrix, read a block at a time."""

    vectors: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self, stop: int | None = None) -> Iterator[np.ndarray]:
        """Copies, in the matrix's own dtype."""
        rows = self.rows[:stop]
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield np.asarray(self.vectors[rows[start : start + _BLOCK_ROWS]])


class _RawFile:
    """Raw vectors on disk, and how many of them are there.

    Args:
      out: the file they are for.
      plan: what they are; a partial file of another plan is refused.

    Raises:
      LabelSpaceError: where that is so.
    """

    def __init__(self, out: pathlib.Path, plan: dict[str, Any]) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        self._path = out.with_name(out.name + ".partial.npy")
        self._state = out.with_name(out.name + ".partial.json")
        self._plan = json.loads(json.dumps(plan))
        self._vectors: np.memmap | None = None
        self._num_saved = self.num_done = 0
        if self._state.exists():
            state = read_json(self._state)
            if state["plan"] != self._plan:
                different = [k for k in plan if state["plan"].get(k) != self._plan[k]]
                raise LabelSpaceError(
                    f"{self._path} was begun with another {', '.join(different)}; go on with the "
                    "same, write elsewhere, or remove it"
                )
            self._vectors = self._opened()
            self._num_saved = self.num_done = state["num_done"]

    def _opened(self) -> np.memmap:
        try:
            np.lib.format.open_memmap(self._path, mode="r")  # mode r+ fills a cut file with zeros
            return np.lib.format.open_memmap(self._path, mode="r+")
        except UNREADABLE as error:
            raise LabelSpaceError(
                f"{self._path}: cannot be gone on with: {error}; remove it and {self._state} and "
                "embed anew"
            ) from error

    def append(self, vectors: np.ndarray) -> None:
        if self._vectors is None:
            shape = (self._plan["num_images"], vectors.shape[1])
            self._vectors = np.lib.format.open_memmap(self._path, "w+", np.float32, shape)
        self._vectors[self.num_done : self.num_done + len(vectors)] = vectors
        self.num_done += len(vectors)
        if self.num_done - self._num_saved >= _SAVE_EVERY_ROWS:
            self._save()

    def _save(self) -> None:
        self._vectors.flush()
        write_json(self._state, {"plan": self._plan, "num_done": self.num_done})
        self._num_saved = self.num_done

    def finished(self, num_expected: int) -> _Rows:
        if self.num_done != num_expected or self._vectors is None:
            raise RuntimeError(f"encoded {self.num_done} images, expected {num_expected}")
        self._save()
        return _Rows(self._vectors, np.arange(num_expected))


def _batches(
    dataset: PreparedImages,
    splits: Sequence[str],
    num_skipped: int,
    image_size_px: int,
    batch_size: int,
    engine: TensorFlowEngine,
) -> Iterator[dict[str, tf.Tensor]]:
    """Batches of the rows after the first `num_skipped`, the last one padded with weight 0."""
    batch_size = -(-batch_size // engine.num_replicas) * engine.num_replicas
    examples = dataset.read(splits[0])
    for split in splits[1:]:
        examples = examples.concatenate(dataset.read(split))

    def decoded(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = eval_image(example["image"], image_size_px)
        return {"image": image, "image_id": example["image_id"], "weight": tf.constant(1.0)}

    images = examples.skip(num_skipped).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
    num_left = sum(dataset.splits[split] for split in splits) - num_skipped
    padding = tf.data.Dataset.from_tensors(
        {
            "image": tf.zeros([image_size_px, image_size_px, 3]),
            "image_id": tf.constant(""),
            "weight": tf.constant(0.0),
        }
    ).repeat(-num_left % batch_size)
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = images.concatenate(padding).batch(batch_size, drop_remainder=True)
    return engine.strategy.experimental_distribute_dataset(
        batches.with_options(options).prefetch(2)
    )


def _encoded(
    batches: Iterator[dict[str, tf.Tensor]], encoder: Encoder, engine: TensorFlowEngine
) -> Iterator[tuple[list[str], np.ndarray]]:
    @tf.function(autograph=False)
    def step(images: tf.Tensor) -> tf.Tensor:
        return engine.strategy.run(lambda x: tf.cast(encoder.encode(x), tf.float32), args=(images,))

    def local(value: tf.Tensor) -> np.ndarray:
        parts = engine.strategy.experimental_local_results(value)
        return np.concatenate([part.numpy() for part in parts])

    for batch in batches:
        seen = local(batch["weight"]) > 0
        vectors = local(step(batch["image"]))[seen]
        image_ids = [image_id.decode() for image_id in local(batch["image_id"])[seen]]
        is_bad = ~(largest_values(vectors) <= LARGEST_VALUE)
        if is_bad.any():
            raise LabelSpaceError(
                f"the encoder gave NaN or infinity, or values beyond {LARGEST_VALUE:g}, for "
                f"{is_bad.sum()} of {len(is_bad)} images, the first {image_ids[is_bad.argmax()]}; "
                "expected vectors of ordinary size: try float32 precision, or another encoder"
            )
        yield image_ids, vectors


def _finish(
    raw: _Rows,
    ids: ImageIds,
    num_fitted: int,
    plan: dict[str, Any],
    finish: FinishSpec,
    out: pathlib.Path,
) -> Embeddings:
    if any(end in block.tobytes() for block in ids.blocks() for end in (b"\n", b"\r")):
        raise LabelSpaceError("an image id holds a line break and cannot be written one a line")
    mean, axes = _principal_axes(raw, num_fitted, finish.num_pca_dims)
    num_dims = finish.num_pca_dims or raw.vectors.shape[1]
    with replacing(out) as partial:
        vectors = np.lib.format.open_memmap(partial, "w+", np.float32, (len(ids), num_dims))
        start = 0
        for block in raw.blocks():
            block = block if axes is None else (block - mean) @ axes
            part = slice(start, start + len(block))
            vectors[part] = _unit(block, ids[part]) if finish.l2 else block
            start += len(block)
        vectors.flush()
        source = plan["source"] | dataclasses.asdict(finish)
        write_atomic(ids_file_of(out), lambda file: _write_lines(file, ids))
        write_json(meta_file_of(out), plan | {"source": source, "num_dims": num_dims})
    for leftover in (".partial.npy", ".partial.json"):
        out.with_name(out.name + leftover).unlink(missing_ok=True)
    return Embeddings.load(out)


def _write_lines(file: IO[bytes], ids: ImageIds) -> None:
    for block in ids.blocks():
        file.write(b"\n".join(block.tolist()) + b"\n")


def _principal_axes(
    raw: _Rows, num_fitted: int, num_dims: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Mean float32 [D] and axes float32 [D, num_dims] of the first rows; None without PCA."""
    if not num_dims:
        return None, None
    most = min(raw.vectors.shape[1], num_fitted)
    if not 1 <= num_dims <= most:
        raise LabelSpaceError(f"PCA to {num_dims} dimensions; expected 1 to {most}")
    total = sum(block.sum(0, dtype=np.float64) for block in raw.blocks(num_fitted))
    mean = total / num_fitted
    scatter = 0.0
    for block in raw.blocks(num_fitted):
        centred = block - mean
        scatter = scatter + centred.T @ centred
    axes = np.linalg.eigh(scatter)[1][:, ::-1][:, :num_dims]
    # An axis is defined up to its sign: let its largest entry be positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(num_dims)])
    return mean.astype(np.float32), axes.astype(np.float32)


def _unit(block: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    found, is_zero = unit_rows(block)
    if is_zero.any():
        raise LabelSpaceError(
            f"{is_zero.sum()} vectors are zero and have no direction, such as that of "
            f"{ids[is_zero.argmax()]}; embed without --l2, or leave these images out"
        )
    return found
