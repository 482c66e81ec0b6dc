"""Making a pack of the images that a recipe reads; it takes TensorFlow and the prepared datasets.

Stopped, it goes on: a journal in each split's folder says which images are on the disk. `pack.json`
is written last.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import itertools
import logging
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.datasets.data_facts import NUM_SKIPS_TOLD
from fine2coarse.files import read_json, write_atomic, write_json
from fine2coarse.formats import disk_size
from fine2coarse.input.shard import num_cores
from fine2coarse.packs.layout import (
    DIGESTS,
    ENCODED,
    EVEN,
    FILES,
    HARD,
    IDS,
    LABELS,
    PACK,
    RAGGED,
    SHORTER_SIDE,
    SQUARES,
    STORED,
    VERSION,
    PackError,
    Pixels,
    choose_pixels,
    told_images,
    wanted_images,
)
from fine2coarse.packs.pack import Pack, open_pack, sha256_of
from fine2coarse.packs.writer import SplitWriter, remove_journal, tell_arrays, write_array
from fine2coarse.paths import is_remote
from fine2coarse.recipes.recipe import Recipe

if TYPE_CHECKING:
    import tensorflow as tf

    from fine2coarse.datasets.prepared import PreparedDataset

_log = logging.getLogger(__name__)

PLAN, PART = "plan.json", "part.json"
_CLAIMS = "claims"
_INSTEAD = "pack on a machine that has it and copy the folder: a pack is read without"
# A chunk is on the disk before the next begins: what is lost to a kill takes a second.
_CHUNK_BYTES, _CHUNK_IMAGES = 64 << 20, 4096
_BLOCK_IMAGES = 256  # decoded side by side
_TOLD_EVERY_SECONDS = 30.0
# EXIF 2.32, table 4: values of the orientation whose rows are columns of the picture.
_ORIENTATION_TAG, _TURNED = 0x0112, (5, 6, 7, 8)


def pack_images(
    recipe: Recipe,
    out: str | os.PathLike,
    data_dir: str,
    kind: str | None = None,
    size_px: int | None = None,
) -> Pack:
    """Packs the splits that a recipe reads; datasets are prepared on first use.

    One process at a time: see `claims.hold`. Does nothing where the pack is whole.

    Args:
      recipe: whose datasets and splits.
      out: folder of the pack, empty or of the same pack.
      data_dir: folder of prepared data.
      kind: what becomes of the pixels: 'squares', 'shorter_side' or 'encoded'; None for what
        changes the numbers least, see `layout.choose_pixels`.
      size_px: of the squares or of the shorter side.

    Raises:
      PackError: where the folder holds anything else.
      UsageError: on data that cannot be prepared, or where TensorFlow is not installed.
      OSError: where the disk is full; the same call goes on.
    """
    out = checked_folder(out)
    start_tensorflow("packing", _INSTEAD)
    from fine2coarse.datasets.open import open_prepared

    wanted = wanted_images(recipe)
    opened: dict[str, tuple[int, PreparedDataset]] = {}
    roles = {}
    for role, images in wanted.items():
        key = f"{images.spec.name} {sorted(images.spec.options.items())!r}"
        if key not in opened:
            found = open_prepared(images.spec.name, images.spec.options, data_dir)
            opened[key] = len(opened), found
        roles[role] = opened[key][0]
    datasets = [dataset for _, dataset in opened.values()]
    pairs = [(roles[role], split) for role, images in wanted.items() for split in images.splits]
    asked = {
        "version": VERSION,
        "datasets": [
            {
                **next(wanted[role].named() for role, number in roles.items() if number == own),
                "fingerprint": dataset.fingerprint,
            }
            for own, dataset in enumerate(datasets)
        ],
        "roles": roles,
        "parts": [
            {"dataset": number, "split": split, "folder": f"part{place}"}
            for place, (number, split) in enumerate(dict.fromkeys(pairs))
        ],
    }
    plan = _plan(recipe, out, asked, datasets, kind, size_px)
    if (out / PACK).is_file():
        pack = open_pack(out)
        _log.info("%s is whole: %s; nothing is to be done", out, pack.described())
        return pack
    given = {number: dict(wanted[role].spec.options) for role, number in roles.items()}
    return _write(out, plan, datasets, given)


def checked_folder(given: str | os.PathLike) -> pathlib.Path:
    """The folder of a pack, new or begun.

    Raises:
      PackError: where it is on no disk, is a file, or holds other things than a pack.
    """
    out = pathlib.Path(given)
    if is_remote(given):
        raise PackError(f"--out={given}: a pack is memory-mapped; expected a folder on a disk")
    if out.exists() and not out.is_dir():
        raise PackError(f"--out={out} is a file; expected the folder of a pack")
    held = {path.name for path in out.iterdir()} - {_CLAIMS} if out.is_dir() else set()
    if held and not held & {PACK, PLAN}:
        raise PackError(
            f"{out} holds other files, such as {sorted(held)[:3]}; a pack needs a folder of its own"
        )
    return out


def _plan(
    recipe: Recipe,
    out: pathlib.Path,
    asked: Mapping[str, Any],
    datasets: Sequence[PreparedDataset],
    kind: str | None,
    size_px: int | None,
) -> dict[str, Any]:
    """What the pack shall be: as its folder says, or decided now and noted there.

    Raises:
      PackError: where the folder holds another pack.
    """
    path = out / (PACK if (out / PACK).is_file() else PLAN)
    before = read_json(path) if path.is_file() else None
    if before is None:
        shapes = _even_shapes(asked, datasets) if kind is None and size_px is None else {}
        pixels, why = choose_pixels(recipe, bool(shapes), kind, size_px)
        parts = [
            {**part, "shape": shapes.get(part["folder"]) if pixels.kind == STORED else None}
            for part in asked["parts"]
        ]
        plan = {**asked, "parts": parts, "pixels": pixels.kind, "size_px": pixels.size_px}
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, plan)
        _log.info("%s: packing %s (%s): %s", out, _described(plan), pixels, why)
        return plan
    is_even = before["pixels"] == STORED
    pixels, _ = choose_pixels(recipe, is_even, kind, size_px)
    now = {**asked, "pixels": pixels.kind, "size_px": pixels.size_px}
    if _compared(before) != _compared(now):
        raise PackError(
            f"{out} holds another pack, of {_told_plan(before)}; now it is {_told_plan(now)}. "
            "Choose another --out, or delete that folder"
        )
    return before


def _compared(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one pack from another."""
    kept = ("version", "roles", "pixels", "size_px")
    of_part = ("dataset", "split", "folder")
    return {
        **{name: plan[name] for name in kept},
        "datasets": [
            {name: dataset[name] for name in ("name", "options", "fingerprint")}
            for dataset in plan["datasets"]
        ],
        "parts": [[part[name] for name in of_part] for part in plan["parts"]],
    }


def _described(plan: Mapping[str, Any]) -> str:
    return told_images(plan["datasets"], plan["parts"])


def _told_plan(plan: Mapping[str, Any]) -> str:
    prints = "+".join(dataset["fingerprint"][:16] for dataset in plan["datasets"])
    pixels = Pixels(plan["pixels"], plan["size_px"])
    return f"{_described(plan)} ({pixels}, fingerprint {prints})"


def _even_shapes(
    asked: Mapping[str, Any], datasets: Sequence[PreparedDataset]
) -> dict[str, list[int]]:
    """Folder → [h, w, 3] of its images, where those of each split are of one size; else empty."""
    found = {}
    _log.info("looking whether the images are of one size")
    for part in asked["parts"]:
        images = datasets[part["dataset"]].read(part["split"]).as_numpy_iterator()
        shapes = (_shape_of(example["image"]) for example in images)
        first = next(shapes, None)
        if first is None or any(shape != first for shape in shapes):
            return {}
        found[part["folder"]] = first
    return found


def _shape_of(image_bytes: bytes) -> list[int] | None:
    """[h, w, 3] of an image as a viewer shows it, by its header; None where that is unreadable."""
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            is_turned = image.getexif().get(_ORIENTATION_TAG) in _TURNED
            width, height = image.size[::-1] if is_turned else image.size
    except (OSError, ValueError):  # told where it is decoded
        return None
    return [height, width, 3]


def _write(
    out: pathlib.Path,
    plan: Mapping[str, Any],
    datasets: Sequence[PreparedDataset],
    given: Mapping[int, Mapping[str, Any]],
) -> Pack:
    """Writes what is missing of a pack, `pack.json` last."""
    pixels = Pixels(plan["pixels"], plan["size_px"])
    parts = []
    for part in plan["parts"]:
        folder = out / part["folder"]
        if not (folder / PART).is_file():
            found = _write_part(folder, datasets[part["dataset"]], part, pixels)
            write_json(folder / PART, found)
        parts.append(read_json(folder / PART))
    told = []
    for number, dataset in enumerate(datasets):
        name = f"taxonomy{number}.json"
        write_atomic(out / name, dataset.taxonomy.to_json())
        preparation = dataset.preparation()
        told.append(
            {
                **plan["datasets"][number],
                "given": given[number],
                "dataset": dataset.name,
                "splits": dict(dataset.splits),
                "taxonomy": name,
                "taxonomy_sha256": sha256_of(out / name),
                "preparation": preparation and preparation.facts(NUM_SKIPS_TOLD),
            }
        )
    write_json(out / PACK, {**plan, "datasets": told, "parts": parts})
    for part in parts:
        remove_journal(out / part["folder"])
        (out / part["folder"] / PART).unlink(missing_ok=True)
    (out / PLAN).unlink(missing_ok=True)
    pack = open_pack(out)
    _log.info(
        "%s is whole: %s images of %s, %s of them with pixels changed, %s",
        out,
        f"{sum(part['num_images'] for part in parts):,}",
        pack.described(),
        f"{sum(part['num_changed'] for part in parts):,}",
        disk_size(sum(part["image_bytes"] for part in parts)),
    )
    return pack


def _write_part(
    folder: pathlib.Path, dataset: PreparedDataset, part: Mapping[str, Any], pixels: Pixels
) -> dict[str, Any]:
    """Writes the arrays of a split, from where an earlier call was stopped.

    Raises:
      PackError: where the images read are not those of the index.
    """
    index, split = dataset.index(part["split"]), part["split"]
    layout = {ENCODED: FILES, SHORTER_SIDE: RAGGED}.get(pixels.kind, EVEN)
    shape = part["shape"] or [pixels.size_px, pixels.size_px, 3]
    writer = SplitWriter(folder, layout, shape if layout == EVEN else None)
    last_told = time.monotonic()
    if writer.num_images:
        _log.info("%s: %s images are there already", split, f"{writer.num_images:,}")
    if writer.num_images < len(index):
        for chunk in _chunks(_packed(dataset, split, pixels, writer.num_images)):
            ids = [image_id for image_id, _, _ in chunk]
            if ids != list(index.image_ids[writer.num_images : writer.num_images + len(ids)]):
                raise PackError(
                    f"{dataset.name}: the images of {split} are not in the order of their index; "
                    "prepare the dataset again"
                )
            writer.append([image for _, image, _ in chunk], sum(flag for _, _, flag in chunk))
            if time.monotonic() - last_told > _TOLD_EVERY_SECONDS:
                last_told = time.monotonic()
                _log.info("%s: %s of %s images", split, f"{writer.num_images:,}", f"{len(index):,}")
    if writer.num_images != len(index):
        raise PackError(
            f"{dataset.name}: {writer.num_images} images of {split} were read, but its index has "
            f"{len(index)}; prepare the dataset again"
        )
    writer.finish()
    write_array(folder / IDS, np.asarray(index.image_ids.encoded))
    write_array(folder / LABELS, np.asarray(index.labels, np.int32))
    write_array(folder / DIGESTS, np.asarray(dataset.digests(split), np.uint64))
    if index.hard is not None:
        write_array(folder / HARD, np.asarray(index.hard, bool))
    return {
        **part,
        "layout": layout,
        "num_images": writer.num_images,
        "num_changed": writer.num_changed,
        "image_bytes": writer.num_bytes,
        "arrays": tell_arrays(folder),
    }


def _chunks(images: Iterator[tuple]) -> Iterator[list[tuple]]:
    """The same in lists that are worth a write to the disk each."""
    chunk, size = [], 0
    for found in images:
        chunk.append(found)
        size += len(found[1]) if isinstance(found[1], bytes) else found[1].size
        if size >= _CHUNK_BYTES or len(chunk) == _CHUNK_IMAGES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _packed(
    dataset: PreparedDataset, split: str, pixels: Pixels, first: int = 0
) -> Iterator[tuple[str, np.ndarray | bytes, bool]]:
    """Id, pixels (or the file) and whether they differ from the stored ones, of each image.

    Args:
      dataset: the prepared dataset.
      split: of it.
      pixels: what becomes of the images.
      first: row to begin at.
    """
    examples = dataset.read(split).skip(first).as_numpy_iterator()
    convert, errors = None, ()
    if pixels.kind != ENCODED:
        import tensorflow as tf

        convert, errors = _converter(pixels), tf.errors.OpError

    def packed(example: Mapping[str, Any]) -> tuple[str, np.ndarray | bytes, bool]:
        image, image_id = example["image"], example["image_id"].decode()
        if convert is None:
            return image_id, image, False
        try:
            found, is_changed = convert(image)
        except errors as error:
            raise PackError(
                f"{dataset.name}: image {image_id} of {split} cannot be decoded "
                f"({' '.join(error.message.split())}); leave it out, or take --pixels={ENCODED}"
            ) from error
        return image_id, found.numpy(), bool(is_changed)

    with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
        while block := list(itertools.islice(examples, _BLOCK_IMAGES)):
            yield from pool.map(packed, block)


@functools.cache
def _converter(pixels: Pixels) -> Callable[[bytes], tuple[tf.Tensor, tf.Tensor]]:
    """A function of an encoded image to what is packed of it, and whether that is changed."""
    import tensorflow as tf

    from fine2coarse.input import decoding
    from fine2coarse.input.augmentation import eval_image

    def convert(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored, size_px = decoding.decode_upright(encoded), pixels.size_px
        if pixels.kind == STORED:
            return stored, tf.constant(False)
        sides = tf.shape(stored)[:2]
        if pixels.kind == SQUARES:
            square = tf.round(eval_image(stored, size_px) * 255.0)
            return tf.cast(square, tf.uint8), tf.reduce_any(sides != size_px)
        shorter = tf.reduce_min(sides)

        def shrunk() -> tf.Tensor:
            wanted = tf.cast(tf.round(sides * size_px / shorter), tf.int32)
            resized = tf.image.resize(stored, wanted, antialias=True)
            return tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)

        is_larger = shorter > size_px
        return tf.cond(is_larger, shrunk, lambda: stored), is_larger

    return tf.function(convert, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
